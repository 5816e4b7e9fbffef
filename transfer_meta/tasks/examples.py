"""Conversion of rows to examples: one converter per task type, which checks what the row holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.jsonl import kind
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import Row, Rows
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks.conll import ConllSentences
from transfer_meta.tasks.iob import PLAIN, find_illegal, repair

Columns = Mapping[str, str]
Convert = Callable[[Row], Example]

_NO_LABEL = frozenset({"", "nan", "NaN"})
"""Strings that stand for a missing label."""


class _RowError(Exception):
    """A row that cannot be converted; `token` is the index of the token that is wrong."""

    def __init__(self, reason: str, token: int = 0) -> None:
        super().__init__(reason)
        self.token = token


def read_examples(
    rows: Rows, type: TaskType, columns: Columns, *, scheme: str = PLAIN, repair_tags: bool = False
) -> Iterator[tuple[int, Example]]:
    """Yield the examples of a table, each with the number of its row.

    Parameters
    ----------
    rows : Rows
    type : TaskType
    columns : mapping of role to column
        See `transfer_meta.tasks.detect`.
    scheme : str
        ``IOB1``, ``IOB2``, ``IOBES`` or ``plain``, for token classification.
    repair_tags : bool
        Repair illegal tag sequences instead of refusing them.

    Raises
    ------
    InputError
        At the first row that does not fit, with its place.
    """
    if type is TaskType.TOKEN_CLASSIFICATION:
        convert = _tagged(columns, scheme, repair_tags)
    else:
        convert = _CONVERTERS[type](columns)
    for number, row in rows:
        try:
            example = convert(row)
        except KeyError as error:
            raise InputError(f"{rows.place}{number}: there is no {error}") from None
        except _RowError as error:
            # A CoNLL file has one token per line.
            line = number + error.token if isinstance(rows, ConllSentences) else number
            raise InputError(f"{rows.place}{line}: {error}") from None
        yield number, example


def _classification(columns: Columns) -> Convert:
    label = columns["label"]
    before: Any = None

    def convert(row: Row) -> Example:
        nonlocal before
        first, second = _texts(row, columns)
        raw = row[label]
        if type(raw) is not type(before):
            if before is not None and raw is not None:
                raise _RowError(f"mixed types: {label} is {kind(raw)}, above it is {kind(before)}")
            before = raw
        return Example(first, _class_name(label, raw), second)

    return convert


def _regression(columns: Columns) -> Convert:
    label = columns["label"]

    def convert(row: Row) -> Example:
        first, second = _texts(row, columns)
        raw = row[label]
        value = as_number(raw)
        if is_missing(raw):
            raise _RowError("there is no label")
        if value is None or not math.isfinite(value):
            raise _RowError(f"{label} is {_short(raw)}, expected a number")
        return Example(first, value, second)

    return convert


def _tagged(columns: Columns, scheme: str, repair_tags: bool) -> Convert:
    def convert(row: Row) -> Example:
        tokens, raw = row[columns["tokens"]], row[columns["label"]]
        for name in (columns["tokens"], columns["label"]):
            if not isinstance(row[name], list):
                raise _RowError(f"{name} is {kind(row[name])}, expected a list")
        if len(tokens) != len(raw):
            raise _RowError(f"{len(tokens)} tokens, but {len(raw)} tags")
        if not all(type(token) is str for token in tokens):
            raise _RowError(f"{columns['tokens']} holds what is no string")
        tags = tuple(_class_name(columns["label"], tag) for tag in raw)
        if scheme != PLAIN and (illegal := find_illegal(tags, scheme)) is not None:
            if not repair_tags:
                index, what = illegal
                raise _RowError(
                    f"tag {index + 1} of the sentence is illegal in {scheme}: {what};"
                    " set --repair-tags to repair such tags, or --scheme plain to take them as they are",
                    token=index,
                )
            tags = repair(tags, scheme)
        return Example(" ".join(tokens), tags, None, (), tuple(tokens))

    return convert


def _question(columns: Columns) -> Convert:
    column, start_column = columns["answers"], columns.get("answer_start")

    def convert(row: Row) -> Example:
        context, question = _text(row, columns["context"]), _text(row, columns["question"])
        raw = row[column]
        if start_column:
            raw = {"text": raw, "answer_start": row[start_column]}
        answers = _answers(column, raw)
        for text, start in answers:
            if not text:
                raise _RowError("an empty answer; a question without answer has none")
            if start < 0 or not context.startswith(text, start):
                at = context.find(text)
                where = f"it is at {at}" if at >= 0 else "it is nowhere in it"
                raise _RowError(
                    f"the answer {_short(text)} is not at character {start} of its context ({where})"
                )
        return Example(question, answers, context)

    return convert


def _answers(column: str, raw: Any) -> tuple[Answer, ...]:
    """Return the answers of a question, given as a list of objects or as an object of lists or of values."""
    if isinstance(raw, list) and all(isinstance(answer, dict) for answer in raw):
        texts = [answer.get("text") for answer in raw]
        starts = [answer.get("answer_start") for answer in raw]
    elif isinstance(raw, dict):
        texts, starts = (
            cell if isinstance(cell, list) else [] if cell is None or cell == "" else [cell]
            for cell in (raw.get("text"), raw.get("answer_start"))
        )
        # Flat tables write "no answer" as an offset such as -1 without a text.
        starts = starts if texts else []
    else:
        raise _RowError(f"{column} is {kind(raw)}, expected answers with text and answer_start")
    starts = [int(start) if _is_index(start) else start for start in starts]
    if (
        len(texts) != len(starts)
        or not all(type(text) is str for text in texts)
        or not all(type(start) is int for start in starts)
    ):
        raise _RowError(
            f"{column} must have a text (a string) and an answer_start (an integer) for each answer"
        )
    return tuple(map(Answer, texts, starts))


def _multiple_choice(columns: Columns) -> Convert:
    label = columns["label"]
    names = columns["choices"].split(",")

    def convert(row: Row) -> Example:
        first, *rest = (_text(row, columns[r]) for r in ("context", "question") if r in columns)
        choices = row[names[0]] if len(names) == 1 else [row[name] for name in names]
        raw = row[label]
        keys: Any = []
        if isinstance(choices, dict):
            keys, choices = choices.get("label"), choices.get("text")
        if not isinstance(choices, list) or not all(type(choice) is str for choice in choices):
            raise _RowError(f"{columns['choices']} must be a list of strings")
        keyed = isinstance(keys, list) and raw in keys
        index = keys.index(raw) if keyed else _choice(label, raw, choices)
        if not 0 <= index < len(choices):
            valid = f"0 to {len(choices) - 1}" if choices else "there are none"
            raise _RowError(
                f"choice index {index} is out of range: {len(choices)} choices, counted from 0 ({valid})"
            )
        return Example(first, index, rest[0] if rest else None, tuple(choices))

    return convert


def _choice(label: str, raw: Any, choices: list[str]) -> int:
    """Return the index of the right choice, given as an index, a letter, or the choice itself."""
    if type(raw) is int:
        return raw
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if isinstance(raw, str) and raw:
        written_out = [i for i, choice in enumerate(choices) if choice == raw]
        if _is_index(raw):
            if written_out not in ([], [int(raw)]):
                raise _RowError(
                    f"{label} {_short(raw)} may be an index or a choice's text; write the index as a number"
                )
            return int(raw)
        if len(written_out) == 1:
            return written_out[0]
        if len(raw) == 1 and "A" <= raw <= "Z":
            return ord(raw) - ord("A")
    what = "there is no label" if is_missing(raw) else f"{label} is {_short(raw)}"
    raise _RowError(f"{what}, expected the index of the right choice, from 0")


_CONVERTERS: dict[TaskType, Callable[[Columns], Convert]] = {
    TaskType.CLASSIFICATION: _classification,
    TaskType.REGRESSION: _regression,
    TaskType.QUESTION_ANSWERING: _question,
    TaskType.MULTIPLE_CHOICE: _multiple_choice,
}


def is_missing(value: Any) -> bool:
    """Return whether a cell stands for a missing label: null, empty, NaN."""
    if isinstance(value, str):
        return value in _NO_LABEL
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_number(value: Any) -> float | None:
    """Return the value as a float, None where it is no number.

    Examples
    --------
    >>> as_number("2.5"), as_number(True), as_number("1_000"), as_number("two")
    (2.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _is_index(value: Any) -> bool:
    """Return whether a string is an index in decimal digits."""
    return isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10


def _text(row: Row, column: str) -> str:
    value = row[column]
    if type(value) is not str:
        raise _RowError(f"{column} is {kind(value)}, expected a string")
    return value


def _texts(row: Row, columns: Columns) -> tuple[str, str | None]:
    pair = columns.get("text_pair")
    return _text(row, columns["text"]), _text(row, pair) if pair else None


def _class_name(label: str, raw: Any) -> str:
    if isinstance(raw, str) and raw not in _NO_LABEL:
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int) and abs(raw) < 2**63:
        return str(raw)
    if isinstance(raw, float) and math.isfinite(raw):
        return str(int(raw)) if raw.is_integer() and abs(raw) < 2**53 else repr(raw)
    if is_missing(raw):
        raise _RowError(f"there is no label ({label} is {_short(raw)})")
    raise _RowError(f"{label} is {kind(raw)}, expected a class")


def _short(value: Any) -> str:
    return shown(repr(value), 60)
