"""Rows into examples: one function a task type, each checking what its rows hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.jsonl import kind
from transfer_meta.readers.rows import Row, Rows
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks.conll import ConllSentences
from transfer_meta.tasks.iob import PLAIN, find_illegal, repair

Columns = Mapping[str, str]
Numbered = Iterator[tuple[int, Example]]


def read_examples(
    rows: Rows, type: TaskType, columns: Columns, *, scheme: str = PLAIN, repair_tags: bool = False
) -> Numbered:
    """The examples of a table, each with its row's number.

    Parameters
    ----------
    rows : Rows
    type : TaskType
    columns : mapping of role to column
        See `transfer_meta.tasks.detect`.
    scheme : str
        ``IOB1``, ``IOB2``, ``IOBES`` or ``plain``, for token classification.
    repair_tags : bool
        Make illegal tag sequences legal instead of refusing them.

    Raises
    ------
    InputError
        At the first row that does not fit, with its place.
    """
    if type is TaskType.TOKEN_CLASSIFICATION:
        return _tagged(rows, columns, scheme, repair_tags)
    return _READERS[type](rows, columns)


def _classification(rows: Rows, columns: Columns) -> Numbered:
    text, label = columns["text"], columns["label"]
    pair = columns.get("text_pair")
    label_kind: type | None = None
    for number, row in rows:
        try:
            first, second, raw = row[text], row[pair] if pair else None, row[label]
        except KeyError as error:
            raise _no_column(rows, number, error) from None
        if type(first) is not str or (pair and type(second) is not str):
            raise _not_text(rows, number, text if type(first) is not str else str(pair), row)
        if type(raw) is not label_kind:
            if label_kind is not None and raw is not None:
                raise InputError(
                    f"{rows.place}{number}: mixed types: {label} is {kind(raw)}, above it is {_KINDS[label_kind]}"
                )
            label_kind = type(raw)
        # Most labels are plain strings: the rest is for the others.
        if label_kind is not str or raw in _NOTHING:
            raw = _class_name(rows, number, label, raw)
        yield number, Example(first, raw, second)


def _regression(rows: Rows, columns: Columns) -> Numbered:
    text, label = columns["text"], columns["label"]
    pair = columns.get("text_pair")
    for number, row in rows:
        try:
            first, second, raw = row[text], row[pair] if pair else None, row[label]
        except KeyError as error:
            raise _no_column(rows, number, error) from None
        if type(first) is not str or (pair and type(second) is not str):
            raise _not_text(rows, number, text if type(first) is not str else str(pair), row)
        value = as_number(raw)
        if value is None or not math.isfinite(value):
            what = (
                "there is no label"
                if is_missing(raw)
                else f"{label} is {_short(raw)}, expected a number"
            )
            raise InputError(f"{rows.place}{number}: {what}")
        yield number, Example(first, value, second)


def _tagged(rows: Rows, columns: Columns, scheme: str, repair_tags: bool) -> Numbered:
    tokens_column, label_column = columns["tokens"], columns["label"]
    for number, row in rows:
        try:
            tokens, raw = row[tokens_column], row[label_column]
        except KeyError as error:
            raise _no_column(rows, number, error) from None
        for name, cell in ((tokens_column, tokens), (label_column, raw)):
            if not isinstance(cell, list):
                raise InputError(f"{rows.place}{number}: {name} is {kind(cell)}, expected a list")
        if len(tokens) != len(raw):
            raise InputError(f"{rows.place}{number}: {len(tokens)} tokens, but {len(raw)} tags")
        if not all(type(token) is str for token in tokens):
            raise InputError(f"{rows.place}{number}: {tokens_column} holds what is no string")
        tags = tuple(raw)
        if not all(type(tag) is str and tag and tag not in _NOTHING for tag in tags):
            tags = tuple(_class_name(rows, number, label_column, tag) for tag in raw)
        if scheme != PLAIN and (illegal := find_illegal(tags, scheme)) is not None:
            if not repair_tags:
                raise _illegal(rows, number, scheme, illegal)
            tags = repair(tags, scheme)
        yield number, Example(" ".join(tokens), tags, None, (), tuple(tokens))


def _questions(rows: Rows, columns: Columns) -> Numbered:
    context_column, question_column, column = (
        columns["context"],
        columns["question"],
        columns["answers"],
    )
    start_column = columns.get("answer_start")
    for number, row in rows:
        try:
            context, question, raw = row[context_column], row[question_column], row[column]
            if start_column:
                raw = {"text": raw, "answer_start": row[start_column]}
        except KeyError as error:
            raise _no_column(rows, number, error) from None
        if type(context) is not str or type(question) is not str:
            raise _not_text(
                rows, number, context_column if type(context) is not str else question_column, row
            )
        answers = []
        for text, start in _answers(rows, number, column, raw):
            if not text:
                raise InputError(
                    f"{rows.place}{number}: an empty answer; a question without answer has none"
                )
            if start < 0 or not context.startswith(text, start):
                at = context.find(text)
                where = f"it is at {at}" if at >= 0 else "it is nowhere in it"
                raise InputError(
                    f"{rows.place}{number}: the answer {_short(text)} is not at character {start}"
                    f" of its context ({where})"
                )
            answers.append(Answer(text, start))
        yield number, Example(question, tuple(answers), context)


def _answers(rows: Rows, number: int, column: str, raw: Any) -> list[tuple[str, int]]:
    """The answers of one question from the forms in use: a list of objects, an object of lists or of values."""
    if isinstance(raw, list) and all(isinstance(answer, dict) for answer in raw):
        texts = [answer.get("text") for answer in raw]
        starts = [answer.get("answer_start") for answer in raw]
    elif isinstance(raw, dict):
        texts, starts = (
            cell if isinstance(cell, list) else [] if cell is None or cell == "" else [cell]
            for cell in (raw.get("text"), raw.get("answer_start"))
        )
        # No text beside an offset such as -1 is how flat tables write "no answer".
        starts = starts if texts else []
    else:
        raise InputError(
            f"{rows.place}{number}: {column} is {kind(raw)}, expected answers with text and answer_start"
        )
    starts = [
        int(s) if isinstance(s, str) and s.isascii() and s.isdecimal() and len(s) < 10 else s
        for s in starts
    ]
    if (
        len(texts) != len(starts)
        or not all(type(text) is str for text in texts)
        or not all(type(start) is int for start in starts)
    ):
        raise InputError(
            f"{rows.place}{number}: {column} must have a text (a string) and an answer_start (an integer)"
            " for each answer"
        )
    return list(zip(texts, starts, strict=True))


def _choices(rows: Rows, columns: Columns) -> Numbered:
    label = columns["label"]
    texts = [columns[role] for role in ("context", "question") if role in columns]
    names = columns["choices"].split(",")
    for number, row in rows:
        try:
            first, *rest = (row[name] for name in texts)
            choices = row[names[0]] if len(names) == 1 else [row[name] for name in names]
            raw = row[label]
        except KeyError as error:
            raise _no_column(rows, number, error) from None
        for name in texts:
            if type(row[name]) is not str:
                raise _not_text(rows, number, name, row)
        keys: list[Any] = []
        if isinstance(choices, dict):
            keys = choices.get("label") or []
            choices = choices.get("text")
        if not isinstance(choices, list) or not all(type(choice) is str for choice in choices):
            raise InputError(f"{rows.place}{number}: {columns['choices']} must be a list of strings")
        index = (
            keys.index(raw)
            if isinstance(keys, list) and raw in keys
            else _choice(rows, number, label, raw, choices)
        )
        if not 0 <= index < len(choices):
            valid = f"0 to {len(choices) - 1}" if choices else "there are none"
            raise InputError(
                f"{rows.place}{number}: choice index {index} is out of range:"
                f" {len(choices)} choices, counted from 0 ({valid})"
            )
        yield number, Example(first, index, rest[0] if rest else None, tuple(choices))


def _choice(rows: Rows, number: int, label: str, raw: Any, choices: list[str]) -> int:
    """The index of the right choice, written as an index, a letter, or the choice itself."""
    if type(raw) is int:
        return raw
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if isinstance(raw, str) and raw:
        written_out = [i for i, choice in enumerate(choices) if choice == raw]
        digits = int(raw) if raw.isascii() and raw.isdecimal() and len(raw) < 10 else None
        if digits is not None and written_out not in ([], [digits]):
            raise InputError(
                f"{rows.place}{number}: {label} {_short(raw)} may be an index or a choice's text;"
                " write the index as a number"
            )
        if digits is not None:
            return digits
        if len(written_out) == 1:
            return written_out[0]
        if len(raw) == 1 and "A" <= raw <= "Z":
            return ord(raw) - ord("A")
    what = "there is no label" if is_missing(raw) else f"{label} is {_short(raw)}"
    raise InputError(f"{rows.place}{number}: {what}, expected the index of the right choice, from 0")


_READERS: dict[TaskType, Callable[[Rows, Columns], Numbered]] = {
    TaskType.CLASSIFICATION: _classification,
    TaskType.REGRESSION: _regression,
    TaskType.QUESTION_ANSWERING: _questions,
    TaskType.MULTIPLE_CHOICE: _choices,
}

_KINDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
#: Strings that stand for no label.
_NOTHING = frozenset({"", "nan", "NaN"})


def is_missing(value: Any) -> bool:
    """Whether a cell stands for no label: null, empty, NaN."""
    if isinstance(value, str):
        return value in _NOTHING
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_number(value: Any) -> float | None:
    """The value as a float, None where it is no number.

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


def _class_name(rows: Rows, number: int, label: str, raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int) and abs(raw) < 2**63:
        return str(raw)
    if isinstance(raw, float) and math.isfinite(raw):
        return str(int(raw)) if raw.is_integer() and abs(raw) < 2**53 else repr(raw)
    if isinstance(raw, str) and raw not in _NOTHING:
        return raw
    if is_missing(raw):
        raise InputError(f"{rows.place}{number}: there is no label ({label} is {_short(raw)})")
    raise InputError(f"{rows.place}{number}: {label} is {kind(raw)}, expected a class")


def _no_column(rows: Rows, number: int, error: KeyError) -> InputError:
    return InputError(f"{rows.place}{number}: there is no {error}")


def _not_text(rows: Rows, number: int, column: str, row: Row) -> InputError:
    return InputError(f"{rows.place}{number}: {column} is {kind(row[column])}, expected a string")


def _illegal(rows: Rows, number: int, scheme: str, illegal: tuple[int, str]) -> InputError:
    index, what = illegal
    # A CoNLL file has one token a line.
    line = number + index if isinstance(rows, ConllSentences) else number
    return InputError(
        f"{rows.place}{line}: tag {index + 1} of the sentence is illegal in {scheme}: {what};"
        " set --repair-tags to repair such tags, or --scheme plain to take them as they are"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
