"""Parquet."""

from __future__ import annotations

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
