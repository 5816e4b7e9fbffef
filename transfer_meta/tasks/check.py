"""Reading a task to its end, for what is in it and what is wrong with it."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.records import Example, Label, TaskType
from transfer_meta.tasks.build import RowSplit
from transfer_meta.tasks.task import Task

#: More classes than this are no classes: the wrong column, most likely.  Also bounds the memory.
MAX_CLASSES = 100_000
#: Labels of one split that are listed one by one.
MAX_LISTED = 10


@dataclass(frozen=True)
class SplitReport:
    """What one split holds: examples, counts of labels (none for regression and question answering), its file."""

    examples: int
    labels: Mapping[str, int]
    origin: str


@dataclass(frozen=True)
class TaskReport:
    """What was detected, the first examples, and the problems, one line each with file and line."""

    name: str
    type: str = ""
    notes: tuple[str, ...] = ()
    splits: Mapping[str, SplitReport] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    problems: tuple[str, ...] = ()


def check_task(task: Task, *, examples: int = 3) -> TaskReport:
    """Read every split of a task to its end, one example in memory at a time.

    Problems are what the reader refuses (reading a split ends there), a train split with one label only, and
    labels of other splits that train does not have, each with the place of its first example.

    Parameters
    ----------
    task : Task
    examples : int
        Number of examples to show.
    """
    problems: list[str] = []
    reports: dict[str, SplitReport] = {}
    train: SplitReport | None = None
    # Train goes first: the others are held against its labels.
    for name in sorted(task.splits, key=lambda split: split != "train"):
        counts: Counter[str] = Counter()
        first_places: dict[str, str] = {}
        values: set[Label] = set()
        read = 0
        broken = False
        try:
            for place, example in _placed(task, name):
                read += 1
                labels = classes_of(example, task.type)
                for label in labels:
                    if label not in counts:
                        if len(counts) == MAX_CLASSES:
                            raise InputError(
                                f"{place}: over {MAX_CLASSES:,} labels: is the column of labels right?"
                            )
                        first_places[label] = place
                    counts[label] += 1
                if len(values) < 2:
                    values.update(labels or [example.label])
        except InputError as error:
            problems.append(str(error))
            broken = True
        report = SplitReport(read, dict(counts), task.origin.get(name, ""))
        reports[name] = report
        if name == "train":
            # Half a split says nothing of its labels.
            train = None if broken else report
            if not broken and len(values) == 1:
                (value,) = values
                problems.append(
                    f"{report.origin or task.name}: one label only: {shown(repr(value))} in all {read:,} examples"
                )
        elif train is not None and task.type is not TaskType.MULTIPLE_CHOICE:
            new = [label for label in counts if label not in train.labels]
            for label in new[:MAX_LISTED]:
                problems.append(
                    f"{first_places[label]}: the label '{shown(label)}' is only in {name}, not in train"
                )
            if len(new) > MAX_LISTED:
                problems.append(
                    f"{report.origin}: {len(new) - MAX_LISTED:,} more labels are only in {name}"
                )
    first = next(iter(reports), "train")
    return TaskReport(
        name=task.name,
        type=str(task.type),
        notes=task.notes[1:],
        splits={name: reports[name] for name in task.splits},
        examples=_first_examples(task.splits[first], examples),
        problems=tuple(problems),
    )


def classes_of(example: Example, type: TaskType) -> tuple[str, ...]:
    """The class of an example, its tags, or the index of its choice, as strings; none for a number or an answer."""
    if type is TaskType.TOKEN_CLASSIFICATION:
        return example.label if isinstance(example.label, tuple) else ()  # type: ignore[return-value]
    if type in (TaskType.REGRESSION, TaskType.QUESTION_ANSWERING) or example.label is None:
        return ()
    return (str(example.label),)


def _placed(task: Task, name: str) -> Iterator[tuple[str, Example]]:
    """Each example with its place, as errors write it."""
    split = task.split(name)
    if isinstance(split, RowSplit):
        for number, example in split.numbered():
            yield f"{split.rows.place}{number}", example
    else:
        for number, example in enumerate(split):
            yield f"{task.name}[{name}] example {number}", example


def _first_examples(split: Iterable[Example], count: int) -> tuple[Example, ...]:
    found: list[Example] = []
    with contextlib.suppress(InputError):  # reported already
        found.extend(itertools.islice(split, count))
    return tuple(found)
