"""Conversion of rows to examples: one converter per task type, which checks what the row holds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.jsonl import kind
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import BadRow, Row, Rows, lenient_rows
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks.answer_places import answer_texts, find_answers, move_answer, read_answers
from transfer_meta.tasks.choice_labels import FROM_0, FROM_1, as_index, find_choice, read_choices
from transfer_meta.tasks.class_names import ClassNames, LabelRule, is_missing, is_no_label
from transfer_meta.tasks.conll import ConllSentences
from transfer_meta.tasks.generation_rows import convert_generation
from transfer_meta.tasks.iob import PLAIN, find_illegal, is_span_tag, repair
from transfer_meta.tasks.label_lists import only_label
from transfer_meta.tasks.reading_log import HEADER_AGAIN, WITHOUT_LABEL, Mending, ReadingLog
from transfer_meta.tasks.tag_notation import PLAIN_TAGS, Tagging

Columns = Mapping[str, str]
_DECIMAL_COMMA = re.compile(r"[+-]?(?!\d{1,3}(,\d{3})+$)\d+,\d+|[+-]?0,\d+")
"""Numbers whose comma does not separate thousands."""
Convert = Callable[[Row], Example]


def read_examples(
    rows: Rows,
    type: TaskType,
    columns: Columns,
    *,
    tagging: Tagging = PLAIN_TAGS,
    digits: str = FROM_0,
    labels: LabelRule | None = None,
    log: ReadingLog | None = None,
    keep_unlabelled: bool = False,
) -> Iterator[tuple[int, Example]]:
    """Yield the examples of a table, each with the number of its row.

    Without a column of labels the examples have none.

    Parameters
    ----------
    rows : Rows
    type : TaskType
    columns : mapping of role to column
        See `transfer_meta.tasks.detect`.
    tagging : Tagging
        How the tags of token classification are written.
    digits : str
        What labels of multiple choice in digits are, one of `CHOICES_FROM`.
    labels : LabelRule, optional
        Which labels mean "no label"; without one, cells that hold nothing.
    log : ReadingLog, optional
        Takes down the rows that are left out and mended, and, at the end, the number of examples.
    keep_unlabelled : bool
        Whether a row whose label is missing or cannot be used is an example without a label.

    Raises
    ------
    InputError
        Without a log: at the first row that does not fit, with its place.
    """
    mending = Mending(log)
    if not {"label", "answers"} & columns.keys():
        convert = _inputs_alone(type, columns, mending)
    elif type is TaskType.TOKEN_CLASSIFICATION:
        names = ClassNames(columns["label"], mending, labels)
        convert = _tagged(columns, tagging, mending, names)
    elif type is TaskType.CLASSIFICATION:
        convert = _classification(columns, ClassNames(columns["label"], mending, labels))
    elif type is TaskType.MULTIPLE_CHOICE:
        convert = _multiple_choice(columns, digits)
    elif type is TaskType.GENERATION:
        convert = convert_generation(columns)
    else:
        convert = _CONVERTERS[type](columns, mending)
    if keep_unlabelled:
        convert = _with_or_without_label(convert, _inputs_alone(type, columns, mending), mending)
    read = 0
    mended = mending.reasons
    for number, row in rows if log is None else lenient_rows(rows, log):
        try:
            example = convert(row)
        except (KeyError, BadRow) as error:
            bad = _missing_column(error, columns) if isinstance(error, KeyError) else error
            # A CoNLL file has one token per line.
            line = number + bad.token if isinstance(rows, ConllSentences) else number
            if log is None:
                raise InputError(f"{rows.place}{line}: {bad}") from None
            mended.clear()
            log.leave_out(bad.reason, f"{rows.place}{line}")
            continue
        if mended:
            for reason in mended:
                if log is not None:
                    log.mend(reason, f"{rows.place}{number}")
            mended.clear()
        read += 1
        yield number, example
    if log is not None:
        log.read = read


def _missing_column(error: KeyError, columns: Columns) -> BadRow:
    """Return the error of a row that lacks a column."""
    (column,) = error.args
    role = next((role for role, name in columns.items() if name == column), str(column))
    return BadRow(WITHOUT_LABEL if role == "label" else f"without {role}", f"there is no {error}")


def _classification(columns: Columns, names: ClassNames) -> Convert:
    text, label = columns["text"], columns["label"]
    strict = names.mending.strict

    alone = "text_pair" not in columns

    def convert(row: Row) -> Example:
        # Most rows are a text and a label that was met before: the rest is for the others.
        if alone:
            first, raw = row[text], row[label]
            if type(first) is str and type(raw) is str and raw != label:
                name = names.known.get(raw)
                if name is not None and first and not first.isspace():
                    return Example(first, name)
        first, second = _texts(row, columns, strict)
        raw = row[label]
        if type(raw) is list:
            raw = only_label(raw)
        if raw == label and first == text:
            raise BadRow(HEADER_AGAIN, "the row repeats the names of the columns")
        return Example(first, names(raw), second)

    return convert


def _inputs_alone(type: TaskType, columns: Columns, mending: Mending) -> Convert:
    """Return the converter to examples without labels."""
    if type is TaskType.GENERATION:
        return convert_generation(columns, labelled=False)
    strict = mending.strict
    choices = columns.get("choices", "").split(",")

    def convert(row: Row) -> Example:
        if type is TaskType.QUESTION_ANSWERING:
            return Example(_text(row, columns["question"]), None, _text(row, columns["context"]))
        if type is TaskType.MULTIPLE_CHOICE:
            first, second = _context_and_question(row, columns)
            texts = read_choices(row, choices).texts
            if not texts:
                raise BadRow("without choices", "there are no choices")
            return Example(first, None, second, tuple(texts))
        if type is TaskType.TOKEN_CLASSIFICATION and "tokens" in columns:
            tokens = row[columns["tokens"]]
            if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
                raise BadRow(
                    "with tokens that are no list of strings", f"{columns['tokens']} is no list"
                )
            if not tokens:
                raise BadRow("without text", "there are no tokens")
            return Example(" ".join(tokens), None, tokens=tuple(tokens))
        first, second = _texts(row, columns, strict)
        if type is TaskType.TOKEN_CLASSIFICATION:
            words = first.split()
            return Example(" ".join(words), None, tokens=tuple(words))
        return Example(first, None, second)

    return convert


def _with_or_without_label(convert: Convert, inputs: Convert, mending: Mending) -> Convert:
    """Return a converter that gives an example without a label where the label cannot be used."""

    def converted(row: Row) -> Example:
        try:
            return convert(row)
        except (KeyError, BadRow) as error:
            if isinstance(error, BadRow) and error.reason == HEADER_AGAIN:
                raise
            mending.reasons.clear()
            return inputs(row)

    return converted


def _regression(columns: Columns, mending: Mending) -> Convert:
    label = columns["label"]
    strict = mending.strict

    def convert(row: Row) -> Example:
        first, second = _texts(row, columns, strict)
        raw = row[label]
        if type(raw) is list:
            raw = only_label(raw)
        value = as_number(raw)
        if value is None or not math.isfinite(value):
            if is_no_label(raw):
                raise BadRow(WITHOUT_LABEL, "there is no label")
            if raw == label and first == columns["text"]:
                raise BadRow(HEADER_AGAIN, "the row repeats the names of the columns")
            what = f"{label} is {_short(raw)}, expected a number"
            if not isinstance(raw, str) or not _DECIMAL_COMMA.fullmatch(raw.strip()):
                raise BadRow("with a label that is no number", what)
            mending.mend("labels with a decimal comma", what)
            value = float(raw.replace(",", "."))
        return Example(first, value, second)

    return convert


def _tagged(columns: Columns, tagging: Tagging, mending: Mending, names: ClassNames) -> Convert:
    scheme, notation = tagging.scheme, tagging.notation

    def convert(row: Row) -> Example:
        tokens, raw = row[columns["tokens"]], row[columns["label"]]
        for name in (columns["tokens"], columns["label"]):
            if not isinstance(row[name], list):
                raise BadRow(
                    "with tokens or tags that are no list",
                    f"{name} is {kind(row[name])}, expected a list",
                )
        if len(tokens) != len(raw):
            raise BadRow(
                "with unequally many tokens and tags", f"{len(tokens)} tokens, but {len(raw)} tags"
            )
        if not all(type(token) is str for token in tokens):
            raise BadRow(
                "with tokens that are no strings", f"{columns['tokens']} holds what is no string"
            )
        names.check_tags(raw)
        tags = tuple(map(names.of_tag, raw))
        if notation is not None:
            spelled = notation.sentence(tags)
            if isinstance(spelled, int):
                raise BadRow(
                    "with a tag of another scheme",
                    f"tag {spelled + 1} of the sentence, '{shown(tags[spelled])}', is none of the scheme of the"
                    " others; set --scheme plain to take the tags as they are",
                    token=spelled,
                )
            tags = spelled
        if scheme != PLAIN and (illegal := find_illegal(tags, scheme)) is not None:
            index, what = illegal
            message = (
                f"tag {index + 1} of the sentence is illegal in {scheme}: {what};"
                " set --repair-tags to repair such tags, or --scheme plain to take them as they are"
            )
            if not all(map(is_span_tag, tags)):
                raise BadRow("with a tag of another scheme", message, token=index)
            mending.mend("with illegal tags", None if tagging.repair else message, token=index)
            tags = repair(tags, scheme)
        return Example(" ".join(tokens), tags, None, (), tuple(tokens))

    return convert


def _question(columns: Columns, mending: Mending) -> Convert:
    column, start_column = columns["answers"], columns.get("answer_start")

    def convert(row: Row) -> Example:
        context, question = _text(row, columns["context"]), _text(row, columns["question"])
        raw = row[column]
        if start_column:
            raw = {"text": raw, "answer_start": row[start_column]}
        if row.get("is_impossible") is True:
            return Example(question, (), context)
        if raw is None:
            raise BadRow(WITHOUT_LABEL, f"{column} is {kind(raw)}, expected answers")
        texts = answer_texts(raw)
        if texts is not None:
            return Example(question, _place_answers(texts, context, mending), context)
        answers = read_answers(column, raw)
        for text, start in answers:
            if not text or start < 0 or not context.startswith(text, start):
                answers = _mend_answers(answers, context, mending)
                break
        return Example(question, answers, context)

    return convert


def _place_answers(texts: list[str], context: str, mending: Mending) -> tuple[Answer, ...]:
    """Return answers without offsets where they first stand in the context; those that are nowhere are left out."""
    found = tuple(find_answers(texts, context))
    if not found:
        message = f"the answer {_short(texts[0])} has no offset and is nowhere in its context"
        raise BadRow("with an answer not in its context", message)
    mending.mend("with answers without offsets, taken at their first place")
    if len(found) < len({text.strip() for text in texts}):
        mending.mend("with an answer not in its context, dropped beside others")
    return found


def _mend_answers(answers: tuple[Answer, ...], context: str, mending: Mending) -> tuple[Answer, ...]:
    """Return answers that stand in the context: each as it is, moved, or left out beside others."""
    kept: list[Answer] = []
    lost = ""
    for answer in answers:
        text, start = answer
        if text and start >= 0 and context.startswith(text, start):
            kept.append(answer)
            continue
        if not text:
            lost, message = (
                "with an empty answer",
                "an empty answer; a question without answer has none",
            )
        else:
            at = context.find(text)
            where = f"it is at {at}" if at >= 0 else "it is nowhere in it"
            lost = "with an answer not in its context"
            message = f"the answer {_short(text)} is not at character {start} of its context ({where})"
        moved = None if mending.strict else move_answer(answer, context)
        if moved is not None:
            kept.append(moved[0])
            mending.mend(moved[1], message)
        elif mending.strict or len(answers) == 1:
            raise BadRow(lost, message)
    if not kept:
        raise BadRow(lost, "none of the answers is in its context")
    if len(kept) < len(answers):
        mending.mend(f"{lost}, dropped beside others")
    return tuple(kept)


def _multiple_choice(columns: Columns, digits: str) -> Convert:
    label = columns["label"]
    names = columns["choices"].split(",")
    only = names[0] if len(names) == 1 else None

    def convert(row: Row) -> Example:
        first, second = _context_and_question(row, columns)
        raw = row[label]
        texts: Any = row[only] if only is not None else None
        usual = type(texts) is list and type(raw) is int and digits == FROM_0 and 0 <= raw < len(texts)
        if usual and all(type(text) is str for text in texts):
            return Example(first, raw, second, tuple(texts))
        choices = read_choices(row, names)
        index = find_choice(raw, choices, digits)
        count = len(choices.texts)
        if index is None:
            missing = is_no_label(raw)
            what = "there is no label" if missing else f"{label} is {_short(raw)}"
            raise BadRow(
                WITHOUT_LABEL if missing else "with a label that is no choice",
                f"{what}, expected the index of the right choice, from 0",
            )
        if not 0 <= index < count:
            number, start = as_index(raw), int(digits == FROM_1)
            valid = f"{start} to {count - 1 + start}" if count else "there are none"
            raise BadRow(
                WITHOUT_LABEL
                if number is not None and number < 0
                else "with a label that is no choice",
                f"choice index {index if number is None else number} is out of range: {count} choices,"
                f" counted from {start} ({valid})",
            )
        return Example(first, index, second, tuple(choices.texts))

    return convert


def _context_and_question(row: Row, columns: Columns) -> tuple[str, str | None]:
    """Return the texts of multiple choice; the first of them where there is only one."""
    first, *rest = (_text(row, columns[r]) for r in ("context", "question") if r in columns)
    return first, rest[0] if rest else None


_CONVERTERS: dict[TaskType, Callable[[Columns, Mending], Convert]] = {
    TaskType.REGRESSION: _regression,
    TaskType.QUESTION_ANSWERING: _question,
}


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


def _text(row: Row, column: str) -> str:
    value = row[column]
    if type(value) is not str:
        raise BadRow(
            "without text" if is_missing(value) else "with a text that is no string",
            f"{column} is {kind(value)}, expected a string",
        )
    return value


def _texts(row: Row, columns: Columns, strict: bool) -> tuple[str, str | None]:
    pair = columns.get("text_pair")
    first, second = _text(row, columns["text"]), _text(row, pair) if pair else None
    if not strict and (not first or first.isspace()) and not (second and not second.isspace()):
        raise BadRow("without text", "the text is empty")
    return first, second


def _short(value: Any) -> str:
    return shown(repr(value), 60)
