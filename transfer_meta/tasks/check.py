"""Complete check of a task: its examples, labels and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.records import Example, Label, TaskType
from transfer_meta.tasks.build_task import RowSplit
from transfer_meta.tasks.task import Task

MAX_CLASSES = 100_000
"""Largest number of classes of a split; more are taken for a wrong column.  Limits the memory, too."""
MAX_LISTED = 10
"""Number of labels missing from train that are listed one by one."""


@dataclass(frozen=True)
class SplitReport:
    """Number of examples of a split, counts of its labels (none in regression and QA), its file."""

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
    """Read all splits of a task, one example in memory at a time.

    Problems are errors of reading (the split is then read no further), a train split with a single label, and
    labels of other splits that train does not have, each with the place of its first example.

    Parameters
    ----------
    task : Task
    examples : int
        Number of examples in the report.
    """
    problems: list[str] = []
    reports: dict[str, SplitReport] = {}
    first_examples: list[Example] = []
    train: SplitReport | None = None
    # Train comes first: the labels of the others are compared with its labels.
    for name in sorted(task.splits, key=lambda split: split != "train"):
        counts: Counter[str] = Counter()
        first_places: dict[str, str] = {}
        values: set[Label] = set()
        read = 0
        broken = False
        try:
            for place, example in _placed(task, name):
                if not reports and read < examples:
                    first_examples.append(example)
                read += 1
                labels = _classes_of(example, task.type)
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
        reports[name] = report = SplitReport(read, dict(counts), task.origin.get(name, ""))
        if name == "train":
            # The labels of a split that was not read to its end are unknown.
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
    return TaskReport(
        name=task.name,
        type=str(task.type),
        notes=task.notes[1:],
        splits={name: reports[name] for name in task.splits},
        examples=tuple(first_examples),
        problems=tuple(problems),
    )


def _classes_of(example: Example, type: TaskType) -> tuple[str, ...]:
    """Return an example's class, tags or index of the choice, as strings; empty for a number or answers."""
    if type is TaskType.TOKEN_CLASSIFICATION:
        return example.label if isinstance(example.label, tuple) else ()  # type: ignore[return-value]
    if type in (TaskType.REGRESSION, TaskType.QUESTION_ANSWERING) or example.label is None:
        return ()
    return (str(example.label),)


def _placed(task: Task, name: str) -> Iterator[tuple[str, Example]]:
    """Yield the examples of a split, each with its place as errors give it."""
    split = task.split(name)
    if isinstance(split, RowSplit):
        for number, example in split.numbered():
            yield f"{split.rows.place}{number}", example
    else:
        for number, example in enumerate(split):
            yield f"{task.name}[{name}] example {number}", example
