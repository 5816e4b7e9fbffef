"""Rows of CSV and TSV files."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import MAX_LINE, find_encoding, first_lines, shown, text_lines
from transfer_meta.readers.rows import FileRows, Row

_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_START = 200
"""Number of lines from which separator and quoting are detected."""


@dataclass(frozen=True)
class DelimitedRows(FileRows):
    """Rows of a CSV or TSV file, numbered by the lines on which they begin.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Names of the columns.
    encoding, separator : str
    quoted : bool
        Whether ``"`` encloses cells, with ``""`` for a quote inside.
    header : bool
        Whether the first row holds the names.
    """

    path: Path
    names: tuple[str, ...]
    encoding: str
    separator: str
    quoted: bool
    header: bool

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        names = self.names
        count = len(names)
        records = _records(self.path, self.encoding, self.separator, self.quoted)
        for line, record in itertools.islice(records, int(self.header), None):
            if len(record) != count:
                raise InputError(
                    f"{self.path}:{line}: {len(record)} fields, expected {count}"
                    f" ({', '.join(map(shown, names[:8]))})"
                )
            yield line, dict(zip(names, record, strict=True))


def open_delimited(
    path: Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    quoted: bool | None = None,
    header: bool = True,
) -> DelimitedRows:
    """Open a CSV or TSV file and detect its encoding, separator and quoting from its first lines.

    The separator is that of the suffix (tab for .tsv, else comma) if all of the first rows then have equally many
    fields, else the only other one for which they do.  Cells are taken to be quoted, in tab-separated files only if
    all cells that begin with a quote are well quoted.

    Raises
    ------
    InputError
        No rows, no names, one column, or a separator that cannot be detected.
    """
    encoding = find_encoding(path, encoding)
    start = first_lines(path, encoding, _START)
    if not any(line.strip() for line in start):
        raise InputError(f"{path}: the file is empty")
    if separator is None:
        separator = _find_separator(path, start)
    elif len(separator) != 1 or separator in '"\r\n':
        raise InputError(f"--separator: expected one character (or 'tab'), got {separator!r}")
    if quoted is None:
        quoted = separator != "\t" or _well_quoted(start)
    records = _records(path, encoding, separator, quoted)
    line, first = next(records, (1, []))
    if not first or (header and not any(name.strip() for name in first)):
        raise InputError(f"{path}:{line}: the first row is empty, expected the columns' names")
    if header and next(records, None) is None:
        raise InputError(f"{path}:{line}: a header and no rows; if there is no header, set --no-header")
    names = (
        tuple(name.strip() for name in first) if header else tuple(map(str, range(1, len(first) + 1)))
    )
    if len(names) == 1:
        raise InputError(
            f"{path}:{line}: one column ('{shown(names[0])}'), expected a text and a label at least;"
            " set --separator if something else separates them"
        )
    double = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if double is not None:
        raise InputError(
            f"{path}:{line}: two columns are named '{shown(double)}'; if there is no header, set --no-header"
        )
    return DelimitedRows(path, names, encoding, separator, quoted, header)


def _records(
    path: Path, encoding: str, separator: str, quoted: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the records that are not blank, each with the line on which it begins."""
    reader = _reader(text_lines(path, encoding), separator, quoted, strict=True)
    line = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            hint = "; an open quote? set --no-quotes if quotes enclose no cells" if quoted else ""
            raise InputError(f"{path}:{line}: not readable as CSV: {error}{hint}") from None
        if record is None:
            return
        if not _blank(record):
            yield line, record
        line = reader.line_num + 1


def _reader(lines: Iterable[str], separator: str, quoted: bool, *, strict: bool) -> Any:
    # The limit is global; its default of 128 KiB is less than a long document.
    csv.field_size_limit(MAX_LINE)
    quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    return csv.reader(lines, delimiter=separator, quoting=quoting, strict=strict)


def _blank(record: list[str]) -> bool:
    """Return whether a record is an empty line; a line of separators is a row of empty cells."""
    return len(record) < 2 and not "".join(record).strip()


def _find_separator(path: Path, start: list[str]) -> str:
    own = "\t" if ".tsv" in path.suffixes or ".tab" in path.suffixes else ","
    fitting = [separator for separator in _SEPARATORS if _fits(start, separator)]
    if own in fitting or not fitting:
        return own
    if len(fitting) > 1:
        raise InputError(
            f"{path}: {' or '.join(_SEPARATORS[s] for s in fitting)} may separate the columns; set --separator"
        )
    return fitting[0]


def _fits(start: list[str], separator: str) -> bool:
    """Return whether the first rows have equally many fields, more than one."""
    quoted = separator != "\t" or _well_quoted(start)
    try:
        widths = [len(r) for r in _reader(start, separator, quoted, strict=False) if not _blank(r)]
    except csv.Error:
        return False
    # The last record may go on after the last of the first lines.
    whole = widths[:-1] if len(start) == _START else widths
    return bool(widths) and widths[0] > 1 and len(set(whole)) == 1


def _well_quoted(start: list[str]) -> bool:
    """Return whether some cells of a tab-separated file begin with a quote, and all of these are well quoted."""
    cells = [cell for line in start for cell in line.rstrip("\r\n").split("\t") if cell.startswith('"')]
    inner = [cell[1:-1] for cell in cells if len(cell) > 1 and cell.endswith('"')]
    return (
        bool(cells) and len(inner) == len(cells) and all('"' not in i.replace('""', "") for i in inner)
    )
