"""Detection of how a CSV or TSV file separates and quotes its cells, from its first lines."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.csv_columns import looks_like_data
from transfer_meta.readers.csv_records import (
    BadRecord,
    Dialect,
    careful_records,
    csv_reader,
    hide_returns,
    is_blank,
)
from transfer_meta.readers.opening import MAX_START

_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
MAX_PREAMBLE = 10
"""Largest number of records before the header."""
START_LINES = 200
"""Number of lines from which separator, quoting and empty columns are detected."""
_MIN_FITTING_SHARE = 0.5
"""Smallest share of rows as wide as the header, where no separator gives equally many fields in all rows."""
_MIN_SPACED_SHARE = 0.9
"""Smallest share of a column's cells that begin with a space, for it to be no part of them."""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""First line that Excel writes and reads: ``sep=;``."""


def count_comments(path: Path, start: list[str], separator: str | None) -> int:
    """Return the number of lines before the header that begin with ``#`` and are no rows."""
    count = sum(1 for _ in itertools.takewhile(lambda line: line.startswith("#"), start))
    if not count or count == len(start):
        return 0
    separator = separator or _find_separator(path, start[count:])
    widths = [len(line.split(separator)) for line in start[: count + 1]]
    return count if widths[-1] > 1 and widths[-1] not in widths[:-1] else 0


def count_preamble(records: list[tuple[int, list[str]]]) -> int:
    """Return the number of records before the header: those of one cell, such as a title, or of none.

    The header is the first record that fills as many cells as most rows do; it does not look like data.
    """
    filled = [sum(bool(cell.strip()) for cell in record) for _, record in records]
    usual = Counter(filled[1:]).most_common(1)[0][0] if len(filled) > 2 else 0
    if usual < 2 or filled[0] > 1:
        return 0
    count = next(i for i, number in enumerate(filled) if number >= usual)
    rest = [record for _, record in records[count + 1 :]]
    if count > MAX_PREAMBLE or not rest or looks_like_data(records[count][1], rest):
        return 0
    return count


def find_dialect(
    path: Path, start: list[str], separator: str | None, quoted: bool | None, escape: str | None
) -> Dialect:
    """Return the dialect that the user set, else the one by which most of the first rows can be read."""
    if separator is None:
        separator = _find_separator(path, start)
    elif len(separator) != 1 or separator in '"\r\n':
        raise InputError(f"--separator: expected one character (or 'tab'), got {separator!r}")
    if escape is not None and (len(escape) > 1 or escape in ('"', "\r", "\n", separator)):
        raise InputError(f"--escape: expected one character, got {escape!r}")
    likely = quoted if quoted is not None else separator != "\t" or _well_quoted(start)
    dialect = Dialect(separator, likely, escape or "")
    records = sample_records(start, dialect)
    others = []
    if likely and _spaced_quotes(records):
        others.append(dialect._replace(spaces=True))
    if likely and _single_quoted(start, separator):
        others.append(dialect._replace(quote="'"))
    # Quotes that stay in the cells are no part of the texts.
    if others and _count_good(start, others[-1]) >= _count_good(start, dialect):
        return others[-1]
    if all(len(record) == len(records[0]) for record in records):
        return dialect
    others = []
    if likely and escape is None and any('\\"' in line for line in start):
        others.append(Dialect(separator, True, "\\"))
    if likely and quoted is None and not escape and not _quotes_cells(start, separator):
        others.append(Dialect(separator, False))
    return max([dialect, *others], key=lambda other: _count_good(start, other))


def sample_records(start: list[str], dialect: Dialect) -> list[list[str]]:
    """Return the records of the first lines without the last, where it may go on after them."""
    found = [record for _, record in careful_records(start, dialect)]
    if not _is_cut(start):
        return found
    open_quotes = (i for i, r in enumerate(found) if isinstance(r, BadRecord) and r.unfinished)
    return found[: next(open_quotes, len(found) - 1)]


def _is_cut(start: list[str]) -> bool:
    """Return whether the first lines of a file may not be all of it."""
    return len(start) >= START_LINES - 1 or sum(map(len, start)) > MAX_START


def _spaced_quotes(records: list[list[str]]) -> bool:
    """Return whether nearly all cells of a column begin with a space, and some with a quote after it."""
    for column in zip(*(record for record in records[1:] if record), strict=False):
        if any(cell.startswith(' "') for cell in column):
            spaced = sum(cell.startswith(" ") for cell in column)
            if spaced >= _MIN_SPACED_SHARE * sum(map(bool, column)):
                return True
    return False


def _single_quoted(start: list[str], separator: str) -> bool:
    """Return whether half of the lines or more begin and end a cell with ``'``, and none with ``"``."""
    text = f"\n{separator}".join(line.rstrip("\r\n") for line in start) + separator
    if f'{separator}"' in text or f'"{separator}' in text:
        return False
    begin, end = text.count(f"{separator}'"), text.count(f"'{separator}") + text.count("'\n")
    return min(begin, end) >= max(1, len(start) // 2)


def _quotes_cells(start: list[str], separator: str) -> bool:
    """Return whether some cells begin with a quote and some end with one."""
    cells = [cell for line in start for cell in line.rstrip("\r\n").split(separator)]
    return any(cell.startswith('"') for cell in cells) and any(cell.endswith('"') for cell in cells)


def _count_good(start: list[str], dialect: Dialect) -> int:
    """Return how many of the first records can be read and are as wide as the first."""
    records = sample_records(start, dialect)
    return sum(len(record) == len(records[0]) for record in records) if records else 0


def _find_separator(path: Path, start: list[str]) -> str:
    own = "\t" if ".tsv" in path.suffixes or ".tab" in path.suffixes else ","
    fitting = [separator for separator in _SEPARATORS if _fits(start, separator)]
    if own in fitting:
        return own
    if not fitting:
        shares = {separator: _fitting_share(start, separator) for separator in (own, *_SEPARATORS)}
        best = max(shares, key=lambda separator: shares[separator])
        return best if shares[best] > _MIN_FITTING_SHARE else own
    if len(fitting) > 1:
        raise InputError(
            f"{path}: {' or '.join(_SEPARATORS[s] for s in fitting)} may separate the columns; set --separator"
        )
    return fitting[0]


def _widths(start: list[str], separator: str) -> list[int]:
    """Return the numbers of fields of the first rows."""
    dialect = Dialect(separator, separator != "\t" or _well_quoted(start))
    try:
        reader = csv_reader(map(hide_returns, start), dialect, strict=False)
        widths = [len(record) for record in reader if not is_blank(record)]
    except csv.Error:
        return []
    # The last record may go on after the last of the first lines.
    return widths[:-1] if len(widths) > 1 and _is_cut(start) else widths


def _fits(start: list[str], separator: str) -> bool:
    """Return whether the first rows have equally many fields, more than one."""
    widths = _widths(start, separator)
    return bool(widths) and widths[0] > 1 and len(set(widths)) == 1


def _fitting_share(start: list[str], separator: str) -> float:
    """Return the share of the first rows that are as wide as the first; 0 where that has one field."""
    first, *widths = _widths(start, separator) or [0]
    return widths.count(first) / len(widths) if widths and first > 1 else 0.0


def _well_quoted(start: list[str]) -> bool:
    """Return whether some cells of a tab-separated file begin with a quote, and all of these are well quoted."""
    cells = [cell for line in start for cell in line.rstrip("\r\n").split("\t") if cell.startswith('"')]
    inner = [cell[1:-1] for cell in cells if len(cell) > 1 and cell.endswith('"')]
    return (
        bool(cells)
        and len(inner) == len(cells)
        and all('"' not in i.replace('""', "").replace('\\"', "") for i in inner)
    )
