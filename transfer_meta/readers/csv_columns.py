"""Names of the columns of a CSV or TSV file, and what its first rows say of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from transfer_meta.readers.opening import shown

_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_LONG_NAME = 50
"""Characters of a first cell, of six words or more, that is a text rather than a column's name."""


class Header(NamedTuple):
    """Names of the columns that are read, indices of those that are not, repeated names, and notes on them."""

    names: tuple[str, ...]
    empty: tuple[int, ...] = ()
    repeated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def number_columns(first: list[str]) -> Header:
    """Number the columns of a table without a header from 1."""
    return Header(tuple(map(str, range(1, len(first) + 1))))


def name_columns(first: list[str], sample: Sequence[list[str]]) -> Header:
    """Name the columns by the header; those without a name by position, or not at all where they are empty."""
    header = [name.strip().strip("\ufeff") for name in first]
    width = Counter(map(len, sample)).most_common(1)[0][0] if sample else len(header)
    same = [record for record in sample if len(record) == width]
    if width > len(header) and not any("".join(record[len(header) :]).strip() for record in same):
        header += [""] * (width - len(header))
    elif width == len(header) + 1 and _enumerates([record[0] for record in same]):
        header.insert(0, "")  # R and pandas write the names of rows without a name
    empty = tuple(
        index
        for index, name in enumerate(header)
        if not name and not any(record[index].strip() for record in sample if index < len(record))
    )
    notes: list[str] = []
    if empty:
        notes.append(f"{len(empty)} empty column{'s' * (len(empty) > 1)} without a name passed over")
    taken: set[str] = set()
    names: list[str] = []
    repeated: list[str] = []
    for index, name in enumerate(header):
        if index in empty:
            continue
        if not name:
            name = _free_name(f"column {index + 1}", (*taken, *header))
            notes.append(f"{name} has no name")
        elif name in taken:
            repeated.append(name)
            name, old = _free_name(name, (*taken, *header)), name
            notes.append(f"several columns are named '{shown(old)}', one is read as '{shown(name)}'")
        taken.add(name)
        names.append(name)
    return Header(tuple(names), empty, tuple(repeated), tuple(notes))


def _free_name(name: str, taken: Sequence[str]) -> str:
    """Return a name, with a number where it is taken."""
    numbered = (f"{name}.{number}" for number in itertools.count(2))
    return next(found for found in itertools.chain([name], numbered) if found not in taken)


def _enumerates(cells: Sequence[str]) -> bool:
    """Return whether cells are whole numbers that rise by one."""
    if len(cells) < 2 or not all(cell.isascii() and cell.isdecimal() for cell in cells):
        return False
    return all(int(after) == int(before) + 1 for before, after in itertools.pairwise(cells))


def decimal_commas(header: Header, *, separator: str, sample: Sequence[list[str]]) -> tuple[str, ...]:
    """Return the columns of numbers of which half or more are written with a decimal comma.

    Fewer are lists, such as ``27`` and ``3,10`` for several labels.  Cells such as ``1,250`` may be thousands.
    """
    places = [i for i in range(len(header.names) + len(header.empty)) if i not in header.empty]
    found = []
    for name, index in zip(header.names, places, strict=True):
        cells = [cell for r in sample if index < len(r) and (cell := r[index].strip())]
        with_comma = [cell for cell in cells if "," in cell]
        if (
            with_comma
            and 2 * len(with_comma) >= len(cells)
            and all(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)
            and (separator == ";" or not all(_THOUSANDS.fullmatch(cell) for cell in with_comma))
        ):
            found.append(name)
    return tuple(found)


def looks_like_data(first: list[str], sample: Sequence[list[str]]) -> bool:
    """Return whether the first row is like those below: a repeated value, a number among numbers, a text."""
    if [name.strip() for name in first] == [str(index) for index in range(len(first))]:
        return False  # as pandas numbers columns
    for index, name in enumerate(first):
        cells = [record[index] for record in sample if index < len(record)]
        if len(name) >= _LONG_NAME and len(name.split()) >= 6:
            return True
        if name.strip() and name in cells:
            return True
        if _is_number(name) and cells and all(map(_is_number, filter(None, cells))):
            return True
    return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
