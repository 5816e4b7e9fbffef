"""Interface of tables: rows that are read anew at each iteration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
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


class BadRow(Exception):  # noqa: N818
    """A row that cannot be used.

    Parameters
    ----------
    reason : str
        For counts, without anything of the row; completes "2 rows left out: …": ``without label``.
    message : str
        For the error in strict mode, without the place.
    token : int
        Index of the token that is wrong, where a row has a line per token.
    """

    def __init__(self, reason: str, message: str, token: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.token = token


class OneColumnError(InputError):
    """A table of one column, which is too few for a text and a label.

    Attributes
    ----------
    rows : Rows or None
        The table, for whom texts alone are enough.
    """

    rows: Rows | None = None


class RowLog(Protocol):
    """Takes down rows that are left out or mended, each with the reason and the place (``a.csv:7``)."""

    def leave_out(self, reason: str, place: str) -> None:
        """Count a row that cannot be used."""
        ...

    def mend(self, reason: str, place: str) -> None:
        """Count a row that is used in another form than it stands in the file."""
        ...


def lenient_rows(rows: Rows, log: RowLog) -> Iterable[tuple[int, Row]]:
    """Return the rows of a table without those that it can leave out, which are logged.

    A reader that can leave rows out has a method ``lenient(log)`` beside ``__iter__``, which raises an InputError
    at the first such row.
    """
    lenient = getattr(rows, "lenient", None)
    return rows if lenient is None else lenient(log)


class NoLog:
    """A `RowLog` that forgets everything."""

    def leave_out(self, reason: str, place: str) -> None:
        """Ignore the row."""

    def mend(self, reason: str, place: str) -> None:
        """Ignore the row."""


def log_damage(log: RowLog, place: str) -> Callable[[int], None]:
    """Return a function that logs a line of damaged UTF-8; see `opening.text_lines`."""
    return lambda line: log.mend("with bytes that are no UTF-8, read as \ufffd", f"{place}{line}")


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

        The names of class and fields are part of it, and of keys in stores and caches.  A field with a default is
        part of it only where it has another value, one without ``compare`` never.
        """
        try:
            with self.path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        how = []
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            # Stored keys remain valid when a reader gets another field.
            if f.name != "path" and f.compare and (f.default is MISSING or value != f.default):
                how.append(f"{f.name}={value!r}")
        return digest(type(self).__name__, content, *how)


class WrappedRows:
    """Base class of tables that change the rows of another one; subclasses are frozen dataclasses."""

    inner: Rows

    @property
    def origin(self) -> str:
        """Name of the wrapped table."""
        return self.inner.origin

    @property
    def place(self) -> str:
        """Text before a row's number."""
        return self.inner.place

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        return self._changed(self.inner)

    def lenient(self, log: RowLog) -> Iterator[tuple[int, Row]]:
        """Yield the rows without those that the reader can leave out."""
        return self._changed(lenient_rows(self.inner, log))

    def fingerprint(self) -> str | None:
        """Return the digest of the content and of how it is read; None where there is no file."""
        content = getattr(self.inner, "fingerprint", lambda: None)()
        how = [repr(getattr(self, f.name)) for f in fields(self) if f.name != "inner" and f.compare]  # type: ignore[arg-type]
        return None if content is None else digest(type(self).__name__, content, *how)

    def _changed(self, rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        raise NotImplementedError


def sample_rows(rows: Rows) -> list[tuple[int, Row]]:
    """Return the first rows with their numbers; a table without rows is an InputError."""
    found: list[tuple[int, Row]] = []
    size = 0
    for number, row in islice(lenient_rows(rows, NoLog()), SAMPLE_ROWS):
        found.append((number, row))
        size += sum(map(_size, row.values()))
        if size > SAMPLE_CHARACTERS:
            break
    if not found:
        next(iter(rows), None)  # raises the error of the first row
        raise InputError(f"{rows.origin}: no rows")
    return found


def _size(cell: Any) -> int:
    """Return about the number of characters in a cell."""
    if isinstance(cell, str):
        return len(cell)
    if isinstance(cell, dict):
        return sum(map(_size, cell.values()))
    return sum(map(_size, cell)) if isinstance(cell, list) else 1
