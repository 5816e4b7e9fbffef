"""Base class of results, and tables as text."""

from __future__ import annotations

import html
import math
import re
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TEXT_WIDTH = 240
"""Characters of a line from which tables as text are folded, where stdout is no terminal."""
HIDDEN = re.compile(
    "["
    r"\x00-\x1f\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5"
    r"\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
)
"""Characters that act on a terminal, turn the direction of text, or cannot be seen or told from a space.

Unicode's categories Cc, Cf, Cs, Zl, Zp and Zs but for two spaces (U+0020, U+3000), and letters without a shape.
"""
_NEEDED_JOINER = re.compile("(?<=[\u0600-\U0010ffff])[\u200c\u200d](?=[\u0600-\U0010ffff])")
"""Joiners inside words of scripts that write them (Persian, Hindi), and inside emoji."""


class Result(ABC):
    """Base of results: print as a table, convert to a data frame, to plain values, to a figure and to HTML.

    Subclasses define `to_frame`, `to_dict` and `plot`, and `__str__` where more than the frame is to be printed.
    """

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the main table."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Return everything as plain values, as the command prints it with ``--json``."""

    @abstractmethod
    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the main figure, by default on new axes, and return its axes."""

    def __str__(self) -> str:
        return frame_as_text(self.to_frame())

    def _repr_html_(self) -> str:
        """Return the text before the first table of `str(self)` and the main table, for notebooks."""
        caption = html.escape(self.caption)
        table = frame_as_html(self.to_frame())
        return f"<p>{caption}</p>{table}" if caption else table

    @property
    def caption(self) -> str:
        """One line above the table in a notebook; may be empty."""
        return ""


def visible(text: object, *, lines: bool = False) -> str:
    r"""Return a text without the characters of `HIDDEN`, which are written as escapes: for a terminal.

    Names, labels, columns and messages come from files, and may hold whatever their writers wanted.

    Parameters
    ----------
    text : object
        Converted by ``str``.
    lines : bool
        Keep newlines: of a text of several lines.

    Examples
    --------
    >>> visible("red \x1b[31m"), visible("two\nlines"), visible("abc\u202e.exe")
    ('red \\x1b[31m', 'two\\nlines', 'abc\\u202e.exe')
    """
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    needed = {match.start() for match in _NEEDED_JOINER.finditer(text)}

    def escaped(match: re.Match[str]) -> str:
        keep = match.start() in needed or (lines and match[0] == "\n")
        return match[0] if keep else match[0].encode("unicode_escape").decode()

    return HIDDEN.sub(escaped, text)


def table_as_text(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str | None = None,
    width: int | None = None,
) -> str:
    """Return a table as text; cells are formatted by `format_value`, numbers aligned to the right.

    What is hidden in titles, names of columns and cells is escaped by `visible`.

    Parameters
    ----------
    columns : sequence of str
    rows : sequence of sequences
        Cells, as many per row as columns.
    title : str, optional
        Line above the table.
    width : int, optional
        Characters of a line; wider tables are folded.  By default the terminal's, or `TEXT_WIDTH` without one.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else TEXT_WIDTH
    console = Console(width=width, soft_wrap=False, color_system=None)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        # Text, not str: square brackets in names are not markup.
        header = Text(visible(column))
        table.add_column(header, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(format_value(value))) for value in row))
    with console.capture() as rendered:
        console.print(table)
    lines = "\n".join(line.rstrip() for line in rendered.get().splitlines()).strip("\n").split("\n")
    return "\n".join([visible(title), *lines] if title else lines)


def records_as_text(records: Sequence[Mapping[Any, Any]], *, title: str | None = None) -> str:
    """Return a table of records that have the same keys."""
    return table_as_text([str(c) for c in records[0]], [list(r.values()) for r in records], title=title)


def table_as_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    r"""Return a table in Markdown; cells are formatted by `format_value`, bars and tags in them are escaped.

    Examples
    --------
    >>> print(table_as_markdown(["name", "value"], [["a|b", 0.5]]))
    | name | value |
    | --- | --- |
    | a\|b | 0.500 |
    """
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)


def _markdown_cell(value: Any) -> str:
    text = " ".join(visible(format_value(value)).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def frame_as_text(frame: pd.DataFrame, *, title: str | None = None) -> str:
    """Return a data frame as text, without its index."""
    rows = frame.astype(object).itertuples(index=False, name=None)
    return table_as_text([str(c) for c in frame], list(rows), title=title)


def frame_as_html(frame: pd.DataFrame) -> str:
    """Return a data frame as an HTML table without its index; cells are in full and escaped."""
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):
        return frame.to_html(index=False, na_rep="–", float_format=format_value, border=0)


def format_value(value: Any) -> str:
    """Return the text of a cell: floats with three decimals, NaN and None as a dash.

    Examples
    --------
    >>> format_value(0.12345), format_value(12345.6), format_value(None)
    ('0.123', '12,346', '–')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours.

    Examples
    --------
    >>> format_duration(80), format_duration(600), format_duration(9000)
    ('80 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_bytes(number: float) -> str:
    """Return a number of bytes in megabytes or gigabytes.

    Examples
    --------
    >>> format_bytes(2_000_000), format_bytes(1_500_000_000)
    ('2 MB', '1.5 GB')
    """
    return f"{number / 1e6:.0f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"


def format_size(number: int) -> str:
    """Return the size of a file in bytes, kilobytes, megabytes or gigabytes.

    Examples
    --------
    >>> format_size(900), format_size(1_500), format_size(2_400_000)
    ('900 B', '1.5 kB', '2.4 MB')
    """
    if number < 1000:
        return f"{number} B"
    unit, factor = next((u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if number >= f)
    return f"{number / factor:.1f} {unit}"


def plain_values(value: Any) -> Any:
    """Convert NumPy scalars, arrays, paths and tuples to the types of JSON; NaN and infinities to None."""
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(v) for v in value]
    if hasattr(value, "tolist"):
        return plain_values(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
