"""Detection of a table's task type and columns from its first rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfer_meta.errors import InputError, list_names, unknown
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import Row, Rows, sample_rows
from transfer_meta.records import TaskType
from transfer_meta.tasks.examples import as_number, is_missing

ROLES: dict[TaskType, tuple[str, ...]] = {
    TaskType.CLASSIFICATION: ("text", "text_pair?", "label"),
    TaskType.REGRESSION: ("text", "text_pair?", "label"),
    TaskType.TOKEN_CLASSIFICATION: ("tokens", "label"),
    TaskType.QUESTION_ANSWERING: ("context", "question", "answers", "answer_start?"),
    TaskType.MULTIPLE_CHOICE: ("context?", "question?", "choices", "label"),
}
"""Roles of columns by task type; those with a question mark are optional."""
_TYPE_OF_ROLE = {
    "tokens": TaskType.TOKEN_CLASSIFICATION,
    "choices": TaskType.MULTIPLE_CHOICE,
    "answers": TaskType.QUESTION_ANSWERING,
}
"""Roles that only one type has."""
_ALL_ROLES = tuple(dict.fromkeys(role.rstrip("?") for roles in ROLES.values() for role in roles))

# Common names of columns in lower case.  The first of each is this package's own and is preferred to the others.
_PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
    ("question", "sentence"),
    ("question", "passage"),
    ("query", "passage"),
)
_TEXT = (
    "text", "sentence", "content", "review", "tweet", "utterance", "document", "query", "comment", "question",
)  # fmt: skip
_LABEL = (
    "label", "labels", "class", "category", "target", "gold_label", "intent", "sentiment", "polarity", "score",
    "similarity", "similarity_score", "relatedness_score", "rating", "stars", "answer",
)  # fmt: skip
_TOKENS = ("tokens", "words")
_TAGS = ("tags", "label", "labels", "ner_tags", "pos_tags", "chunk_tags", "ner", "upos", "slots")
_CONTEXT = ("context", "passage", "article", "paragraph", "premise", "ctx", "text", "sentence")
_QUESTION = ("question", "query")
_ANSWERS = ("answers", "answer")
_CHOICES = ("choices", "options", "endings", "candidates")
_RIGHT = ("label", "answer", "answer_idx", "answerkey", "correct", "gold")
_NUMBERED_CHOICE = re.compile(r"(choice|option|ending|answer|solution|sol)_?([0-9])")
_SCALES = frozenset({"score", "similarity", "similarity_score", "relatedness_score", "rating", "stars"})
"""Columns whose whole numbers may be a scale or classes."""
_MAX_NUMBERED_CLASSES = 20
"""Largest number of distinct whole numbers that are taken to be classes; more may be counts."""


def detect(
    table: Rows, *, type: TaskType | None = None, columns: Mapping[str, str] | None = None
) -> tuple[TaskType, dict[str, str]]:
    """Return the task type of a table and its columns by role.

    Parameters
    ----------
    table : Rows
    type : TaskType, optional
        The type, if the user set it.
    columns : mapping of role to column, optional
        The columns that the user set, by the roles of `ROLES`; several columns of choices are joined by commas.

    Raises
    ------
    InputError
        No type or column fits, or several do; names the option to set.
    """
    seen = _sample(table, columns or {})
    if type is None:
        type = _find_type(seen)
    found = _find_columns(type, seen)
    missing = [role for role in _required(type) if role not in found]
    if type is TaskType.MULTIPLE_CHOICE and not {"context", "question"} & found.keys():
        missing.append("context")
    if missing:
        raise _cannot_tell(seen, missing)
    return type, found


@dataclass(frozen=True)
class _Seen:
    """A table's first rows, their places, the columns that are not empty, and the columns that the user set."""

    origin: str
    rows: Sequence[Row]
    places: Sequence[str]
    names: Sequence[str]
    given: Mapping[str, str]

    def free(self) -> list[str]:
        """Return the columns that the user gave no role."""
        return [name for name in self.names if name not in self.given.values()]

    def holds(self, name: str, *types: Any) -> bool:
        """Return whether the first cell of a column that is not missing has one of the types."""
        return isinstance(next(row[name] for row in self.rows if row.get(name) is not None), types)

    def free_of(self, *types: Any) -> list[str]:
        """Return the free columns that hold one of the types."""
        return [name for name in self.free() if self.holds(name, *types)]


def _sample(table: Rows, given: Mapping[str, str]) -> _Seen:
    numbers, rows = zip(*sample_rows(table), strict=True)
    everywhere = dict.fromkeys(name for row in rows for name in row)
    for role, column in given.items():
        if role not in _ALL_ROLES:
            raise unknown("column role", role, _ALL_ROLES)
        for name in column.split(",") if role == "choices" else [column]:
            if name not in everywhere:
                raise unknown(f"column of {table.origin}", name, list(map(shown, everywhere)))
    names = [name for name in everywhere if any(row.get(name) is not None for row in rows)]
    return _Seen(table.origin, rows, [f"{table.place}{number}" for number in numbers], names, given)


def _find_type(seen: _Seen) -> TaskType:
    """Return the type whose required columns are all present."""
    for role, type in _TYPE_OF_ROLE.items():
        if role in seen.given:
            return type
    complete = [
        type
        for type in _TYPE_OF_ROLE.values()
        if "text" not in seen.given and _find_columns(type, seen).keys() >= set(_required(type))
    ]
    # Where the columns of another type are complete, several candidates for the text are no error.
    columns = _find_columns(TaskType.CLASSIFICATION, seen, strict=not complete)
    missing = [role for role in _required(TaskType.CLASSIFICATION) if role not in columns]
    if not complete and missing:
        raise _cannot_tell(seen, missing)
    if not complete:
        return _find_label_type(seen, columns["label"])
    if TaskType.MULTIPLE_CHOICE in complete and not missing and _same_choices(seen):
        raise InputError(
            f"{seen.origin}: all rows have the same choices, which may be class names;"
            " set --type classification or --type multiple-choice"
        )
    if (
        TaskType.TOKEN_CLASSIFICATION in complete
        and not missing
        and not seen.holds(columns["label"], list)
    ):
        complete.append(TaskType.CLASSIFICATION)
    if len(complete) > 1:
        raise InputError(f"{seen.origin}: may be {' or '.join(complete)}; set --type")
    return complete[0]


def _find_label_type(seen: _Seen, name: str) -> TaskType:
    """Return classification or regression, by the values of the labels."""
    labels = [
        (row[name], place) for row, place in zip(seen.rows, seen.places, strict=True) if name in row
    ]
    labels = [(value, place) for value, place in labels if not is_missing(value)]
    if any(isinstance(value, bool | list | dict) for value, _ in labels):
        return TaskType.CLASSIFICATION
    numbers = [as_number(value) for value, _ in labels]
    known = [number for number in numbers if number is not None]
    if not known:
        return TaskType.CLASSIFICATION
    if len(known) < len(numbers):
        odd = next(i for i, number in enumerate(numbers) if (number is None) != (numbers[0] is None))
        value, place = labels[odd]
        raise InputError(
            f"{place}: mixed types: {name} is {str(value)[:40]!r}, above it is {str(labels[0][0])[:40]!r};"
            " set --type classification if these are classes"
        )
    if any(number % 1 for number in known):
        return TaskType.REGRESSION
    distinct = set(known)
    written_whole = not any(isinstance(value, float) or "." in str(value) for value, _ in labels)
    dense = min(distinct) in (-1, 0, 1) and len(distinct) > (max(distinct) - min(distinct)) / 2
    classes = dense and len(distinct) <= _MAX_NUMBERED_CLASSES and name.lower() not in _SCALES
    if written_whole and classes:
        return TaskType.CLASSIFICATION
    raise InputError(
        f"{seen.origin}: the whole numbers of {name} may be classes or a scale;"
        " set --type classification or --type regression"
    )


def _find_columns(type: TaskType, seen: _Seen, *, strict: bool = True) -> dict[str, str]:
    """Return the columns of a type by role, as far as there are any; those that the user set come first."""
    roles = [role.rstrip("?") for role in ROLES[type]]
    found = {role: seen.given[role] for role in roles if role in seen.given}
    free = seen.free()

    def find(role: str, known: Sequence[str], among: Collection[str]) -> None:
        if role in found:
            return
        matches = [name for name in among if name.lower() in known and name not in found.values()]
        own = [name for name in matches if name.lower() == known[0]]
        if len(matches) > 1 and not own and strict:
            raise InputError(
                f"{seen.origin}: {' and '.join(matches)} may each be the {role};"
                f" set --column {role}={matches[0]}, for example"
            )
        if matches:
            found[role] = (own or matches)[0]

    if type in (TaskType.CLASSIFICATION, TaskType.REGRESSION):
        if "text" not in found:
            found |= _find_texts(seen, strict)
        find("label", _LABEL, free)
    elif type is TaskType.TOKEN_CLASSIFICATION:
        find("tokens", _TOKENS, seen.free_of(list))
        if "tokens" in found:
            find("label", _TAGS, seen.free_of(list))
    elif type is TaskType.QUESTION_ANSWERING:
        find("answer_start", ("answer_start",), free)
        find("answers", _ANSWERS, free if "answer_start" in found else seen.free_of(list, dict))
        if "answers" in found:
            find("context", _CONTEXT, seen.free_of(str))
            find("question", _QUESTION, seen.free_of(str))
    else:
        if "choices" not in found:
            found |= _find_choices(seen)
        if "choices" in found:
            taken = found["choices"].split(",")
            find("label", _RIGHT, [name for name in free if name not in taken])
            texts = [name for name in seen.free_of(str) if name not in taken]
            find("context", _CONTEXT, texts)
            find("question", _QUESTION, texts)
    return found


def _find_texts(seen: _Seen, strict: bool) -> dict[str, str]:
    by_lower = {name.lower(): name for name in reversed(seen.free())}
    pairs = [pair for pair in _PAIRS if pair[0] in by_lower and pair[1] in by_lower]
    texts = [name for name in _TEXT if name in by_lower]
    own = _PAIRS[0] in pairs or (not pairs and _TEXT[0] in texts)
    if not own and strict and (len(pairs) > 1 or (not pairs and len(texts) > 1)):
        several = [" + ".join(pair) for pair in pairs] or texts
        raise InputError(
            f"{seen.origin}: {' and '.join(several)} may each be the text; set --column text=NAME"
        )
    if pairs and "text_pair" not in seen.given:
        return {"text": by_lower[pairs[0][0]], "text_pair": by_lower[pairs[0][1]]}
    return {"text": by_lower[texts[0]]} if texts else {}


def _find_choices(seen: _Seen) -> dict[str, str]:
    """Return a column of lists, or numbered columns of texts."""
    for name in seen.free_of(list, dict):
        if name.lower() in _CHOICES:
            return {"choices": name}
    numbered: dict[str, list[str]] = {}
    for name in seen.free():
        if match := _NUMBERED_CHOICE.fullmatch(name.lower()):
            numbered.setdefault(match[1], []).append(name)
    several = [sorted(group) for group in numbered.values() if len(group) > 1]
    return {"choices": ",".join(several[0])} if len(several) == 1 else {}


def _same_choices(seen: _Seen) -> bool:
    column = next((name for name in seen.names if name.lower() in _CHOICES), None)
    if column is None or len(seen.rows) < 2:
        return False
    return all(row.get(column) == seen.rows[0].get(column) for row in seen.rows)


def _required(type: TaskType) -> list[str]:
    return [role for role in ROLES[type] if not role.endswith("?")]


def _cannot_tell(seen: _Seen, missing: Sequence[str]) -> InputError:
    names = list_names(map(shown, seen.names))
    options = " and ".join(f"--column {role}=NAME" for role in missing)
    which = " and the ".join(missing)
    return InputError(
        f"{seen.origin}: cannot tell which column is the {which} (columns: {names}); set {options}"
    )
