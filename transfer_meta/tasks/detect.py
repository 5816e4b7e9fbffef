"""Detection of a table's task type and columns from its first rows."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfer_meta.errors import InputError, list_names, unknown
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import Row, Rows, sample_rows
from transfer_meta.records import TaskType
from transfer_meta.tasks.choice_columns import (
    CHOICE_LISTS,
    find_choice_columns,
    is_text_list,
    labels_fit,
    same_choice,
)
from transfer_meta.tasks.class_names import is_no_label
from transfer_meta.tasks.column_hints import column_options
from transfer_meta.tasks.examples import as_number
from transfer_meta.tasks.generation_columns import (
    find_generation,
    find_generation_inputs,
    may_be_classes,
    names_generation,
    translation_columns,
)
from transfer_meta.tasks.generation_rows import cell_of
from transfer_meta.tasks.label_lists import check_label_lists, check_span_columns

ROLES: dict[TaskType, tuple[str, ...]] = {
    TaskType.CLASSIFICATION: ("text", "text_pair?", "label"),
    TaskType.REGRESSION: ("text", "text_pair?", "label"),
    TaskType.TOKEN_CLASSIFICATION: ("tokens", "label"),
    TaskType.QUESTION_ANSWERING: ("context", "question", "answers", "answer_start?"),
    TaskType.MULTIPLE_CHOICE: ("context?", "question?", "choices", "label"),
    TaskType.GENERATION: ("text", "text_pair?", "label"),
}
"""Roles of columns by task type; those with a question mark are optional."""
LABEL_ROLES = ("label", "answers", "answer_start")
"""Roles of columns that a model does not read when it predicts."""
_TYPE_OF_ROLE = {
    "tokens": TaskType.TOKEN_CLASSIFICATION,
    "choices": TaskType.MULTIPLE_CHOICE,
    "answers": TaskType.QUESTION_ANSWERING,
}
"""Roles that only one type has."""
_WITH_TEXTS = (TaskType.CLASSIFICATION, TaskType.REGRESSION, TaskType.GENERATION)
"""Types of which a table of texts without labels can be described."""
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
_CHOICE_CONTEXT = (*_CONTEXT, "dialogue", "story", "sent1", "obs1")
_CHOICE_QUESTION = (*_QUESTION, "goal", "question_stem", "stem", "sent2", "obs2", "prompt", "problem")
_RIGHT = (
    "label", "answer", "answer_idx", "answerkey", "answer_key", "answer_index", "answer_id", "answer_letter",
    "correct", "correct_answer", "correct_option", "correct_choice", "correct_ending", "correct_answer_id",
    "correct_answer_idx", "correct_index", "correct_idx", "right_answer", "gold", "gold_label", "cop",
)  # fmt: skip
_NUMBERING = re.compile(r"(unnamed: ?\d+|column \d+|index|idx|id|guid|uid|nr|no|#|row|.+_id|id_.+|)")
"""Columns that number the examples."""
_CLASSES = frozenset({"label", "labels", "class"})
"""Columns that are never texts to be generated unless the user says so."""
_SCALES = frozenset({"score", "similarity", "similarity_score", "relatedness_score", "rating", "stars"})
"""Columns whose whole numbers may be a scale or classes."""
MAX_ODD_SHARE = 0.05
"""Largest share of names among numbers, or of numbers among names, that does not matter for the type."""
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
    if type in (TaskType.CLASSIFICATION, TaskType.REGRESSION) and "label" in found:
        check_label_lists(seen.cells(found["label"]), found["label"])
    missing = [role for role in _required(type) if role not in found]
    if type is TaskType.MULTIPLE_CHOICE and not {"context", "question"} & found.keys():
        missing.append("context")
    has_texts = type in _WITH_TEXTS and _are_texts_alone(seen, found, missing)
    if missing and not has_texts:
        raise _cannot_tell(seen, missing)
    return type, found


def detect_inputs(
    table: Rows, type: TaskType, *, columns: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the columns that a model of a type reads, by role, and those of labels where there are any.

    Words to be tagged may be a column of texts, which are then split at white space.

    Raises
    ------
    InputError
        A column that the model needs is missing, or several fit.
    """
    seen = _sample(table, columns or {})
    found = _find_columns(type, seen, labelled=False)
    needed = [role for role in _required(type) if role not in LABEL_ROLES]
    if type is TaskType.TOKEN_CLASSIFICATION and "tokens" not in found:
        found |= {role: name for role, name in _find_texts(seen, True).items() if role == "text"}
        needed = [] if "text" in found else needed
    if type is TaskType.MULTIPLE_CHOICE and "question" not in found:
        needed.append("context")
    missing = [role for role in needed if role not in found]
    if missing:
        raise _cannot_tell(seen, missing)
    return found


@dataclass(frozen=True)
class _Seen:
    """A table's first rows, their places, its columns that are not empty, and those that the user set.

    `headless`: whether the names of the columns look like data.
    """

    origin: str
    rows: Sequence[Row]
    places: Sequence[str]
    names: Sequence[str]
    given: Mapping[str, str]
    headless: bool = False

    def free(self) -> list[str]:
        """Return the columns that the user gave no role."""
        return [name for name in self.names if name not in self.given.values()]

    def cells(self, name: str) -> list[tuple[Any, str]]:
        """Return the cells of a column with their places."""
        return [
            (row[name], place) for row, place in zip(self.rows, self.places, strict=True) if name in row
        ]

    def holds(self, name: str, *types: Any) -> bool:
        """Return whether the first cell of a column that is not missing has one of the types."""
        return isinstance(next(row[name] for row in self.rows if row.get(name) is not None), types)

    def free_of(self, *types: Any) -> list[str]:
        """Return the free columns that hold one of the types."""
        return [name for name in self.free() if self.holds(name, *types)]


def _sample(table: Rows, given: Mapping[str, str]) -> _Seen:
    numbers, rows = zip(*sample_rows(table), strict=True)
    rows = tuple(_with_items(row, given.values()) for row in rows)
    everywhere = dict.fromkeys(name for row in rows for name in row)
    for role, column in given.items():
        if role not in _ALL_ROLES:
            raise unknown("column role", role, _ALL_ROLES)
        for name in column.split(",") if role == "choices" else [column]:
            if name not in everywhere:
                raise unknown(f"column of {table.origin}", name, list(map(shown, everywhere)))
    names = [name for name in everywhere if any(row.get(name) is not None for row in rows)]
    places = [f"{table.place}{number}" for number in numbers]
    return _Seen(table.origin, rows, places, names, given, getattr(table, "headless", False))


def _with_items(row: Row, given: Collection[str]) -> Row:
    """Return a row with a cell for each of its translations, and for items of objects that the user named."""
    items: dict[str, Any] = {}
    for name in (*translation_columns(row), *(name for name in given if "." in name)):
        with contextlib.suppress(KeyError):
            items[name] = cell_of(row, name)
    return {**row, **items} if items.keys() - row.keys() else row


def _find_type(seen: _Seen) -> TaskType:
    """Return the type whose required columns are all present."""
    for role, type in _TYPE_OF_ROLE.items():
        if role in seen.given:
            return type
    if names_generation(seen.rows, seen.given):
        return TaskType.GENERATION
    complete = [
        type
        for type in _TYPE_OF_ROLE.values()
        if "text" not in seen.given and _find_columns(type, seen).keys() >= set(_required(type))
    ]
    # Where the columns of another type are complete, several candidates for the text are no error.
    columns = _find_columns(TaskType.CLASSIFICATION, seen, strict=not complete)
    missing = [role for role in _required(TaskType.CLASSIFICATION) if role not in columns]
    if not complete and _are_texts_alone(seen, columns, missing):
        return TaskType.CLASSIFICATION
    if not complete and missing:
        found = _find_generation(seen, columns)
        if found and not may_be_classes(seen.rows, found["label"]):
            return TaskType.GENERATION
        or_else = (
            f", or --type generation if {shown(found['label'])} holds texts to write" if found else ""
        )
        raise InputError(f"{_cannot_tell(seen, missing)}{or_else}")
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
    if {TaskType.QUESTION_ANSWERING, TaskType.MULTIPLE_CHOICE} <= set(complete):
        # Choices may be named answers, as well.
        column = _find_columns(TaskType.QUESTION_ANSWERING, seen)["answers"]
        if is_text_list([row.get(column) for row in seen.rows]):
            complete.remove(TaskType.QUESTION_ANSWERING)
    if len(complete) > 1:
        raise InputError(f"{seen.origin}: may be {' or '.join(complete)}; set --type")
    return complete[0]


def _find_generation(seen: _Seen, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of inputs and of texts as answers, where no other type fits; empty without them."""
    if columns.get("label", "").lower() in _CLASSES:
        return {}
    found = find_generation(seen.rows, seen.free(), seen.given, origin=seen.origin)
    return found if {"text", "label"} <= found.keys() else {}


def _are_texts_alone(seen: _Seen, columns: Mapping[str, str], missing: Sequence[str]) -> bool:
    """Return whether a table has texts, perhaps numbered, and nothing that may be a label."""
    others = [name for name in seen.names if name not in columns.values()]
    return list(missing) == ["label"] and all(_NUMBERING.fullmatch(name.lower()) for name in others)


def _find_label_type(seen: _Seen, name: str) -> TaskType:
    """Return classification or regression, by the values of the labels."""
    check_label_lists(seen.cells(name), name)
    labels = [
        (value[0] if isinstance(value, list) and value else value, place)
        for value, place in seen.cells(name)
        if value != [] and not is_no_label(value)
    ]
    if any(isinstance(value, bool | list | dict) for value, _ in labels):
        return TaskType.CLASSIFICATION
    numbers = [as_number(value) for value, _ in labels]
    known = [number for number in numbers if number is not None]
    if not known:
        return TaskType.CLASSIFICATION
    few = MAX_ODD_SHARE * len(numbers)
    if len(known) <= few:
        return TaskType.CLASSIFICATION
    if len(numbers) - len(known) > few:
        odd = next(i for i, number in enumerate(numbers) if (number is None) != (numbers[0] is None))
        value, place = labels[odd]
        raise InputError(
            f"{place}: mixed types: {name} is {str(value)[:40]!r}, above it is {str(labels[0][0])[:40]!r};"
            " set --type classification if these are classes"
        )
    if any(number % 1 for number in known):
        return TaskType.REGRESSION
    distinct = set(known)
    written_whole = sum(isinstance(value, float) or "." in str(value) for value, _ in labels) <= few
    dense = min(distinct) in (-1, 0, 1) and len(distinct) > (max(distinct) - min(distinct)) / 2
    classes = dense and len(distinct) <= _MAX_NUMBERED_CLASSES and name.lower() not in _SCALES
    if written_whole and classes:
        return TaskType.CLASSIFICATION
    raise InputError(
        f"{seen.origin}: the whole numbers of {name} may be classes or a scale;"
        " set --type classification or --type regression"
    )


def _find_columns(
    type: TaskType, seen: _Seen, *, strict: bool = True, labelled: bool = True
) -> dict[str, str]:
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
        if "answers" in found or not labelled:
            find("context", _CONTEXT, seen.free_of(str))
            find("question", _QUESTION, seen.free_of(str))
    elif type is TaskType.GENERATION:
        found |= find_generation_inputs(seen.rows, free, seen.given, origin=seen.origin)
    else:
        if "choices" not in found:
            found |= _find_choices(seen)
        if "choices" in found:
            taken = found["choices"].split(",")
            rest = [name for name in free if name not in taken]
            rights = [name for name in rest if name.lower() in _RIGHT]
            if "label" not in found and len(rights) > 1 and same_choice(seen.rows, taken, rights):
                found["label"] = rights[0]
            find("label", _RIGHT, rest)
            texts = [name for name in seen.free_of(str) if name not in taken]
            find("context", _CHOICE_CONTEXT, texts)
            find("question", _CHOICE_QUESTION, texts)
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
    """Return a column of lists, or lettered or numbered columns of texts."""
    lists = [name for name in seen.free_of(list, dict) if name.lower() in CHOICE_LISTS]
    for name in lists:
        if name.lower() != "answers" or is_text_list([row.get(name) for row in seen.rows]):
            return {"choices": name}
    groups = find_choice_columns(seen.free_of(str))
    rights = [name for name in seen.free() if name.lower() in _RIGHT]
    questions = [name for name in seen.names if name.lower() in (*_CHOICE_CONTEXT, *_CHOICE_QUESTION)]
    several = [
        group
        for group in groups
        # Columns that are single letters may hold anything.
        if len(group[0]) > 1
        or any(labels_fit(seen.rows, group, right) and questions for right in rights)
    ]
    return {"choices": ",".join(several[0])} if len(several) == 1 else {}


def _same_choices(seen: _Seen) -> bool:
    column = next((name for name in seen.names if name.lower() in CHOICE_LISTS), None)
    if column is None or len(seen.rows) < 2:
        return False
    return all(row.get(column) == seen.rows[0].get(column) for row in seen.rows)


def _required(type: TaskType) -> list[str]:
    return [role for role in ROLES[type] if not role.endswith("?")]


def _cannot_tell(seen: _Seen, missing: Sequence[str]) -> InputError:
    check_span_columns(seen.rows, seen.names, seen.places)
    names = list_names(map(shown, seen.names))
    options = column_options(seen.rows, seen.free(), missing, headless=seen.headless)
    which = " and the ".join(missing)
    return InputError(
        f"{seen.origin}: cannot tell which column is the {which} (columns: {names}); set {options}"
    )
