"""Tables and JSON on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, cast

from transfer_meta.results import HIDDEN, plain_values, table_as_text, visible

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from transfer_meta.records import OnProgress

SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines of progress where stderr is not a terminal."""


def tell(line: str) -> None:
    """Write a line on stderr; what is hidden in it, line ends too, is escaped by `results.visible`."""
    print(visible(line), file=sys.stderr, flush=True)


def show(text: object = "", *, stream: TextIO | None = None) -> None:
    """Write a text of one or more lines, by default on stdout; hidden characters are escaped as by `tell`.

    All that commands print passes through here, `tell`, `print_json` or `data_stdout`.
    """
    print(visible(text, lines=True), file=stream, flush=True)


def print_json(value: Any) -> None:
    """Write a value as JSON, with NaN and infinities as null; hidden characters as JSON's escapes."""
    encoder = json.JSONEncoder(indent=2, allow_nan=False, ensure_ascii=False)
    for part in encoder.iterencode(plain_values(value)):
        # json itself leaves DEL, C1 and the marks of direction as they are. Not the newlines that indent.
        sys.stdout.write(HIDDEN.sub(_json_escape, part))
    sys.stdout.write("\n")


def _json_escape(match: re.Match[str]) -> str:
    return match[0] if match[0] == "\n" else json.dumps(match[0])[1:-1]


def data_stdout() -> TextIO:
    """Return stdout for data such as CSV: as they are into a file or a program, escaped on a terminal."""
    return cast(TextIO, _EscapedLines(sys.stdout)) if sys.stdout.isatty() else sys.stdout


class _EscapedLines:
    """Stream that escapes what is hidden in the rows that are written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(visible(text, lines=True))

    def flush(self) -> None:
        self._stream.flush()


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Write a table; cells are formatted by `results.format_value`."""
    show(table_as_text(columns, rows, title=title))


def print_records(records: Sequence[Mapping[Any, Any]], *, title: str | None = None) -> None:
    """Write a table of records that have the same keys."""
    print_table([str(c) for c in records[0]], [list(r.values()) for r in records], title=title)


@contextlib.contextmanager
def progress(description: str) -> Iterator[OnProgress]:
    """Show progress on stderr, as a bar or in a log as lines; gives a function ``on_progress(done, total)``.

    The bar begins at 0 %; its remaining time is that of a constant speed since the beginning.
    """
    if not sys.stderr.isatty():
        yield _lines(description)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    started = told = time.monotonic()
    share = 0.0

    def remaining(_: Any) -> str:
        if not share:
            return "remaining –"
        seconds = (told - started) / share - (time.monotonic() - started)
        return f"remaining {format_clock(max(seconds, 0))}"

    # Without colours nothing but the bar's characters and the movements of the cursor is written.
    console = Console(stderr=True, color_system=None if os.environ.get("NO_COLOR") else "auto")
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        _remaining_column(remaining),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        # With an unknown total the bar would pulse.
        task = bar.add_task(visible(description), total=1.0)

        def on_progress(done: int, total: int) -> None:
            nonlocal share, told
            # A second stage that counts anew does not move the bar back.
            share, told = max(share, done / max(total, 1)), time.monotonic()
            bar.update(task, completed=share)

        yield on_progress


def _remaining_column(remaining: Callable[[Any], str]) -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Remaining(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(remaining(task))

    return Remaining()


def format_clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours, minutes and seconds.

    Examples
    --------
    >>> format_clock(65), format_clock(3600)
    ('1:05', '1:00:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lines(description: str) -> OnProgress:
    last: float | None = None

    def on_progress(done: int, total: int) -> None:
        nonlocal last
        # The pause begins with the first call: loading an encoder before it is no progress to report.
        last = time.monotonic() if last is None else last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            tell(f"{description}: {done}/{total}")

    return on_progress
