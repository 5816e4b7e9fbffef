"""Incremental reading of one JSON document that may be larger than memory.

Not `ijson`: it refuses ``NaN`` and integers of over 64 bits, which files written by Python hold, and takes 1.1 to
1.6 times as long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.readers.jsonl import mend_surrogates
from transfer_meta.readers.opening import MAX_LINE, shown, text_chunks

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"
_DELIMITERS = frozenset(_SPACE + ",:]}")


class JsonStream:
    """A JSON document, consumed from left to right.

    After each key of `members` and each step of `elements` the caller must consume exactly one value, with `value`,
    `members` or `elements`.

    Parameters
    ----------
    path : Path
        The file, which may be compressed.
    encoding : str
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self._path = path
        self._chunks = text_chunks(path, encoding)
        self._buffer = ""
        self._position = 0
        self._line = 1

    @property
    def line(self) -> int:
        """Line of the next character, counted from 1."""
        return self._line + self._buffer.count("\n", 0, self._position)

    def peek(self) -> str:
        """Return the next character that is not white space without consuming it; empty at the end."""
        while True:
            buffer, position = self._buffer, self._position
            while position < len(buffer) and buffer[position] in _SPACE:
                position += 1
            self._position = position
            if position < len(buffer):
                return buffer[position]
            if not self._fill():
                return ""

    def members(self) -> Iterator[str]:
        """Yield the keys of the next value, an object."""
        self._take("{")
        if self._found("}"):
            return
        while True:
            if self.peek() != '"':
                raise self.error("expected a key in quotes")
            key = self.value()
            self._take(":")
            yield key
            if self._found("}"):
                return
            self._take(",")

    def elements(self) -> Iterator[int]:
        """Yield the line on which each item of the next value, an array, begins."""
        self._take("[")
        if self._found("]"):
            return
        while True:
            self.peek()
            yield self.line
            if self._found("]"):
                return
            self._take(",")

    def value(self) -> Any:
        """Decode and return the next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                if self._fill():
                    continue
                raise self.error(error.msg) from None
            except (ValueError, RecursionError) as error:
                raise self.error(str(error)) from None
            # A number may go on beyond the buffer's end: of "1.5", "1." decodes to 1.
            if self._buffer[end : end + 1] in _DELIMITERS or not self._fill():
                self._position = end
                return mend_surrogates(value)

    def end(self) -> None:
        """Raise InputError if anything but white space follows."""
        if self.peek():
            raise self.error("text after the end of the document")

    def error(self, what: str) -> InputError:
        """Return an error that names the current line."""
        return InputError(f"{self._path}:{self.line}: not usable JSON: {what}")

    def _found(self, character: str) -> bool:
        found = self.peek() == character
        self._position += found
        return found

    def _take(self, character: str) -> None:
        if not self._found(character):
            got = self.peek()
            raise self.error(
                f"expected '{character}', got " + (f"'{shown(got)}'" if got else "the end of the file")
            )

    def _fill(self) -> bool:
        """Read as many characters as are waiting: repeated decoding of a long value then takes linear time."""
        waiting = len(self._buffer) - self._position
        if waiting > MAX_LINE:
            raise self.error(f"broken, or one value of over {MAX_LINE // 2**20} MiB")
        pieces: list[str] = []
        size = 0
        while size <= waiting and (chunk := next(self._chunks, "")):
            pieces.append(chunk)
            size += len(chunk)
        self._line = self.line
        self._buffer = self._buffer[self._position :] + "".join(pieces)
        self._position = 0
        return bool(pieces)
