"""Rows of Parquet files, read in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError, first_line
from transfer_meta.readers.opening import MAX_LINE
from transfer_meta.readers.rows import FileRows, Row

_BATCH_ROWS = 128
"""Rows in memory; few, since each row gets its own copy of a text that is stored once."""


@dataclass(frozen=True)
class ParquetRows(FileRows):
    """Rows of a Parquet file, numbered from 1."""

    path: Path

    @property
    def place(self) -> str:
        """Text before a row's number: ``file row``."""
        return f"{self.path} row "

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            # With a buffer, a row group is streamed instead of read whole.
            with pq.ParquetFile(self.path, buffer_size=2**16, pre_buffer=False) as file:
                for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                    for row in batch.to_pylist():
                        number += 1
                        if any(isinstance(cell, str) and len(cell) > MAX_LINE for cell in row.values()):
                            raise InputError(
                                f"{self.place}{number}: a cell is longer than {MAX_LINE // 2**20} MiB"
                            )
                        yield number, row
        except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
            raise InputError(
                f"{self.path}: not readable as Parquet: {first_line(error)[:200]}"
            ) from error


def open_parquet(path: Path) -> ParquetRows:
    """Open a Parquet file; one without rows is an InputError."""
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    rows = ParquetRows(path)
    if next(iter(rows), None) is None:
        raise InputError(f"{path}: no rows")
    return rows
