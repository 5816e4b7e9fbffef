"""Interface of tables: rows that are read anew at each iteration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from transfer_meta.errors import InputError
from transfer_meta.files import digest

Row = Mapping[str, Any]

SAMPLE_ROWS = 1000
"""Number of rows from which type, columns and tagging scheme are detected."""
SAMPLE_CHARACTERS = 4 * 2**20
"""Largest number of characters in those rows."""


class Rows(Protocol):
    """Iterable of rows, each with its number; each iteration starts from the first row."""

    @property
    def origin(self) -> str:
        """The file or data set, as errors name it."""
        ...

    @property
    def place(self) -> str:
        """Text before a row's number in an error: ``"a.csv:"``, ``"a.parquet row "``."""
        ...

    def __iter__(self) -> Iterator[tuple[int, Row]]: ...


class FileRows:
    """Base class of the readers of files, which are frozen dataclasses."""

    path: Path

    @property
    def origin(self) -> str:
        """The file, as the user named it."""
        return str(self.path)

    @property
    def place(self) -> str:
        """Text before a line's number: ``file:``."""
        return f"{self.path}:"

    def fingerprint(self) -> str:
        """Return the digest of the file's bytes and of how they are read.

        The names of class and fields are part of it, and of keys in stores and caches.
        """
        try:
            with self.path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        how = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name != "path"]  # type: ignore[arg-type]
        return digest(type(self).__name__, content, *how)


def sample_rows(rows: Rows) -> list[tuple[int, Row]]:
    """Return the first rows with their numbers; a table without rows is an InputError."""
    found: list[tuple[int, Row]] = []
    size = 0
    for number, row in islice(rows, SAMPLE_ROWS):
        found.append((number, row))
        size += sum(map(_size, row.values()))
        if size > SAMPLE_CHARACTERS:
            break
    if not found:
        raise InputError(f"{rows.origin}: no rows")
    return found


def _size(cell: Any) -> int:
    """Return about the number of characters in a cell."""
    if isinstance(cell, str):
        return len(cell)
    if isinstance(cell, dict):
        return sum(map(_size, cell.values()))
    return sum(map(_size, cell)) if isinstance(cell, list) else 1
