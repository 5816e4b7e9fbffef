"""What a trained model predicts for: examples of a file, of data in memory or of a task, with or without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.compressed import content_suffix
from transfer_meta.readers.opening import shown
from transfer_meta.readers.plain_text import open_plain_text
from transfer_meta.readers.rows import BadRow, OneColumnError, Row, Rows, sample_rows
from transfer_meta.readers.shards import plain_rows
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.build_task import RowSplit, build_task
from transfer_meta.tasks.class_names import is_no_label
from transfer_meta.tasks.conll import ConllSentences
from transfer_meta.tasks.detect import LABEL_ROLES, detect_inputs
from transfer_meta.tasks.generation_rows import cell_of, convert_generation, is_chat
from transfer_meta.tasks.load import load_task, rows_of
from transfer_meta.tasks.resolve import find_tasks
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.task import Task

EXPECTED_INPUTS = {
    TaskType.CLASSIFICATION: "a string, a pair of strings, or {'text': …, 'text_pair': …}",
    TaskType.REGRESSION: "a string, a pair of strings, or {'text': …, 'text_pair': …}",
    TaskType.TOKEN_CLASSIFICATION: "a list of words, or a string to be split at white space",
    TaskType.QUESTION_ANSWERING: "{'question': …, 'context': …}, or a pair of both",
    TaskType.MULTIPLE_CHOICE: "{'context': …, 'question': …, 'choices': […]}",
    TaskType.GENERATION: "a string, a pair (input, instruction), {'text': …, 'text_pair': …}, or messages",
}
"""What a model takes for one text, by its type, besides an `Example`."""


@dataclass(frozen=True)
class Inputs:
    """Examples to predict for.

    Parameters
    ----------
    origin : str
        File or data set, as messages name it.
    examples : iterable of Example
        Can be iterated over repeatedly; reads its file anew each time.
    """

    origin: str
    examples: Iterable[Example]

    def numbered(self) -> Iterator[tuple[int, Example]]:
        """Yield the examples, each with its line or row number in the file, or its index from 0 in memory."""
        split: Any = self.examples
        return split.numbered() if isinstance(split, RowSplit) else iter(enumerate(split))

    def reading_notes(self, *, verbose: bool = False) -> list[str]:
        """Return what the last complete pass left out and mended; with `verbose` the places."""
        log = getattr(self.examples, "log", None)
        if log is None:
            return []
        return [*log.summary(), *(log.listing() if verbose else ())]


def read_inputs(data: Any, type: TaskType, settings: ReadSettings | None = None) -> Inputs:
    """Return the examples of a file or of data in memory for a model of a type; labels may be missing.

    Parameters
    ----------
    data : str, Path, Task, DataFrame, Dataset, pair or list
        One data file (its siblings are not read), or one text a line in a file named ``.txt``; a task, a task card,
        ``demo:NAME`` or ``hf:DATASET``, of which the test split is taken, else dev, else train; a data frame or
        data set; a pair ``(texts, labels)``; a list of what `examples_of` takes.
    type : TaskType
        Type of the model.
    settings : ReadSettings, optional
        What cannot be detected.

    Raises
    ------
    InputError
        What cannot be read, or does not have what a model of this type reads.
    """
    settings = settings or ReadSettings()
    if settings.type not in (None, type):
        raise InputError(f"--type {settings.type}: the model is for {type}")
    is_address = isinstance(data, str | Path)
    if isinstance(data, list):
        return Inputs("the list", examples_of(type, data))
    if isinstance(data, Task) or (is_address and not Path(data).exists()) or _is_card(data):
        return _of_task(load_task(data, settings=None if isinstance(data, Task) else settings), type)
    settings = replace(settings, type=type)
    rows = (
        _open_file(Path(data), settings)
        if is_address
        else rows_of(data, "the data", "test", settings, [])
    )
    try:
        columns = detect_inputs(rows, type, columns=settings.columns)
    except InputError as error:
        raise InputError(f"the model is for {type}; {error}") from error
    return Inputs(rows.origin, _split(rows, columns, settings))


def examples_of(type: TaskType, texts: Iterable[Any]) -> list[Example]:
    """Return what a user gives a model as examples; see `EXPECTED_INPUTS`.

    Raises
    ------
    InputError
        One string in place of a list, or a text that is not what a model of this type takes.

    Examples
    --------
    >>> examples_of(TaskType.CLASSIFICATION, ["fine", ("a", "pair")])
    [Example(text='fine', label=None, ...), Example(text='a', label=None, text_pair='pair', ...)]
    >>> examples_of(TaskType.TOKEN_CLASSIFICATION, ["two words"])[0].tokens
    ('two', 'words')
    """
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        raise InputError(f"expected a list of texts, got one {texts.__class__.__name__}")
    found = []
    for number, text in enumerate(texts):
        example = text if isinstance(text, Example) else _example(type, text)
        if example is None or not _fits(type, example):
            raise InputError(
                f"text {number} (from 0): a model for {type} takes {EXPECTED_INPUTS[type]};"
                f" got {shown(repr(text), 60)}"
            )
        found.append(example)
    return found


def _example(type: TaskType, text: Any) -> Example | None:
    if type is TaskType.GENERATION and isinstance(text, Mapping):
        text = text.get("messages", text)
    if type is TaskType.GENERATION and is_chat(text):
        try:
            return convert_generation({"text": "messages"}, labelled=False)({"messages": text})
        except BadRow:
            return None
    if isinstance(text, Mapping):
        return _of_mapping(type, text)
    words = [text] if isinstance(text, str) else text
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        return None
    if type is TaskType.TOKEN_CLASSIFICATION:
        words = text.split() if isinstance(text, str) else words
        return Example(" ".join(words), tokens=tuple(words))
    return (
        Example(words[0], None, words[1] if len(words) > 1 else None) if len(words) in (1, 2) else None
    )


def _of_mapping(type: TaskType, text: Mapping[Any, Any]) -> Example | None:
    if type is TaskType.TOKEN_CLASSIFICATION:
        words = text.get("tokens", text.get("text"))
        return None if words is None else _example(type, words)
    if type is TaskType.QUESTION_ANSWERING:
        return Example(text.get("question"), None, text.get("context"))  # type: ignore[arg-type]
    first, second = text.get("text", text.get("context")), text.get("text_pair", text.get("question"))
    if first is None and type is TaskType.MULTIPLE_CHOICE:
        first, second = second, None
    choices = text.get("choices", ())
    return Example(first, None, second, tuple(choices)) if isinstance(choices, list | tuple) else None


def _fits(type: TaskType, example: Example) -> bool:
    """Return whether an example has what a model of a type reads."""
    texts = [example.text, *example.choices, *example.tokens]
    if type is TaskType.QUESTION_ANSWERING:
        texts.append(example.text_pair)  # type: ignore[arg-type]
    elif example.text_pair is not None:
        texts.append(example.text_pair)
    return (
        all(isinstance(text, str) for text in texts)
        and (type is not TaskType.MULTIPLE_CHOICE or len(example.choices) > 0)
        and (type is not TaskType.TOKEN_CLASSIFICATION or len(example.tokens) > 0)
    )


def _is_card(data: Any) -> bool:
    return isinstance(data, str | Path) and Path(data).suffix == ".toml"


def _of_task(task: Task, type: TaskType) -> Inputs:
    """Return the examples of a task's test split, else of dev, else of train."""
    if task.type is not type:
        raise InputError(f"the model is for {type}, and the task '{task.name}' is {task.type}")
    name = next(split for split in ("test", "dev", "train", *task.splits) if split in task.splits)
    split = task.splits[name]
    kept = replace(split, keep_unlabelled=True) if isinstance(split, RowSplit) else split
    return Inputs(task.origin.get(name) or f"{task.name}[{name}]", kept)


def _open_file(path: Path, settings: ReadSettings) -> Rows:
    """Return the rows of a file; of a folder that holds one file, those of that file."""
    if path.is_dir():
        found = find_tasks([str(path)])
        if len(found) != 1:
            raise InputError(f"{path}: expected a file, got a folder of {len(found)} tasks")
        path = Path(found[0])
    if settings.format is None and content_suffix(path) == ".txt":
        return open_plain_text(path, encoding=settings.encoding)
    try:
        return rows_of(path, str(path), "test", settings, [])
    except OneColumnError as error:
        if error.rows is None:
            raise
        return error.rows


def _cell(row: Row, column: str) -> Any:
    """Return the cell of a column; None where the row has none."""
    try:
        return cell_of(row, column)
    except KeyError:
        return None


def _split(rows: Rows, columns: Mapping[str, str], settings: ReadSettings) -> RowSplit:
    """Return the examples of a table: with labels where it has some."""
    assert settings.type is not None
    labels = [columns[role] for role in ("label", "answers") if role in columns]
    plain = plain_rows(rows)
    if isinstance(plain, ConllSentences) and plain.token_column == plain.tag_column:
        labels = []
    if labels and any(not is_no_label(_cell(row, labels[0])) for _, row in sample_rows(rows)):
        task = build_task("data", {"test": rows}, replace(settings, columns=columns))
        split = task.splits["test"]
        assert isinstance(split, RowSplit)
        return replace(split, keep_unlabelled=True)
    bare = {role: name for role, name in columns.items() if role not in LABEL_ROLES}
    return RowSplit(rows, settings.type, bare, strict=settings.strict)
