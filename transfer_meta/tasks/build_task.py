"""Make a `Task` of rows: open files by format, detect type and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.files import digest
from transfer_meta.readers.compressed import content_suffix
from transfer_meta.readers.delimited import DelimitedRows, open_delimited
from transfer_meta.readers.jsonl import open_jsonl
from transfer_meta.readers.parquet import open_parquet
from transfer_meta.readers.rows import Rows, sample_rows
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.conll import ConllSentences, open_conll
from transfer_meta.tasks.detect import detect
from transfer_meta.tasks.examples import read_examples
from transfer_meta.tasks.iob import PLAIN, detect_scheme
from transfer_meta.tasks.settings import TASK_FORMATS, ReadSettings
from transfer_meta.tasks.squad import open_json
from transfer_meta.tasks.task import Task

_SUFFIXES = {
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "parquet": (".parquet",),
    "conll": (".conll", ".conllu", ".iob", ".iob2", ".bio"),
}


@dataclass(frozen=True)
class RowSplit:
    """Split that reads its rows anew at each iteration."""

    rows: Rows
    type: TaskType
    columns: Mapping[str, str]
    scheme: str = PLAIN
    repair_tags: bool = False

    def __iter__(self) -> Iterator[Example]:
        for _, example in self.numbered():
            yield example

    def numbered(self) -> Iterator[tuple[int, Example]]:
        """Yield the examples, each with its line or row number."""
        return read_examples(
            self.rows, self.type, self.columns, scheme=self.scheme, repair_tags=self.repair_tags
        )

    def fingerprint(self) -> str | None:
        """Return a digest of the content and of how it is read; None where the rows are not those of a file."""
        content = getattr(self.rows, "fingerprint", None)
        if content is None:
            return None
        columns = repr(sorted(self.columns.items()))
        return digest(content(), self.type, columns, self.scheme, repr(self.repair_tags))


def file_format(path: Path) -> str | None:
    """Return the format that a file's suffix stands for (``csv`` for ``a.csv.gz``), None for an unknown suffix."""
    suffix = content_suffix(path)
    return next((format for format, suffixes in _SUFFIXES.items() if suffix in suffixes), None)


def open_rows(path: Path, settings: ReadSettings) -> Rows:
    """Open a data file as rows, by its format."""
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
            header=settings.header,
        )
    if format == "conll":
        return open_conll(path, settings)
    if format == "parquet":
        return open_parquet(path)
    opener = open_jsonl if format == "jsonl" else open_json
    return opener(path, encoding=settings.encoding)


def build_task(
    name: str,
    splits: Mapping[str, Rows],
    settings: ReadSettings,
    *,
    description: str = "",
    licence: str = "",
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
    if isinstance(first, ConllSentences):
        if settings.type not in (None, TaskType.TOKEN_CLASSIFICATION):
            raise InputError(
                f"{first.origin}: a CoNLL file is for token-classification, not {settings.type}"
            )
        type, columns = TaskType.TOKEN_CLASSIFICATION, {"tokens": "tokens", "label": "label"}
    else:
        type, columns = detect(first, type=settings.type, columns=settings.columns)
    scheme = PLAIN
    if type is TaskType.TOKEN_CLASSIFICATION:
        cells = [row.get(columns["label"]) for _, row in sample_rows(first)]
        tags = [
            cell for cell in cells if isinstance(cell, list) and all(isinstance(t, str) for t in cell)
        ]
        scheme = settings.scheme or detect_scheme(tags)
    examples = {
        split: RowSplit(rows, type, columns, scheme, settings.repair_tags)
        for split, rows in splits.items()
    }
    for split in examples.values():
        if next(iter(split), None) is None:
            raise InputError(f"{split.rows.origin}: no rows")
    return Task(
        name=name,
        type=type,
        splits=examples,
        description=description,
        licence=licence,
        columns=columns,
        origin={split: rows.origin for split, rows in splits.items()},
        notes=_notes(type, columns, first, scheme),
    )


def _notes(type: TaskType, columns: Mapping[str, str], rows: Rows, scheme: str) -> tuple[str, ...]:
    """Return what was detected, for the user."""
    notes = [str(type)]
    if isinstance(rows, ConllSentences):
        separator = {None: "white space", "\t": "tab"}.get(rows.separator, repr(rows.separator))
        notes.append(
            f"columns {rows.token_column + 1} (token) and {rows.tag_column + 1} (tag) separated by {separator}"
        )
    else:
        notes.append(", ".join(f"{role} = {name}" for role, name in columns.items()))
    if type is TaskType.TOKEN_CLASSIFICATION:
        notes.append(f"tags {scheme}")
    if isinstance(rows, DelimitedRows):
        separator = {"\t": "tab", ",": "comma"}.get(rows.separator, repr(rows.separator))
        notes.append(f"separated by {separator}, {'quoted' if rows.quoted else 'no quotes'}")
    encoding = getattr(rows, "encoding", "utf-8")
    return (*notes, *([] if encoding.startswith("utf-8") else [encoding]))
