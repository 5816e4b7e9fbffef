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
from transfer_meta.readers.rows import BadRow, FileRows, NoLog, Row, RowLog, log_damage


@dataclass(frozen=True)
class JsonLines(FileRows):
    """Objects of a JSON Lines file; empty lines are skipped."""

    path: Path
    encoding: str

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return self._rows(None)

    def lenient(self, log: RowLog) -> Iterator[tuple[int, Row]]:
        """Yield the objects; log the lines that hold none."""
        return self._rows(log)

    def _rows(self, log: RowLog | None) -> Iterator[tuple[int, Row]]:
        on_damage = None if log is None else log_damage(log, self.place)
        for number, line in enumerate(text_lines(self.path, self.encoding, on_damage), 1):
            if line.isspace():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise BadRow("no JSON object", f"expected a JSON object, got {kind(row)}")
            except (ValueError, RecursionError, BadRow) as error:
                bad = _bad_line(error)
                if log is None:
                    raise InputError(f"{self.path}:{number}: {bad}") from None
                log.leave_out(bad.reason, f"{self.path}:{number}")
                continue
            # Half a surrogate pair comes from an escape only and cannot be written in any encoding.
            yield number, mend_surrogates(row) if "\\u" in line else row


def open_jsonl(path: Path, *, encoding: str | None = None) -> JsonLines:
    """Open a JSON Lines file; an empty one, or one without an object among its first lines, is an InputError."""
    rows = JsonLines(path, find_encoding(path, encoding))
    if next(rows.lenient(NoLog()), None) is None:
        next(iter(rows), None)  # raises the error of the first line
        raise InputError(f"{path}: the file is empty")
    return rows


def _bad_line(error: Exception) -> BadRow:
    """Return why a line holds no object."""
    if isinstance(error, BadRow):
        return error
    if isinstance(error, json.JSONDecodeError):
        return BadRow("not JSON", f"not JSON: {error.msg} at character {error.pos + 1}")
    return BadRow("not usable JSON", f"not usable JSON: {error}")


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
