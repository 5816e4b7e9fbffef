"""Make a `Task` of rows: open files by format, detect type and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.files import digest
from transfer_meta.readers.class_labels import (
    ClassNamedRows,
    with_class_names,
    without_class_names,
)
from transfer_meta.readers.compressed import content_suffix
from transfer_meta.readers.delimited import DelimitedRows, open_delimited
from transfer_meta.readers.jsonl import open_jsonl
from transfer_meta.readers.opening import shown
from transfer_meta.readers.parquet import open_parquet
from transfer_meta.readers.rows import Rows, sample_rows
from transfer_meta.readers.shards import join_shards, plain_rows
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.choice_labels import FROM_0, FROM_1, TEXTS, as_index, find_digits
from transfer_meta.tasks.class_names import LabelRule
from transfer_meta.tasks.conll import ConllSentences, open_conll
from transfer_meta.tasks.conll_columns import NoTagColumnError
from transfer_meta.tasks.detect import detect
from transfer_meta.tasks.examples import read_examples
from transfer_meta.tasks.hidden_labels import labelled_splits
from transfer_meta.tasks.iob import PLAIN
from transfer_meta.tasks.nested_questions import flatten_questions
from transfer_meta.tasks.reading_log import ReadingLog
from transfer_meta.tasks.settings import TASK_FORMATS, ReadSettings
from transfer_meta.tasks.squad import open_json
from transfer_meta.tasks.tag_notation import (
    PLAIN_TAGS,
    Tagging,
    check_unknown_spans,
    describe_notation,
    find_notation,
    has_bare_types,
)
from transfer_meta.tasks.task import Task

_SUFFIXES = {
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "parquet": (".parquet",),
    "conll": (".conll", ".conllu", ".iob", ".iob2", ".bio"),
}

MAX_UNUSED = 12
"""Number of unused columns that are named."""


@dataclass(frozen=True)
class RowSplit:
    """Split that reads its rows anew at each iteration.

    Parameters
    ----------
    rows : Rows
    type : TaskType
    columns : mapping of role to column
    tagging : Tagging
    digits : str
        See `read_examples`.
    labels : LabelRule, optional
        Which labels mean "no label".
    strict : bool
        Whether the first row that cannot be used is an error.
    keep_unlabelled : bool
        Whether a row whose label is missing or cannot be used is an example without a label.
    """

    rows: Rows
    type: TaskType
    columns: Mapping[str, str]
    tagging: Tagging = PLAIN_TAGS
    digits: str = FROM_0
    labels: LabelRule | None = None
    strict: bool = False
    keep_unlabelled: bool = False
    _logs: list[ReadingLog] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def log(self) -> ReadingLog | None:
        """What the last complete pass left out and mended; None before the first, and in strict mode."""
        return self._logs[0] if self._logs else None

    def __iter__(self) -> Iterator[Example]:
        for _, example in self.numbered():
            yield example

    def numbered(self) -> Iterator[tuple[int, Example]]:
        """Yield the examples, each with its line or row number."""
        log = None if self.strict else ReadingLog()
        yield from read_examples(
            self.rows,
            self.type,
            self.columns,
            tagging=self.tagging,
            digits=self.digits,
            labels=self.labels,
            log=log,
            keep_unlabelled=self.keep_unlabelled,
        )
        if log is not None:
            self._logs[:] = [log]
            log.check_share(self.rows.origin)

    def fingerprint(self) -> str | None:
        """Return a digest of the content and of how it is read; None where the rows are not those of a file."""
        content = getattr(self.rows, "fingerprint", None)
        if content is None:
            return None
        columns = repr(sorted(self.columns.items()))
        more = [
            repr(value)
            for value, usual in ((self.tagging.notation, None), (self.digits, FROM_0))
            if value != usual
        ]
        if self.type is TaskType.CLASSIFICATION and self.labels and self.labels.changes_sample():
            # Earlier versions took these labels as they stand.
            more.append("labels 2")
        return digest(
            content(), self.type, columns, self.tagging.scheme, repr(self.tagging.repair), *more
        )


def file_format(path: Path) -> str | None:
    """Return the format that a file's suffix stands for (``csv`` for ``a.csv.gz``), None for an unknown suffix."""
    suffix = content_suffix(path)
    return next((format for format, suffixes in _SUFFIXES.items() if suffix in suffixes), None)


def open_splits(
    files: Mapping[str, Sequence[Path]], settings: ReadSettings, notes: list[str]
) -> dict[str, Rows]:
    """Open the files of all splits; those of a CoNLL file without tags are left out with a note.

    Parameters
    ----------
    files : mapping of split to files
    settings : ReadSettings
    notes : list of str
        What is to be told the user is added to it.
    """
    rows: dict[str, Rows] = {}
    train: ConllSentences | None = None
    for split in sorted(files, key=lambda split: split != "train"):
        try:
            rows[split] = open_split(files[split], settings, notes, train)
        except NoTagColumnError:
            notes.append(f"{split} is not used: it has no column of tags")
            continue
        first = plain_rows(rows[split])
        if split == "train" and isinstance(first, ConllSentences):
            train = first
    return {split: rows[split] for split in files if split in rows}


def open_split(
    paths: Sequence[Path],
    settings: ReadSettings,
    notes: list[str],
    train: ConllSentences | None = None,
) -> Rows:
    """Open the files of a split as one table, with the names of classes that stand in or beside the first.

    Parameters
    ----------
    paths : sequence of Path
        Shards, in order.
    settings : ReadSettings
    notes : list of str
        What is to be told the user is added to it.
    train : ConllSentences, optional
        The train split, whose columns other splits of CoNLL have.
    """
    rows = join_shards([open_rows(path, settings, train) for path in paths])
    if isinstance(plain_rows(rows), ConllSentences):
        return rows
    named, found = with_class_names(rows, paths[0])
    notes += [note for note in found if note not in notes]
    return named


def open_rows(path: Path, settings: ReadSettings, train: ConllSentences | None = None) -> Rows:
    """Open a data file as rows, by its format; `train` is the train split of CoNLL."""
    format = settings.format or file_format(path)
    if format is None:
        raise InputError(
            f"{path}: cannot tell the format from the name; set --format ({', '.join(TASK_FORMATS)})"
        )
    if format in ("csv", "tsv"):
        return open_delimited(
            path,
            encoding=settings.encoding,
            separator=settings.separator or ("\t" if settings.format == "tsv" else None),
            quoted=settings.quoted,
            escape=settings.escape,
            header=settings.header,
        )
    if format == "conll":
        return open_conll(path, settings, train)
    if format == "parquet":
        return open_parquet(path)
    opener = open_jsonl if format == "jsonl" else open_json
    return flatten_questions(opener(path, encoding=settings.encoding))


def build_task(
    name: str,
    splits: Mapping[str, Rows],
    settings: ReadSettings,
    *,
    description: str = "",
    licence: str = "",
    notes: Sequence[str] = (),
) -> Task:
    """Make a task of one table per split.

    Type, columns and tagging scheme are detected from the first rows of ``train`` (else of the first split); the
    other splits must have the same columns.  The first example of every split is read, so that errors come early.

    Raises
    ------
    InputError
        What is ambiguous, with the option to set; what cannot be read, with its place.
    """
    first = splits.get("train") or next(iter(splits.values()))
    tagging, digits = PLAIN_TAGS, FROM_0
    label_notes: list[str] = []
    if isinstance(plain_rows(first), ConllSentences):
        if settings.type not in (None, TaskType.TOKEN_CLASSIFICATION):
            raise InputError(
                f"{first.origin}: a CoNLL file is for token-classification, not {settings.type}"
            )
        type, columns = TaskType.TOKEN_CLASSIFICATION, {"tokens": "tokens", "label": "label"}
    else:
        type, columns = detect(first, type=settings.type, columns=settings.columns)
        if type is TaskType.MULTIPLE_CHOICE:
            digits, label_notes = _find_digits(first, splits, columns, settings)
        if type in (TaskType.MULTIPLE_CHOICE, TaskType.REGRESSION):
            # The class of a choice is its index, whatever the classes are called.
            splits = {split: without_class_names(rows) for split, rows in splits.items()}
            first = without_class_names(first)
        _check_repeated(first, columns, settings.columns)
    if type is TaskType.CLASSIFICATION and "label" in columns:
        cells = [row.get(columns["label"]) for _, row in sample_rows(first)]
        if any(isinstance(cell, list) for cell in cells):
            label_notes = ["labels are lists of one, read as that one"]
    if type is TaskType.TOKEN_CLASSIFICATION:
        tagging, label_notes = _find_tagging(first, columns["label"], settings)
    rule = _label_rule(first, type, columns)
    examples = {
        split: RowSplit(rows, type, columns, tagging, digits, rule, settings.strict)
        for split, rows in splits.items()
    }
    labelled, split_notes = (
        labelled_splits(examples, type) if {"label", "answers"} & columns.keys() else ({}, [])
    )
    if not labelled and type not in (
        TaskType.CLASSIFICATION,
        TaskType.REGRESSION,
        TaskType.GENERATION,
    ):
        column = columns.get("label", columns.get("answers"))
        raise InputError(f"{first.origin}: no row has a label (column {column})")
    if labelled:
        examples = labelled
    else:
        columns = {role: name for role, name in columns.items() if role != "label"}
        split_notes = ["no labels: only what texts tell can be computed"]
        examples = {split: replace(rows, columns=columns) for split, rows in examples.items()}
    return Task(
        name=name,
        type=type,
        splits=examples,
        description=description,
        licence=licence,
        columns=columns,
        origin={split: splits[split].origin for split in examples},
        notes=(*_notes(type, columns, first, label_notes), *notes),
        split_notes=(*split_notes, *_without_effect(type, settings)),
        unused=tuple(_unused_columns(first, columns)),
        is_labelled=bool(labelled),
    )


def _without_effect(type: TaskType, settings: ReadSettings) -> Iterator[str]:
    """Yield a note for each setting that was given and does not apply to tasks of the type."""
    given = {
        "scheme": (settings.scheme is not None, TaskType.TOKEN_CLASSIFICATION),
        "repair-tags": (settings.repair_tags, TaskType.TOKEN_CLASSIFICATION),
        "choices-from": (settings.choices_from is not None, TaskType.MULTIPLE_CHOICE),
    }
    for option, (is_given, applies_to) in given.items():
        if is_given and type is not applies_to:
            yield f"--{option} has no effect: the task is {type}, not {applies_to}"


def _check_repeated(rows: Rows, columns: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Raise an InputError if the name of a column was detected that the header holds more than once."""
    rows = plain_rows(rows)
    for role, name in columns.items():
        if role not in given and name in getattr(rows, "repeated", ()):
            raise InputError(
                f"{rows.origin}: two columns are named '{shown(name)}', and one is the {role};"
                f" set --column {role}={name} for the first or --column {role}={name}.2 for the second"
            )


def _label_rule(train: Rows, type: TaskType, columns: Mapping[str, str]) -> LabelRule | None:
    """Return the rule that tells missing labels, for types with classes."""
    if type not in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION) or "label" not in columns:
        return None
    labels: list[Any] = [row.get(columns["label"]) for _, row in sample_rows(train)]
    labels = [tag for tags in labels for tag in (tags if isinstance(tags, list) else [tags])]
    return LabelRule(train, columns["label"], labels)


def _find_tagging(rows: Rows, column: str, settings: ReadSettings) -> tuple[Tagging, list[str]]:
    """Return how the tags are written, and notes on it."""
    cells = [row.get(column) for _, row in sample_rows(rows)]
    lists = [cell for cell in cells if isinstance(cell, list)]
    tags = [cell for cell in lists if all(isinstance(tag, str) for tag in cell)]
    scheme, notation = find_notation(tags, settings.scheme)
    if scheme == PLAIN and settings.scheme is None:
        check_unknown_spans(tags, rows.origin)
    notes = [describe_notation(scheme, notation, tags)]
    if scheme == PLAIN:
        numbers = all(as_index(tag) is not None for cell in lists for tag in cell)
        if numbers and any(lists):
            notes.append("tags are numbers without names: the F1 of spans cannot be computed")
        elif has_bare_types(tags) and settings.scheme is None:
            notes.append(
                "tags may be spans without B and I: --scheme IO reads them so, for the F1 of spans"
            )
    return Tagging(scheme, settings.repair_tags, notation), notes


def _find_digits(
    train: Rows, splits: Mapping[str, Rows], columns: Mapping[str, str], settings: ReadSettings
) -> tuple[str, list[str]]:
    """Return what labels of multiple choice in digits are, and notes on it."""
    digits = settings.choices_from
    if digits is None and isinstance(train, ClassNamedRows) and columns["label"] in dict(train.classes):
        digits = FROM_0
    if digits is None:
        rows = [train, *(rows for rows in splits.values() if rows is not train)]
        digits = find_digits(rows, columns["choices"].split(","), columns["label"])
    notes = {FROM_1: "labels count from 1", TEXTS: "labels are the texts of the choices"}
    return digits, [notes[digits]] if digits in notes else []


def _notes(
    type: TaskType, columns: Mapping[str, str], rows: Rows, label_notes: Sequence[str]
) -> tuple[str, ...]:
    """Return what was detected, for the user."""
    notes = [str(type)]
    named, rows = rows, plain_rows(rows)
    if isinstance(rows, ConllSentences):
        separator = {None: "white space", "\t": "tab"}.get(rows.separator, repr(rows.separator))
        notes.append(
            f"columns {rows.token_column + 1} (token) and {rows.tag_column + 1} (tag) separated by {separator}"
        )
        if rows.metadata is not None:
            notes.append(
                f"lines before sentences that begin with '{shown(rows.metadata)}' are comments"
            )
    else:
        notes.append(", ".join(f"{role} = {name}" for role, name in columns.items()))
    notes += label_notes
    if isinstance(named, ClassNamedRows) and columns.get("label") in dict(named.classes):
        notes.append(f"names of classes from {named.source}")
    if isinstance(rows, DelimitedRows):
        separator = {"\t": "tab", ",": "comma"}.get(rows.separator, repr(rows.separator))
        notes.append(f"separated by {separator}, {'quoted' if rows.quoted else 'no quotes'}")
        notes += rows.notes
    unused = _unused_columns(named, columns)
    if unused:
        notes.append(f"columns not used: {', '.join(map(shown, unused[:MAX_UNUSED]))}")
        if len(unused) > MAX_UNUSED:
            notes[-1] += f" and {len(unused) - MAX_UNUSED} more"
    encoding = getattr(rows, "encoding", "utf-8")
    return (*notes, *([] if encoding.startswith("utf-8") else [encoding]))


def _unused_columns(rows: Rows, columns: Mapping[str, str]) -> list[str]:
    """Return the columns that have no role: names, or numbers from 1 in CoNLL files."""
    plain = plain_rows(rows)
    if isinstance(plain, ConllSentences):
        used = {plain.token_column, plain.tag_column}
        return [str(c + 1) for c in range(plain.width or 0) if c not in used]
    taken = {
        name
        for role, cell in columns.items()
        for name in ([cell] if role != "choices" else cell.split(","))
    }
    names = dict.fromkeys(name for _, row in sample_rows(rows) for name in row)
    # Of an object's items, as in translation.en, the column is what stands before the point.
    taken |= {name.partition(".")[0] for name in taken if name not in names}
    return [name for name in names if name not in taken]
