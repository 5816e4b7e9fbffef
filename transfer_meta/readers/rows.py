"""A table, whatever its format: rows that are read anew at each iteration."""

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

#: Rows that are looked at to tell a type, columns or a tagging scheme.
SAMPLE_ROWS = 1000
#: And the characters of text in them, for files with very long rows.
SAMPLE_CHARACTERS = 4 * 2**20


class Rows(Protocol):
    """Named cells, row by row; each iteration starts from the first row.

    Attributes
    ----------
    origin : str
        The file or data set, as errors call it.
    place : str
        What stands before a row's number in an error: ``"a.csv:"``, ``"a.parquet row "``.
    """

    @property
    def origin(self) -> str:
        """See above."""
        ...

    @property
    def place(self) -> str:
        """See above."""
        ...

    def __iter__(self) -> Iterator[tuple[int, Row]]: ...


class FileRows:
    """What the readers of files share; each is a frozen dataclass with a `path`."""

    path: Path

    @property
    def origin(self) -> str:
        """The file, as the user named it."""
        return str(self.path)

    @property
    def place(self) -> str:
        """``file:``, before the line."""
        return f"{self.path}:"

    def fingerprint(self) -> str:
        """Digest of the file's bytes and of how they are read, wherever the file lies."""
        try:
            with self.path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        how = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name != "path"]  # type: ignore[arg-type]
        return digest(type(self).__name__, content, *how)


def sample_rows(rows: Rows) -> list[tuple[int, Row]]:
    """The first rows with their numbers, enough to tell what the table holds.

    Raises
    ------
    InputError
        There are none.
    """
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
    """About the number of characters in a cell."""
    if isinstance(cell, str):
        return len(cell)
    if isinstance(cell, dict):
        return sum(map(_size, cell.values()))
    return sum(map(_size, cell)) if isinstance(cell, list) else 1
