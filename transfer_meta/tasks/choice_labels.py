"""Labels of multiple choice: indices from 0 or from 1, letters, keys, names of columns or texts of choices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from transfer_meta.errors import InputError
from transfer_meta.readers.rows import BadRow, NoLog, Row, Rows, lenient_rows

FROM_0, FROM_1, TEXTS = "0", "1", "text"
CHOICES_FROM = (FROM_0, FROM_1, TEXTS)
"""What a label in digits is: an index that counts from 0 or from 1, or the text of the choice."""
MAX_STRAY_LABELS = 0.05
"""Largest share of labels (or one of three) that may contradict how the others count; they are left out."""
_LETTER = re.compile(
    r"(?:(?:option|choice|answer)[\s_]*)?[(\[]?\s*([A-Za-z])\s*[)\].:]?", re.IGNORECASE
)


class ChoiceCell(NamedTuple):
    """The choices of a question and what a label may call them."""

    texts: list[str]
    keys: Sequence[Any] = ()


def read_choices(row: Row, columns: Sequence[str]) -> ChoiceCell:
    """Return the choices of a row: a list, an object of keys and texts, or one column a choice.

    Raises
    ------
    BadRow
        The cell holds something else.
    KeyError
        There is no such column.
    """
    texts: Any
    keys: Any = ()
    if len(columns) > 1:
        texts, keys = [row[name] for name in columns], columns
        while len(texts) > 2 and texts[-1] is None:
            texts.pop()
    else:
        texts = row[columns[0]]
    if type(texts) is list and texts and type(texts[0]) is str:
        pass
    elif isinstance(texts, dict):
        if "text" in texts:
            keys, texts = texts.get("label"), texts["text"]
        else:
            keys, texts = list(texts), list(texts.values())
            texts = [text for text in texts if text is not None]
    elif isinstance(texts, list) and texts and all(isinstance(choice, dict) for choice in texts):
        keys, texts = [c.get("label") for c in texts], [c.get("text") for c in texts]
    if not isinstance(texts, list) or not all(type(text) is str for text in texts):
        raise BadRow(
            "with choices that are no strings", f"{','.join(columns)} must be a list of strings"
        )
    return ChoiceCell(texts, keys if isinstance(keys, Sequence) else ())


def find_choice(raw: Any, choices: ChoiceCell, digits: str) -> int | None:
    """Return the index of the right choice; None if the label calls none of them.

    Parameters
    ----------
    raw : str, int, float or other
        The label.
    choices : ChoiceCell
    digits : str
        One of `CHOICES_FROM`.

    Raises
    ------
    BadRow
        Digits that may be an index or the text of another choice, unless `digits` is ``text``.
    """
    if isinstance(raw, str | int) and raw in choices.keys and not isinstance(raw, bool):
        return choices.keys.index(raw)
    number = as_index(raw)
    if isinstance(raw, str) and raw:
        written_out = [i for i, text in enumerate(choices.texts) if text == raw]
        if digits == TEXTS and len(written_out) == 1:
            return written_out[0]
        if number is not None:
            index = number - (digits == FROM_1)
            if written_out not in ([], [index]):
                raise BadRow(
                    "with a label that may be an index or a choice's text",
                    f"the label '{raw}' may be an index or a choice's text; set --choices-from (0, 1 or text)",
                )
            return index
        if len(written_out) == 1:
            return written_out[0]
        keys = [str(key).lower() for key in choices.keys]
        if raw.strip().lower() in keys:
            return keys.index(raw.strip().lower())
        if letter := _LETTER.fullmatch(raw.strip()):
            if letter[1].lower() in keys:
                return keys.index(letter[1].lower())
            return ord(letter[1].lower()) - ord("a")
        same = [i for i, text in enumerate(choices.texts) if text.split() == raw.split()]
        return same[0] if len(same) == 1 else None
    return None if number is None else number - (digits == FROM_1)


def find_digits(splits: Iterable[Rows], choices: Sequence[str], label: str) -> str:
    """Return what the labels in digits are, one of `CHOICES_FROM`, told from all rows of the first split.

    A label 0 says that they count from 0, a label that equals the number of choices that they count from 1.  The
    other splits are asked only if neither occurs in the first.

    Raises
    ------
    InputError
        The labels fit both, or contradict each other.
    """
    origin, some = "", False
    for rows in splits:
        zeros = tops = numbers = written = elsewhere = 0
        for _, row in lenient_rows(rows, NoLog()):
            try:
                cell = read_choices(row, choices)
            except (BadRow, KeyError):
                continue
            raw = row.get(label)
            number = as_index(raw)
            if number is None or number < 0 or raw in cell.keys or not cell.texts:
                continue
            numbers += 1
            zeros += number == 0
            tops += number == len(cell.texts)
            if isinstance(raw, str) and cell.texts.count(raw) == 1:
                written += 1
                elsewhere += cell.texts.index(raw) not in (number, number - 1)
                elsewhere += number > len(cell.texts)
        if numbers and written == numbers and elsewhere:
            return TEXTS
        if zeros or tops:
            few = max(MAX_STRAY_LABELS * max(zeros, tops), 1)
            if min(zeros, tops) > few or 3 * min(zeros, tops) > max(zeros, tops):
                raise InputError(
                    f"{rows.origin}: {zeros:,} labels in {label} are 0 and {tops:,} equal the number of choices;"
                    " set --choices-from 0 or --choices-from 1, and the others are left out"
                )
            return FROM_0 if zeros > tops else FROM_1
        origin, some = origin or rows.origin, some or numbers > 0
    if some:
        raise InputError(
            f"{origin}: the labels in {label} may count from 0 or from 1 (none is 0, and none is the number of"
            " choices); set --choices-from 0 or --choices-from 1"
        )
    return FROM_0


def as_index(raw: Any) -> int | None:
    """Return a label as an integer, also where it is written in digits or as a float; None if it is none."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    if isinstance(raw, str) and len(raw) < 10 and raw.isascii():
        digits = raw.strip()
        return int(digits) if digits.removeprefix("-").isdecimal() else None
    return None
