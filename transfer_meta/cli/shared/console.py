"""Tables and JSON on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transfer_meta.results import TEXT_WIDTH, plain_values, table_as_text

if TYPE_CHECKING:
    from transfer_meta.records import OnProgress

SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines of progress where stderr is not a terminal."""


def tell(line: str) -> None:
    """Write a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Write a value as JSON, with NaN and infinities as null."""
    json.dump(plain_values(value), sys.stdout, indent=2, allow_nan=False, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Write a table; cells are formatted by `results.format_value`."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else TEXT_WIDTH
    print(table_as_text(columns, rows, title=title, width=width))


def print_records(records: Sequence[Mapping[Any, Any]], *, title: str | None = None) -> None:
    """Write a table of records that have the same keys."""
    print_table([str(c) for c in records[0]], [list(r.values()) for r in records], title=title)


@contextlib.contextmanager
def progress(description: str) -> Iterator[OnProgress]:
    """Show progress on stderr, as a bar or in a log as lines; gives a function ``on_progress(done, total)``."""
    if not sys.stderr.isatty():
        yield _lines(description)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield on_progress


def _lines(description: str) -> OnProgress:
    last = time.monotonic()

    def on_progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            tell(f"{description}: {done}/{total}")

    return on_progress
