"""Reading tasks by address, and from one file per split."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import ReadSettings, read_task


def test_files_by_split(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text,label\n{name},x\n")
    task = read_task(
        {"train": tmp_path / "a.csv", "test": str(tmp_path / "b.csv")}, name="t", description="d"
    )
    assert (task.name, task.description, next(task.examples("test")).text) == ("t", "d", "b.csv")
    with pytest.raises(InputError, match="no files"):
        read_task({})


def test_splits_are_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\nb,y\n")
    task = read_task(path)
    assert list(task.examples()) == list(task.examples()) == [Example("a", "x"), Example("b", "y")]
    first, second = task.examples(), task.examples()
    assert [next(first), next(second), next(first)] == [
        Example("a", "x"),
        Example("a", "x"),
        Example("b", "y"),
    ]


def rows(count: int) -> list[dict[str, str]]:
    return [
        {"text": f"a sentence with the number {i} and more words " * 5, "label": "xy"[i % 2]}
        for i in range(count)
    ]


def write_file(folder: Path, format: str, count: int) -> Path:
    path = folder / f"a{count}.{format}"
    table = rows(count)
    if format == "parquet":
        pq.write_table(pa.Table.from_pylist(table), path)
    elif format == "conll":
        sentence = "\n".join(f"word{i}\tO" for i in range(20))
        path.write_text("\n\n".join([sentence] * count))
    elif format == "json":
        path.write_text(json.dumps(table))
    elif format.startswith("jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in table)
        path.write_bytes(
            pa.compress(text.encode(), codec="gzip", asbytes=True) if ".gz" in format else text.encode()
        )
    else:
        path.write_text("text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in table))
    return path


@pytest.mark.parametrize("format", ["csv", "jsonl", "jsonl.gz", "json", "conll", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str) -> None:
    def peak(count: int) -> int:
        path = write_file(tmp_path, format, count)
        read_task(path)  # imports and caches
        tracemalloc.start()
        task = read_task(path)
        assert sum(1 for _ in task.examples()) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(1000), peak(6000)
    assert large < 1.1 * small + 100_000


def test_an_address_is_a_file_its_beginning_or_a_card(tmp_path: Path) -> None:
    (tmp_path / "a.train.csv").write_text("text,label\na,1.5\nb,2\n")
    (tmp_path / "a.test.csv").write_text("text,label\nc,3\n")
    card = tmp_path / "card.toml"
    card.write_text('description = "of the card"\n[files]\ntrain = "a.train.csv"\n')
    for address in (tmp_path / "a.test.csv", str(tmp_path / "a")):
        task = read_task(address, description="d")
        assert (task.name, task.description, list(task.splits)) == ("a", "d", ["train", "test"])
    assert (read_task(card).name, read_task(card).description) == ("card", "of the card")
    own = read_task(card, ReadSettings(type=TaskType.CLASSIFICATION), name="n", description="d")
    assert (own.name, own.description, own.labels()) == ("n", "d", ("1.5", "2"))
