"""Rows of JSON Lines files: one object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import find_encoding, text_lines
from transfer_meta.readers.rows import FileRows, Row


@dataclass(frozen=True)
class JsonLines(FileRows):
    """Objects of a JSON Lines file; empty lines are skipped."""

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
            # Half a surrogate pair comes from an escape only and cannot be written in any encoding.
            yield number, mend_surrogates(row) if "\\u" in line else row


def open_jsonl(path: Path, *, encoding: str | None = None) -> JsonLines:
    """Open a JSON Lines file; an empty one is an InputError."""
    rows = JsonLines(path, find_encoding(path, encoding))
    if next(iter(rows), None) is None:
        raise InputError(f"{path}: the file is empty")
    return rows


def mend_surrogates(value: Any) -> Any:
    r"""Return a JSON value with U+FFFD for each half of a surrogate pair on its own.

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
    """Return the type of a value in the terms of JSON."""
    words = {
        NoneType: "nothing (null)",
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
        tuple: "a list",
        dict: "an object",
    }
    return words.get(type(value), type(value).__name__)
