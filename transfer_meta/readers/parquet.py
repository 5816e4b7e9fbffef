"""Parquet files, read a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import MAX_LINE
from transfer_meta.readers.rows import FileRows, Row

#: Few, since a dictionary of long texts unfolds into one copy a row.
_BATCH_ROWS = 128


@dataclass(frozen=True)
class ParquetRows(FileRows):
    """The rows of a Parquet file, numbered from 1."""

    path: Path

    @property
    def place(self) -> str:
        """``file row``, before the number."""
        return f"{self.path} row "

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            # A buffer makes the reader stream a row group instead of holding all of it.
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
            message = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(f"{self.path}: not readable as Parquet: {message[0][:200]}") from error


def open_parquet(path: Path) -> ParquetRows:
    """A Parquet file; an InputError where it has no rows."""
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    rows = ParquetRows(path)
    if next(iter(rows), None) is None:
        raise InputError(f"{path}: no rows")
    return rows
