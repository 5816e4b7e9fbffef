"""Parquet."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers import parquet
from transfer_meta.readers.parquet import open_parquet
from transfer_meta.readers.whole_table import read_table_file
from transfer_meta.records import Answer, TaskType
from transfer_meta.tasks import ReadSettings, read_task

ROWS = [{"text": f"text {i}", "label": "ab"[i % 2], "tags": [str(i)] * (i % 3)} for i in range(1000)]


def write(folder: Path, rows: list[dict]) -> Path:
    path = folder / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=300)
    return path


def test_rows_are_numbered_and_read_anew(tmp_path: Path) -> None:
    rows = open_parquet(write(tmp_path, ROWS))
    assert list(rows) == list(enumerate(ROWS, 1))
    assert list(rows) == list(rows)


def test_nested_columns_are_answers(tmp_path: Path) -> None:
    rows = [{"context": "Ann saw", "question": "?", "answers": {"text": ["saw"], "answer_start": [4]}}]
    task = read_task(write(tmp_path, rows))
    assert task.type is TaskType.QUESTION_ANSWERING
    assert next(task.examples()).label == (Answer("saw", 4),)


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    task = read_task(write(tmp_path, [{"text": "a", "label": i % 3} for i in range(30)]))
    assert (task.type, task.labels()) == (TaskType.CLASSIFICATION, ("0", "1", "2"))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS)
    data = path.read_bytes()
    for broken in (b"", b"PAR1", data[:-20], data[: len(data) // 2], b"x" * 100):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"a\.parquet: not readable as Parquet: "):
            open_parquet(path)
    with pytest.raises(InputError, match="no such file"):
        open_parquet(tmp_path / "b.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    with pytest.raises(InputError, match=r"a\.parquet: no rows"):
        open_parquet(path)


def test_a_long_cell_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "MAX_LINE", 100)
    path = write(tmp_path, [{"text": "a"}, {"text": "b" * 101}])
    with pytest.raises(InputError, match=r"a\.parquet row 2: a cell is longer than"):
        list(open_parquet(path))


def test_a_label_that_is_missing_names_the_row(tmp_path: Path) -> None:
    path = write(tmp_path, [{"text": "a", "label": "x"}, {"text": "b", "label": None}])
    with pytest.raises(InputError, match=r"a\.parquet row 2: there is no label"):
        list(read_task(path, ReadSettings(strict=True)).examples())


def test_a_file_of_a_few_bytes_that_stand_for_billions_of_cells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    one = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**7, np.int8)), ["x"])
    pq.write_table(pa.table({"source": one, "target": one}), path, compression="zstd")
    assert path.stat().st_size < 10**5
    message = r"10,000,000 rows of 2 columns in [\d,]+ bytes; if it is not a decompression bomb"
    with pytest.raises(InputError, match=message):
        open_parquet(path)
    with pytest.raises(InputError, match=message):
        read_table_file(path)


LONG = "a" * (4 * 2**20 - 200)


def repeated(count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [LONG])


def bomb_text(path: Path) -> None:
    table = pa.table({"text": repeated(4000), "label": ["x", "y"] * 2000})
    pq.write_table(table, path, compression="zstd", store_schema=False)


def bomb_in_lists(path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array(range(4001), pa.int32()), repeated(4000))
    pq.write_table(pa.table({"tokens": lists}), path, compression="zstd", store_schema=False)


def bomb_in_one_list(path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 4000], pa.int32()), repeated(4000))
    pq.write_table(pa.table({"tokens": lists}), path, compression="gzip", store_schema=False)


def bomb_by_differences(path: Path) -> None:
    table = pa.table({"text": [LONG] * 20, "label": ["x", "y"] * 10})
    encoding = {"text": "DELTA_BYTE_ARRAY", "label": "PLAIN"}
    pq.write_table(table, path, compression="zstd", use_dictionary=False, column_encoding=encoding)


def bomb_of_fixed_size(path: Path) -> None:
    values = pa.array([LONG.encode()] * 20, pa.binary(len(LONG)))
    pq.write_table(pa.table({"text": values, "label": ["x", "y"] * 10}), path, compression="zstd")


def bomb_of_numbers_in_a_list(path: Path) -> None:
    numbers = pa.ListArray.from_arrays(
        pa.array([0, 2**24 + 2**19], pa.int32()), pa.array(np.zeros(2**24 + 2**19, np.int8))
    )
    pq.write_table(pa.table({"tokens": numbers}), path, compression="zstd")


def bomb_with_a_false_footer(path: Path) -> None:
    """A page of 100 MB whose footer says that it is small."""
    table = pa.table({"text": ["a" * 10**8]})
    options = {"use_dictionary": False, "write_statistics": False}
    pq.write_table(table, path, compression="zstd", **options)
    facts = pq.read_metadata(path).row_group(0)
    data = path.read_bytes()
    for size in {facts.total_byte_size, facts.column(0).total_uncompressed_size}:
        # Zigzag, seven bits a byte; the same number of bytes stands for 100.
        number, written = 2 * size, b""
        while number:
            written += bytes([number & 127 | (128 if number > 127 else 0)])
            number >>= 7
        small = bytes([200 & 127 | 128, 200 >> 7 | 128, *[128] * (len(written) - 3), 0])
        assert written in data[-600:]
        data = data[:-600] + data[-600:].replace(written, small)
    path.write_bytes(data)
    assert pq.read_metadata(path).row_group(0).total_byte_size == 100


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Count what Arrow and Python allocate from the fixture's first call on; the peak, in bytes."""
    usual = pa.default_memory_pool()
    pools: list[pa.MemoryPool] = []

    def peak() -> int:
        if not pools:
            pools.append(pa.proxy_memory_pool(usual))
            pa.set_memory_pool(pools[0])
            tracemalloc.start()
        return pools[0].max_memory() + tracemalloc.get_traced_memory()[1]

    yield peak
    tracemalloc.stop()
    pa.set_memory_pool(usual)


def iterate(path: Path) -> None:
    for _ in open_parquet(path):
        pass


@pytest.mark.parametrize(
    "write_bomb",
    [
        bomb_text,
        bomb_in_lists,
        bomb_in_one_list,
        bomb_by_differences,
        bomb_of_fixed_size,
        bomb_of_numbers_in_a_list,
        bomb_with_a_false_footer,
    ],
)
@pytest.mark.parametrize("read_all", [iterate, read_table_file])
def test_a_small_file_that_stands_for_gigabytes_takes_little_memory(
    tmp_path: Path, memory: Callable[[], int], write_bomb, read_all
) -> None:
    path = tmp_path / "a.parquet"
    write_bomb(path)
    assert path.stat().st_size < 120_000
    memory()
    with pytest.raises(
        InputError,
        match=r"a\.parquet: .* in [\d,]+ bytes; if it is not a decompression bomb, save it as CSV",
    ):
        read_all(path)
    assert memory() < 80 * 2**20


def test_usual_files_stay_within_the_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [
        {
            "text": f"text {i} " * 20,
            "label": "a label that is repeated",
            "choices": ["yes", "no", "a longer answer"],
            "nested": {"names": ["a name"] * 3, "bytes": b"12"},
        }
        for i in range(1000)
    ]
    options = [
        {},
        {
            "use_dictionary": False,
            "column_encoding": dict.fromkeys(("text", "label"), "DELTA_BYTE_ARRAY"),
        },
        {"dictionary_pagesize_limit": 1000, "data_page_version": "2.0", "row_group_size": 400},
        *({"compression": name} for name in ("none", "gzip", "brotli", "lz4", "zstd")),
    ]
    for chosen in options:
        pq.write_table(pa.Table.from_pylist(rows), path, **chosen)
        assert [row for _, row in open_parquet(path)] == rows
