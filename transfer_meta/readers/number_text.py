"""Numbers written as text: thousands separators, decimal commas, percent signs, spellings of a missing value."""

from __future__ import annotations

import re
from collections.abc import Collection

import pandas as pd

MISSING_NUMBERS = frozenset(
    ("", "-", "--", "–", "—", "?", ".", "na", "n/a", "#n/a", "nan", "none", "null", "nil", "missing")
)
"""Spellings of a missing number, in lower case."""

_EXPONENT = r"(?:[eE][+-]?\d+)?"
_GROUPS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"
_THOUSANDS = re.compile(_GROUPS)
_SURE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:,\d{3})+\.\d+)")
_DECIMAL_COMMA = re.compile(rf"[+-]?\d*,\d+{_EXPONENT}")
_DOTTED_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_DECIMAL_POINT = re.compile(rf"[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}")
_SPACES = re.compile(r"(?<=\d)[\s\u00a0\u202f'’](?=\d{3}(?:\D|$))")

_MIN_SHARE = 0.5
"""Least share of the cells with a comma for a column to be one of numbers."""


def parse_number_columns(
    frame: pd.DataFrame,
    *,
    text: Collection[str] = (),
    separator: str = ",",
    decimal: str | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Convert the columns of text that hold numbers.

    Parameters
    ----------
    frame : DataFrame
        Columns as pandas read them.
    text : collection of str
        Columns that stay as they are: names.
    separator : str
        What separates the columns of the file; beside semicolons a comma in a number is a decimal comma.
    decimal : {".", ","} or None
        The decimal sign; None to detect it column by column.

    Returns
    -------
    frame : DataFrame
        With float columns where all cells are numbers or missing; where at least half of them are, the others stay
        as they are.
    notes : tuple of str
        What was read otherwise than written: at most a line each for decimal commas, thousands and percent signs.
    """
    strings = {
        str(name): frame[name].map(_to_text)
        for name in frame
        if name not in text and _is_text(frame[name])
    }
    commas = {name: decimal or _decimal_of(cells) for name, cells in strings.items()}
    clear = {sign for sign in commas.values() if sign in (",", ".")}
    # Cells such as 1,234 alone leave it open; the rest of the table, or semicolons between columns, decide.
    points = any(pd.api.types.is_float_dtype(frame[n]) and (frame[n] % 1 > 0).any() for n in frame)
    likely = "," if clear == {","} or (separator == ";" and not clear and not points) else "."
    found: dict[str, list[str]] = {"decimal commas": [], "thousands": [], "percent signs": []}
    changed = {}
    for name, cells in strings.items():
        sign = commas[name] or likely
        parsed = cells.map(lambda cell, sign=sign: _parse(cell, sign))
        known = cells.map(lambda cell: cell.casefold() not in MISSING_NUMBERS)
        readable = parsed.notna() & known
        if not known.any() or readable.sum() < _MIN_SHARE * known.sum():
            continue
        whole = bool(readable[known].all())
        changed[name] = (
            parsed.astype(float)
            if whole
            else frame[name].astype(object).where(~(readable | ~known), parsed)
        )
        with_comma = cells[readable & cells.str.contains(",", regex=False)]
        if len(with_comma):
            found["decimal commas" if sign == "," else "thousands"].append(str(name))
        if cells[readable].str.endswith("%").any():
            found["percent signs"].append(str(name))
    texts = {
        "decimal commas": "numbers with a decimal comma",
        "thousands": "commas read as thousands separators",
        "percent signs": "numbers with a percent sign, divided by 100",
    }
    notes = tuple(f"{texts[kind]}: {', '.join(names)}" for kind, names in found.items() if names)
    return frame.assign(**changed) if changed else frame, notes


def _is_text(column: pd.Series) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column))


def _to_text(cell: object) -> str:
    if isinstance(cell, str):
        return cell.replace("\u2212", "-").strip().strip("\ufeff\u200b\u00a0")
    return "" if cell is None or cell is pd.NA or cell != cell else str(cell)


def _decimal_of(cells: pd.Series) -> str | None:
    """Return the decimal sign that the cells of a column prove, or None."""
    bare = [cell.removesuffix("%").strip() for cell in pd.unique(cells)]
    if any(_SURE_THOUSANDS.fullmatch(cell) for cell in bare):
        return "."
    if any(_DECIMAL_COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in bare):
        return ","
    return None


def _parse(cell: str, decimal: str) -> float | None:
    scale = 1.0
    if cell.endswith("%"):
        cell, scale = cell[:-1].strip(), 100.0
    cell = _SPACES.sub("", cell)
    if decimal == ",":
        if _DECIMAL_COMMA.fullmatch(cell) or (_DOTTED_THOUSANDS.fullmatch(cell) and "," in cell):
            return float(cell.replace(".", "").replace(",", ".")) / scale
    elif _THOUSANDS.fullmatch(cell):
        return float(cell.replace(",", "")) / scale
    if _DECIMAL_POINT.fullmatch(cell) or cell.casefold().lstrip("+-") in ("inf", "infinity"):
        return float(cell) / scale
    return None
