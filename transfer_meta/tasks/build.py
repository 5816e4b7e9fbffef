"""From named files, frames or data sets to a `Task`: open, detect, say what was detected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.files import digest
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

PACKED = frozenset({".gz", ".zst"})
#: The format that a suffix says.
FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".conll": "conll",
    ".conllu": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
}


@dataclass(frozen=True)
class RowSplit:
    """A split that reads its rows anew at each iteration."""

    rows: Rows
    type: TaskType
    columns: Mapping[str, str]
    scheme: str = PLAIN
    repair_tags: bool = False

    def __iter__(self) -> Iterator[Example]:
        for _, example in self.numbered():
            yield example

    def numbered(self) -> Iterator[tuple[int, Example]]:
        """The examples, each with its line or row."""
        return read_examples(
            self.rows, self.type, self.columns, scheme=self.scheme, repair_tags=self.repair_tags
        )

    def fingerprint(self) -> str | None:
        """Digest of the content without reading examples; None where there is no file to take it from."""
        content = getattr(self.rows, "fingerprint", None)
        if content is None:
            return None
        columns = repr(sorted(self.columns.items()))
        return digest(content(), self.type, columns, self.scheme, repr(self.repair_tags))


def file_format(path: Path) -> str | None:
    """The format that a file's suffix says (``.csv.gz`` is csv), None where it says none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return FORMAT_OF_SUFFIX.get(suffixes[-1]) if suffixes else None


def open_rows(path: Path, settings: ReadSettings) -> Rows:
    """The rows of a file by its format."""
    format = settings.format or file_format(path)
    if format is None:
        raise InputError(
            f"{path}: cannot tell the format from the name; set --format ({', '.join(TASK_FORMATS)})"
        )
    if format in ("csv", "tsv"):
        separator = settings.separator or ("\t" if settings.format == "tsv" else None)
        return open_delimited(
            path,
            encoding=settings.encoding,
            separator=separator,
            quoted=settings.quoted,
            header=settings.header,
        )
    if format == "conll":
        return open_conll(
            path,
            encoding=settings.encoding,
            separator=settings.separator,
            columns=settings.columns,
            comment=settings.comment,
        )
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
    """The task that some tables hold, one a split.

    Type, columns and tagging scheme are told from the first rows of ``train`` (else of the first split); the other
    splits must have the same columns.  The first example of every split is read, so that what cannot be read at
    all is known at once.

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
    found = {
        split: RowSplit(table, type, columns, scheme, settings.repair_tags)
        for split, table in splits.items()
    }
    for split in found.values():
        if next(iter(split), None) is None:
            raise InputError(f"{split.rows.origin}: no rows")
    return Task(
        name=name,
        type=type,
        splits=found,
        description=description,
        licence=licence,
        columns=columns,
        origin={split: table.origin for split, table in splits.items()},
        notes=_notes(type, columns, first, scheme),
    )


def _notes(type: TaskType, columns: Mapping[str, str], rows: Rows, scheme: str) -> tuple[str, ...]:
    """What was detected, in words."""
    if isinstance(rows, ConllSentences):
        between = {None: "white space", "\t": "tab"}.get(rows.separator, repr(rows.separator))
        how = f"columns {rows.token_column + 1} (token) and {rows.tag_column + 1} (tag) separated by {between}"
        return (str(type), how, f"tags {scheme}", *_encoding(rows.encoding))
    notes = [str(type), ", ".join(f"{role} = {name}" for role, name in columns.items())]
    if type is TaskType.TOKEN_CLASSIFICATION:
        notes.append(f"tags {scheme}")
    if isinstance(rows, DelimitedRows):
        between = {"\t": "tab", ",": "comma"}.get(rows.separator, repr(rows.separator))
        notes.append(f"separated by {between}, {'quoted' if rows.quoted else 'no quotes'}")
    return (*notes, *_encoding(getattr(rows, "encoding", "utf-8")))


def _encoding(encoding: str) -> tuple[str, ...]:
    return () if encoding.startswith("utf-8") else (encoding,)
