"""Rows of JSON documents: SQuAD's articles, paragraphs and questions, or an array of objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.json_stream import JsonStream
from transfer_meta.readers.jsonl import JsonLines, kind, open_jsonl
from transfer_meta.readers.opening import find_encoding
from transfer_meta.readers.rows import FileRows, Row


@dataclass(frozen=True)
class JsonRows(FileRows):
    """Rows of a JSON document, each with the line on which it begins.

    The document is an array of objects, or an object whose ``data`` is one.  An object with ``paragraphs`` is an
    article of SQuAD 1.1 or 2.0 (Rajpurkar et al. 2016, 2018): each of its questions is a row of ``context``,
    ``question`` and ``answers``.  One paragraph is in memory at a time.
    """

    path: Path
    encoding: str

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        stream = JsonStream(self.path, self.encoding)
        if stream.peek() == "[":
            yield from self._objects(stream)
        else:
            found = False
            for key in stream.members():
                if key == "data" and stream.peek() == "[":
                    found = True
                    yield from self._objects(stream)
                else:
                    stream.value()
            if not found:
                raise InputError(
                    f'{self.path}: expected an array of objects, or an object with "data": […] as SQuAD has it'
                )
        stream.end()

    def _objects(self, stream: JsonStream) -> Iterator[tuple[int, Row]]:
        for line in stream.elements():
            if stream.peek() != "{":
                raise stream.error("expected an object")
            row: dict[str, Any] = {}
            article = False
            for key in stream.members():
                if key == "paragraphs" and stream.peek() == "[":
                    article = True
                    for start in stream.elements():
                        yield from self._questions(start, stream.value())
                else:
                    row[key] = stream.value()
            if not article:
                yield line, row

    def _questions(self, line: int, paragraph: Any) -> Iterator[tuple[int, Row]]:
        where = f"{self.path}:{line}: "
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("qas"), list):
            raise InputError(f'{where}expected a paragraph with "context" and "qas"')
        for question in paragraph["qas"]:
            if not isinstance(question, dict):
                raise InputError(f"{where}expected a question as an object, got {kind(question)}")
            answers = [] if question.get("is_impossible") is True else question.get("answers")
            yield (
                line,
                {
                    "context": paragraph.get("context"),
                    "question": question.get("question"),
                    "answers": answers,
                },
            )


def open_json(path: Path, *, encoding: str | None = None) -> JsonRows | JsonLines:
    """Open a JSON document, or JSON Lines in a file named ``.json``; raise InputError if it has no rows."""
    encoding = find_encoding(path, encoding)
    stream = JsonStream(path, encoding)
    if not stream.peek():
        raise InputError(f"{path}: the file is empty")
    if stream.peek() == "{" and "data" not in _first_keys(stream):
        return open_jsonl(path, encoding=encoding)
    rows = JsonRows(path, encoding)
    if next(iter(rows), None) is None:
        raise InputError(f"{path}: no rows")
    return rows


def _first_keys(stream: JsonStream) -> Iterator[str]:
    """Yield the keys of the first object, up to ``data``."""
    for key in stream.members():
        yield key
        if key == "data":
            return
        stream.value()
