"""Tables and JSON on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer_meta.records import OnProgress

SECONDS_BETWEEN_LINES = 10.0
"""Pause between two lines of progress where stderr is not a terminal."""


def tell(line: str) -> None:
    """Write a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Write a value as JSON, with NaN and infinities as null."""
    json.dump(_plain(value), sys.stdout, indent=2, allow_nan=False, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Write a table; cells are formatted by `format_value`."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Without a terminal, whose width would be assumed as 80.
    console = Console(width=None if sys.stdout.isatty() else 240, soft_wrap=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # Text, not str: square brackets in names are not markup.
        table.add_row(*(Text(format_value(value)) for value in row))
    if title:
        print(title)
    with console.capture() as rendered:
        console.print(table)
    print("\n".join(line.rstrip() for line in rendered.get().strip("\n").splitlines()))


def print_records(records: Sequence[Mapping[Any, Any]], *, title: str | None = None) -> None:
    """Write a table of records that have the same keys."""
    print_table([str(c) for c in records[0]], [list(r.values()) for r in records], title=title)


def format_value(value: Any) -> str:
    """Return the text of a cell: floats with three decimals, NaN and None as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


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


def _plain(value: Any) -> Any:
    """Convert NumPy scalars, arrays and tuples to the types of JSON."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
