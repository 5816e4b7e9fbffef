"""Complete check of a task: its examples, labels and problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.records import Example, Label, TaskType
from transfer_meta.results import visible
from transfer_meta.tasks.build_task import RowSplit
from transfer_meta.tasks.class_names import same_looks, strip_name, written
from transfer_meta.tasks.reading_log import HEADER_AGAIN, ReadingLog
from transfer_meta.tasks.task import Task, example_as_text, shorten

MAX_CLASSES = 100_000
"""Largest number of classes of a split; more are taken for a wrong column.  Limits the memory, too."""
MAX_LISTED = 10
"""Number of labels missing from train that are listed one by one."""
LABELS_SHOWN = 6
"""Number of labels of a split that are shown with their counts."""


@dataclass(frozen=True)
class SplitReport:
    """A split that was read to its end.

    Parameters
    ----------
    examples : int
        Number of examples.
    labels : mapping of str to int
        Number of examples or tags by label; empty in regression, question answering and generation.
    origin : str
        The file.
    left_out, mended : mapping of str to int
        Number of rows by reason.
    """

    examples: int
    labels: Mapping[str, int]
    origin: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    mended: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskReport:
    """Report on how a task is read.

    Parameters
    ----------
    name, type : str
    notes : tuple of str
        What was detected.
    unused : tuple of str
        Columns that are not read.
    splits : mapping of str to SplitReport
    reading : tuple of str
        What was left out and mended, one line per split.
    examples : tuple of Example
        The first examples.
    problems : tuple of str
        One line each, with file and line.
    """

    name: str
    type: str = ""
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    splits: Mapping[str, SplitReport] = field(default_factory=dict)
    reading: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.type or 'cannot be read'}"]
        if self.notes:
            lines.append(f"  read as  {'; '.join(self.notes)}")
        for name, split in self.splits.items():
            common = sorted(split.labels, key=lambda label: (-split.labels[label], label))
            shown = [f"{shorten(label, 24)} {split.labels[label]:,}" for label in common[:LABELS_SHOWN]]
            listed = f"{', '.join(shown)}{', …' if len(common) > LABELS_SHOWN else ''}"
            labels = f", {len(common)} labels: {listed}" if common else ""
            lines.append(f"  {name:<7}  {split.examples:,} examples{labels}")
        lines += [f"  reading  {line}" for line in self.reading]
        lines += [f"  example  {example_as_text(example)}" for example in self.examples]
        lines += [f"  problem  {problem}" for problem in self.problems]
        return "\n".join(map(visible, lines))


def check_task(task: Task, *, examples: int = 3, verbose: bool = False) -> TaskReport:
    """Read all splits of a task, one example in memory at a time.

    Problems are errors of reading (the split is then read no further), a train split with a single label, labels
    of other splits that train does not have, each with the place of its first example, labels that look alike, and
    rows that repeat the header.

    Parameters
    ----------
    task : Task
    examples : int
        Number of examples in the report.
    verbose : bool
        Whether to list the rows that were left out or mended.
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
        log = getattr(task.splits[name], "log", None) if not broken else None
        reports[name] = report = SplitReport(
            read,
            dict(counts),
            task.origin.get(name, ""),
            dict(log.left_out) if log else {},
            dict(log.mended) if log else {},
        )
        if log is not None:
            problems += _look_alike(counts, log, report.origin)
            if again := log.left_out[HEADER_AGAIN]:
                first = log.first_place(HEADER_AGAIN)
                problems.append(
                    f"{first}: {again:,} row{'s' * (again > 1)} equal to the header, left out"
                )
        if name == "train":
            # The labels of a split that was not read to its end are unknown.
            train = None if broken else report
            if not broken and len(values) == 1 and task.is_labelled:
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
        unused=task.unused,
        reading=tuple(task.reading_notes(verbose=verbose)),
        splits={name: reports[name] for name in task.splits},
        examples=tuple(first_examples),
        problems=tuple(problems),
    )


def _look_alike(counts: Mapping[str, int], log: ReadingLog, origin: str) -> list[str]:
    """Return a line for every group of labels that differ only in what can hardly be seen."""
    written_as: dict[str, dict[str, int]] = {name: {name: count} for name, count in counts.items()}
    for form, count in log.forms.items():
        forms = written_as.setdefault(strip_name(form), {})
        forms[form] = count
        forms[strip_name(form)] = forms.get(strip_name(form), 0) - count
    lines = []
    for names in same_looks(written_as):
        forms = {form: n for name in names for form, n in written_as[name].items() if n > 0}
        if len(forms) > 1:
            listed = ", ".join(f"{written(form)} {n:,}" for form, n in sorted(forms.items()))
            read = "; read as one" if len(names) == 1 else f"; read as {len(names)}"
            lines.append(
                f"{origin}: labels that differ only in white space, invisible characters, case or the form of a"
                f" number: {listed}{read}"
            )
    return lines


def _classes_of(example: Example, type: TaskType) -> tuple[str, ...]:
    """Return an example's class, tags or index of the choice, as strings; empty for a number, answers or texts."""
    if type is TaskType.TOKEN_CLASSIFICATION:
        return example.label if isinstance(example.label, tuple) else ()  # type: ignore[return-value]
    free = (TaskType.REGRESSION, TaskType.QUESTION_ANSWERING, TaskType.GENERATION)
    if type in free or example.label is None:
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
