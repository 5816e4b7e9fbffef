"""Plain text files: one text a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import find_encoding, text_lines
from transfer_meta.readers.rows import FileRows, Row, RowLog, log_damage


@dataclass(frozen=True)
class PlainTextRows(FileRows):
    """The lines of a file as rows of ``text``, numbered from 1; empty lines are rows as well."""

    path: Path
    encoding: str

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        for number, line in enumerate(text_lines(self.path, self.encoding), 1):
            yield number, {"text": line.strip()}

    def lenient(self, log: RowLog) -> Iterator[tuple[int, Row]]:
        """Iterate over the lines; wrong bytes of UTF-8 are replaced and logged."""
        lines = text_lines(self.path, self.encoding, log_damage(log, self.place))
        for number, line in enumerate(lines, 1):
            yield number, {"text": line.strip()}


def open_plain_text(path: Path, *, encoding: str | None = None) -> PlainTextRows:
    """Open a file of one text a line; raise InputError if it has none."""
    rows = PlainTextRows(path, find_encoding(path, encoding))
    if not any(row["text"] for _, row in rows):
        raise InputError(f"{path}: the file is empty")
    return rows
