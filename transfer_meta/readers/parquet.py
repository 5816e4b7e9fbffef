"""Rows of Parquet files, read in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError, first_line
from transfer_meta.readers.compressed import FREE_BYTES, MAX_RATIO
from transfer_meta.readers.opening import MAX_LINE
from transfer_meta.readers.parquet_pages import DELTA_BYTE_ARRAY, BadPage, longest_text, pages
from transfer_meta.readers.rows import FileRows, Row

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

_FREE_CELLS = 2**24
"""Cells that are allowed whatever the size of the file."""
_CELLS_PER_BYTE = 20
"""Largest number of cells beside those, by the file's size; texts and measurements take a byte or more each."""
_FREE_TEXT = 64 * 2**20
"""Bytes of text, each repetition counted, that are allowed whatever the size of the file."""
_BATCH_ROWS = 128
"""Rows in memory; few, since each row gets its own copy of a text that is stored once."""
_BATCH_BYTES = 16 * 2**20
"""Largest size of rows converted at once, and of cells that are not read as dictionaries; one row may be more."""


class _Limits:
    """How much a file may hold, by its size.

    Of repeated values Parquet stores a count, and of a repeated text a number, so that a few bytes may stand for
    billions of cells or for gigabytes of text.
    """

    def __init__(self, path: Path, file: pa.NativeFile) -> None:
        self._path = path
        self._file = file
        self._size = file.size()
        self._text = 0

    def plan(self, facts: pq.FileMetaData) -> tuple[list[str], int]:
        """Return the columns to read as dictionaries, and how many rows at once.

        As a dictionary a repeated text is in memory once.  Texts within lists or stored as what differs from the
        one before, and cells of a fixed size, cannot be read in that way.

        Raises
        ------
        InputError
            The footer, or the headers of the pages, tell of far more than fits the file's size.
        """
        unpacked = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
        self._check_size(facts, unpacked, facts.num_rows * facts.num_columns)
        columns = [facts.schema.column(i) for i in range(facts.num_columns)]
        nested = [column.path != column.name for column in columns]
        longest, values, by_difference = ([0] * len(columns) for _ in range(3))
        # The footer is not believed: the reader allocates what the pages say of themselves.
        unpacked = cells = 0
        for page in pages(self._file, facts):
            unpacked, cells = unpacked + page.unpacked, cells + page.values
            self._check_size(facts, unpacked, cells)
            i = page.column
            values[i] += page.values
            if page.encoding == DELTA_BYTE_ARRAY:
                by_difference[i] = max(by_difference[i], page.unpacked)
            if page.encoding < 0 and nested[i] and columns[i].physical_type == "BYTE_ARRAY":
                codec = facts.row_group(0).column(i).compression
                longest[i] = max(longest[i], longest_text(self._file, page, codec))
        dictionaries = []
        largest = 1
        for i, column in enumerate(columns):
            if column.physical_type == "BYTE_ARRAY" and nested[i]:
                self.check_text(values[i] * max(longest[i], by_difference[i]))
            elif column.physical_type == "BYTE_ARRAY" and not by_difference[i]:
                dictionaries.append(column.path)
            elif column.physical_type == "BYTE_ARRAY":
                largest = max(largest, by_difference[i])
            elif column.physical_type == "FIXED_LEN_BYTE_ARRAY":
                largest = max(largest, column.length)
                self.check_text(values[i] * column.length)
        return dictionaries, max(1, min(_BATCH_ROWS, _BATCH_BYTES // largest))

    def _check_size(self, facts: pq.FileMetaData, unpacked: int, cells: int) -> None:
        if (
            unpacked > FREE_BYTES + MAX_RATIO * self._size
            or cells > _FREE_CELLS + _CELLS_PER_BYTE * self._size
        ):
            raise InputError(
                f"{self._path}: {facts.num_rows:,} rows of {facts.num_columns} columns in {self._size:,} bytes;"
                " if it is not a decompression bomb, save it as CSV first"
            )

    def add_text(self, size: int) -> None:
        """Count text that was read; raise an InputError where it is too much."""
        self._text += size
        self.check_text(self._text)

    def check_text(self, size: int) -> None:
        """Raise an InputError for more text than fits the file's size."""
        if size > _FREE_TEXT + MAX_RATIO * self._size:
            raise InputError(
                f"{self._path}: {size // 2**20:,} MiB of text in {self._size:,} bytes;"
                " if it is not a decompression bomb, save it as CSV first"
            )


def read_whole(path: Path, content: bytes | None = None) -> pd.DataFrame:
    """Return all rows of a file, within the same limits as `ParquetRows`.

    Parameters
    ----------
    path : Path
    content : bytes, optional
        What the file unfolds to, where it is packed once more.

    Raises
    ------
    InputError
        It holds far more than fits its size.
    ValueError, OSError
        It cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pa.OSFile(str(path)) if content is None else pa.BufferReader(content) as file:
            for _ in _batches(path, file):
                pass
            file.seek(0)
            return pq.ParquetFile(file).read(use_threads=False).to_pandas()
    except pa.ArrowException as error:
        raise ValueError(first_line(error)[:200]) from error


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

        number = 0
        try:
            with pa.OSFile(str(self.path)) as file:
                for batch in _batches(self.path, file):
                    for row in batch.to_pylist():
                        number += 1
                        if any(isinstance(cell, str) and len(cell) > MAX_LINE for cell in row.values()):
                            raise InputError(
                                f"{self.place}{number}: a cell is longer than {MAX_LINE // 2**20} MiB"
                            )
                        yield number, row
        except (pa.ArrowException, BadPage, OSError, UnicodeError, OverflowError) as error:
            raise InputError(
                f"{self.path}: not readable as Parquet: {first_line(error)[:200]}"
            ) from error


def _batches(path: Path, file: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """Yield rows within the limits, in batches of at most `_BATCH_BYTES` of text or of a single row."""
    import pyarrow.parquet as pq

    limits = _Limits(path, file)
    dictionaries, rows = limits.plan(pq.read_metadata(file))
    file.seek(0)
    # With a buffer, a row group is streamed instead of read whole.
    with pq.ParquetFile(
        file, buffer_size=2**16, pre_buffer=False, read_dictionary=dictionaries
    ) as opened:
        for batch in opened.iter_batches(rows, use_threads=False):
            text = sum(map(_text_bytes, batch.columns))
            limits.add_text(text)
            step = batch.num_rows if text <= _BATCH_BYTES else 1
            for start in range(0, batch.num_rows, step or 1):
                yield _without_dictionaries(batch.slice(start, step))


def _text_bytes(array: pa.Array) -> int:
    """Return the bytes of text of an array and of those within it, each repetition counted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind: Any = array.type
    if pa.types.is_dictionary(kind):
        if not len(array.dictionary) or not _is_text(array.dictionary.type):
            return 0
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return pc.sum(lengths.cast(pa.int64())).as_py() or 0
    if pa.types.is_fixed_size_binary(kind):
        return int(len(array) * kind.byte_width)
    if _is_text(kind):
        return pc.sum(pc.binary_length(array).cast(pa.int64())).as_py() or 0
    if pa.types.is_struct(kind):
        return sum(map(_text_bytes, array.flatten()))
    if pa.types.is_map(kind):
        return _text_bytes(array.keys) + _text_bytes(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _text_bytes(array.flatten())
    return 0


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return any(
        test(kind)
        for test in (
            pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary
        )
    )  # fmt: skip


def _without_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with its texts in place of their numbers."""
    import pyarrow as pa

    columns = [column.cast(_plain_type(column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_plain_type(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    return kind


def open_parquet(path: Path) -> ParquetRows:
    """Open a Parquet file; one without rows is an InputError."""
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    rows = ParquetRows(path)
    if next(iter(rows), None) is None:
        raise InputError(f"{path}: no rows")
    return rows
