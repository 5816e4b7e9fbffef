"""Rows of Parquet files, read in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.errors import InputError, first_line
from transfer_meta.readers.compressed import FREE_BYTES, MAX_RATIO
from transfer_meta.readers.opening import MAX_LINE
from transfer_meta.readers.rows import FileRows, Row

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_FREE_CELLS = 2**24
"""Cells that are allowed whatever the size of the file."""
_CELLS_PER_BYTE = 20
"""Largest number of cells beside those, by the file's size; texts and measurements take a byte or more each."""
_BATCH_ROWS = 128
"""Rows in memory; few, since each row gets its own copy of a text that is stored once."""


def check_expansion(path: Path, file: pq.ParquetFile) -> None:
    """Raise an InputError for a file that says of itself that it holds far more than its size, as packed text does.

    Of repeated values Parquet stores a count, so that a few bytes may stand for billions of cells.
    """
    facts = file.metadata
    unpacked = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
    cells = facts.num_rows * facts.num_columns
    size = path.stat().st_size
    if unpacked > FREE_BYTES + MAX_RATIO * size or cells > _FREE_CELLS + _CELLS_PER_BYTE * size:
        raise InputError(
            f"{path}: {facts.num_rows:,} rows of {facts.num_columns} columns in {size:,} bytes;"
            " if it is not a decompression bomb, save it as CSV first"
        )


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
                check_expansion(self.path, file)
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
