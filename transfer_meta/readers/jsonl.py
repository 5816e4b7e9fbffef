"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import find_encoding, text_lines
from transfer_meta.readers.rows import FileRows, Row


@dataclass(frozen=True)
class JsonLines(FileRows):
    """The objects of a JSON Lines file; empty lines are passed over."""

    path: Path
    encoding: str

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        for number, line in enumerate(text_lines(self.path, self.encoding), 1):
            if line.isspace():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{self.path}:{number}: not JSON: {error.msg} at character {error.pos + 1}"
                ) from None
            except (ValueError, RecursionError) as error:
                raise InputError(f"{self.path}:{number}: not usable JSON: {error}") from None
            if not isinstance(row, dict):
                raise InputError(f"{self.path}:{number}: expected a JSON object, got {kind(row)}")
            # Only an escape can bring half of a surrogate pair, which no encoding can write again.
            yield number, mend_surrogates(row) if "\\u" in line else row


def open_jsonl(path: Path, *, encoding: str | None = None) -> JsonLines:
    """A JSON Lines file; an InputError where it is empty."""
    rows = JsonLines(path, find_encoding(path, encoding))
    if next(iter(rows), None) is None:
        raise InputError(f"{path}: the file is empty")
    return rows


def mend_surrogates(value: Any) -> Any:
    r"""The JSON value with each lone half of a surrogate pair replaced by U+FFFD.

    Examples
    --------
    >>> mend_surrogates({"text": ["a\ud800b", 1]})
    {'text': ['a�b', 1]}
    """
    if isinstance(value, str):
        return (
            value
            if value.isascii()
            else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, list):
        return [mend_surrogates(v) for v in value]
    if isinstance(value, dict):
        return {mend_surrogates(k): mend_surrogates(v) for k, v in value.items()}
    return value


def kind(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else type(value).__name__
