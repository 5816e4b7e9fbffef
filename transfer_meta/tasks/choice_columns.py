"""Columns of multiple choice: one list, or columns with letters or numbers (``A``, ``option_a``, ``ending0``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from transfer_meta.readers.rows import BadRow, Row
from transfer_meta.tasks.choice_labels import CHOICES_FROM, TEXTS, find_choice, read_choices

CHOICE_LISTS = ("choices", "options", "endings", "candidates", "alternatives", "choice", "answers")
"""Names, in lower case, of columns that hold the list of choices."""
_STEMS = (
    "choice|option|opt|op|ending|answer|ans|solution|sol|alternative|alt|candidate|cand|hypothesis|hyp|response"
    "|completion"
)
_NUMBERED = re.compile(rf"({_STEMS})[_\- ]?(\d\d?)")
_LETTERED = re.compile(rf"({_STEMS}|)[_\- ]?([a-z])")


def find_choice_columns(names: Sequence[str]) -> list[list[str]]:
    """Return the groups of columns that count choices, each in order.

    A group has a common beginning and runs from 0, 1 or *a* without gaps; single letters alone are a group, too.

    Examples
    --------
    >>> find_choice_columns(["id", "sol1", "sol2", "answers", "answer"])
    [['sol1', 'sol2']]
    >>> find_choice_columns(["question", "B", "A", "C", "answer"]), find_choice_columns(["optionA", "optionB"])
    ([['A', 'B', 'C']], [['optionA', 'optionB']])
    """
    groups: dict[tuple[str, bool], dict[int, str]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name.lower()):
            groups.setdefault((match[1], True), {})[int(match[2])] = name
        elif match := _LETTERED.fullmatch(name.lower()):
            groups.setdefault((match[1], False), {})[ord(match[2]) - ord("a")] = name
    found = []
    for (_, numbered), columns in groups.items():
        start = min(columns)
        if len(columns) > 1 and start <= numbered and max(columns) - start == len(columns) - 1:
            found.append([columns[i] for i in sorted(columns)])
    return found


def labels_fit(rows: Sequence[Row], columns: Sequence[str], label: str) -> bool:
    """Return whether the labels of some rows call their choices, as far as rows have labels."""
    for row in rows:
        raw = row.get(label)
        if raw is None or raw == "":
            continue
        try:
            cell = read_choices(row, columns)
            indices = [find_choice(raw, cell, digits) for digits in CHOICES_FROM]
        except (BadRow, KeyError):
            return False
        if not any(index is not None and -1 <= index < len(cell.texts) for index in indices):
            return False
    return True


def same_choice(rows: Sequence[Row], columns: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether several columns of labels call the same choice in every row."""

    def indices(label: str) -> list[Any]:
        return [find_choice(row.get(label), read_choices(row, columns), TEXTS) for row in rows]

    try:
        first, *others = (indices(label) for label in labels)
    except (BadRow, KeyError):
        return False
    return None not in first and all(other == first for other in others)


def is_text_list(cells: Sequence[Any]) -> bool:
    """Return whether the first cell that holds something is a list of strings."""
    first = next((cell for cell in cells if cell), None)
    return isinstance(first, list) and all(isinstance(item, str) for item in first)
