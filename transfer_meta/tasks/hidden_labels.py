"""Splits without labels: none at all, or one value in their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Protocol, TypeVar

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import SAMPLE_ROWS
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.reading_log import WITHOUT_LABEL, ReadingLog

MAX_CHANCE = 0.001
"""Tags or answers that are all "nothing" are hidden labels if train makes that less probable than this."""


class _Split(Protocol):
    """What is needed of a `RowSplit`."""

    @property
    def log(self) -> ReadingLog | None: ...

    def __iter__(self) -> Iterator[Example]: ...


AnySplit = TypeVar("AnySplit", bound=_Split)


def labelled_splits(
    splits: Mapping[str, AnySplit], type: TaskType
) -> tuple[dict[str, AnySplit], list[str]]:
    """Return the splits that have labels, and a note on each of the others.

    A split has none if no row has one, or if all labels of a dev or test split are one value that train never has
    (or, of tags and answers, "nothing" throughout where train makes that improbable).  The beginning of every split
    is read, so that errors come early.

    Raises
    ------
    InputError
        A split without rows, or whose rows cannot be used for another reason.
    """
    kept: dict[str, AnySplit] = {}
    notes: dict[str, str] = {}
    for name, split in splits.items():
        missing = _rows_without_label(split)
        if missing:
            notes[name] = f"{name} is not used: its {missing:,} rows have no label"
        else:
            kept[name] = split
    train = kept.get("train")
    for name in [name for name in kept if name != "train" and train is not None]:
        value = _only_value(kept[name])
        if value is not None and train is not None and _is_hidden(value, kept[name], train, type):
            what = "empty" if value == () else f"all '{_shown(value)}', which train never has"
            if type is TaskType.TOKEN_CLASSIFICATION:
                what = f"all '{_shown(value)}'"
            notes[name] = f"{name} is not used: its labels are hidden ({what})"
            del kept[name]
    if "test" in notes and "dev" in kept:
        notes["test"] += "; dev is scored in its place"
    return kept, list(notes.values())


def _rows_without_label(split: _Split) -> int:
    """Return the number of rows if none has a label, else 0."""
    try:
        if next(iter(split), None) is not None:
            return 0
    except InputError:
        log = split.log
        if log is not None and log.read == 0 and log.left_out[WITHOUT_LABEL] * 2 > log.rows:
            return log.rows
        raise
    origin = getattr(getattr(split, "rows", None), "origin", "")
    raise InputError(f"{origin}: no rows")


def _only_value(split: _Split) -> Any:
    """Return the label of a split's first examples if they all have the same one; None if not."""
    found: Any = None
    count = 0
    for example in islice(split, SAMPLE_ROWS):
        label = _value(example)
        if label is None or (found is not None and label != found):
            return None
        found = label
        count += 1
    return found if count > 1 else None


def _value(example: Example) -> Any:
    """Return an example's label; of tags the only one, None if there are several."""
    label = example.label
    if example.tokens and isinstance(label, tuple):
        return label[0] if label and all(tag == label[0] for tag in label) else None
    return label


def _is_hidden(value: Any, split: _Split, train: _Split, type: TaskType) -> bool:
    if type is TaskType.QUESTION_ANSWERING and value != ():
        return False
    size = 0
    for example in split:
        if _value(example) != value:
            return False
        size += 1
    if type in (TaskType.TOKEN_CLASSIFICATION, TaskType.QUESTION_ANSWERING):
        first = Counter(_value(example) == value for example in islice(train, SAMPLE_ROWS))
        return bool((first[True] / max(first.total(), 1)) ** size < MAX_CHANCE)
    return all(example.label != value for example in train)


def _shown(value: Any) -> str:
    value = value[0] if isinstance(value, tuple) and value else value
    return shown(f"{value:g}" if isinstance(value, float) else str(value))
