"""Lists in place of labels: one label in each is read, several labels and spans of characters are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import BadRow

SEVERAL = "several labels a text"
_TO_DO = "keep one label a row, or make a task of yes and no for each label"
_WRITTEN_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_STARTS = ("start", "start_offset", "begin", "offset_start")
_ENDS = ("end", "end_offset", "offset_end", "length")


def only_label(cell: list[Any]) -> Any:
    """Return the only label of a list, None for an empty one.

    Raises
    ------
    BadRow
        There are several.
    """
    if len(cell) > 1:
        raise BadRow(f"with {SEVERAL}", f"{SEVERAL} are not read ({shown(repr(cell))}); {_TO_DO}")
    return cell[0] if cell else None


def check_label_lists(cells: Iterable[tuple[Any, str]], column: str) -> None:
    """Raise an InputError if labels, each with its place, are lists of several labels or spans of characters."""
    written = labels = 0
    first = ""
    for cell, place in cells:
        if are_spans(cell):
            raise InputError(f"{place}: {_about_spans(column, cell)}")
        if isinstance(cell, list) and len(cell) > 1:
            raise InputError(
                f"{place}: {SEVERAL} are not read: {column} is {shown(repr(cell))}; {_TO_DO}"
            )
        if isinstance(cell, str) and cell:
            labels += 1
            if _WRITTEN_LIST.fullmatch(cell.strip()):
                written += 1
                first = first or (
                    f"{place}: {SEVERAL} are not read: {column} is {shown(cell)}" * ("," in cell)
                )
    if first and 2 * written > labels:
        raise InputError(f"{first}; {_TO_DO}")


def check_span_columns(rows: Sequence[Any], names: Sequence[str], places: Sequence[str]) -> None:
    """Raise an InputError if a column holds spans of characters, as exports of annotation tools do."""
    for name in names:
        for row, place in zip(rows, places, strict=True):
            cell = row.get(name)
            if cell:
                if are_spans(cell):
                    raise InputError(f"{place}: {_about_spans(name, cell)}")
                break


def are_spans(cell: Any) -> bool:
    """Return whether a cell holds spans of characters: ``[[0, 4, "PER"]]`` or objects with start and end.

    Examples
    --------
    >>> are_spans([[0, 4, "PER"]]), are_spans([{"start": 0, "end": 4, "label": "PER"}]), are_spans([3, 7])
    (True, True, False)
    >>> are_spans([{"result": [{"value": {"start": 0, "end": 4, "labels": ["PER"]}}]}])
    True
    """
    if isinstance(cell, dict):
        # Label Studio has annotations that have results, spaCy {"entities": [[0, 4, "PER"]]}.
        inner = [cell[key] for key in ("result", "entities", "spans", "annotations") if cell.get(key)]
        return any(map(are_spans, inner))
    if not isinstance(cell, list) or not cell:
        return False
    return all(map(_is_span, cell)) or all(isinstance(item, dict) and are_spans(item) for item in cell)


def _is_span(item: Any) -> bool:
    if isinstance(item, dict):
        inside = item["value"] if isinstance(item.get("value"), dict) else item
        return any(key in inside for key in _STARTS) and any(key in inside for key in _ENDS)
    return (
        isinstance(item, list)
        and len(item) >= 3
        and sum(type(part) is int for part in item) >= 2
        and any(isinstance(part, str) for part in item)
    )


def _about_spans(column: str, cell: Any) -> str:
    return (
        f"{column} holds spans of characters ({shown(repr(cell))}), and these are not read; write one token a line"
        " with its tag (CoNLL, which annotation tools export), or lists of tokens and tags"
    )
