"""Tasks: splits, labels, digests, memory."""

from __future__ import annotations

import json
import pickle
import shutil
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Example
from transfer_meta.tasks import Task


def test_splits_are_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x\nb,y\n")
    task = Task.from_file(path)
    assert list(task.examples()) == list(task.examples()) == [Example("a", "x"), Example("b", "y")]
    first, second = task.examples(), task.examples()
    assert [next(first), next(second), next(first)] == [
        Example("a", "x"),
        Example("a", "x"),
        Example("b", "y"),
    ]


def test_an_unknown_split_names_those_there_are() -> None:
    task = Task.from_iterable("t", "classification", {"train": [], "test": []})
    with pytest.raises(
        InputError, match=r"unknown split of task t 'tests' .*train, test.*did you mean 'test'"
    ):
        task.split("tests")


def test_an_unknown_type() -> None:
    with pytest.raises(
        InputError, match=r"unknown task type 'clasification' .*did you mean 'classification'"
    ):
        Task.from_iterable("t", "clasification", {})


def test_files_by_split(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"text,label\n{name},x\n")
    task = Task.from_file(
        {"train": tmp_path / "a.csv", "test": str(tmp_path / "b.csv")}, name="t", description="d"
    )
    assert (task.name, task.description, next(task.examples("test")).text) == ("t", "d", "b.csv")
    with pytest.raises(InputError, match="no files"):
        Task.from_file({})


def test_labels() -> None:
    tagged = [Example("a b", ("O", "B-X"), tokens=("a", "b")), Example("c", ("O",), tokens=("c",))]
    assert Task.from_iterable("t", "token-classification", {"train": tagged}).labels() == ("B-X", "O")
    assert Task.from_iterable("t", "regression", {"train": [Example("a", 1.0)]}).labels() == ()


def test_the_digest_is_of_content_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.train.csv"
    path.write_text("text,label,other\na,x,z\nb,y,z\n")
    digest = Task.from_file(path).digest
    moved = tmp_path / "elsewhere" / "b.train.csv"
    moved.parent.mkdir()
    shutil.copy(path, moved)
    assert Task.from_file(moved).digest == digest == Task.from_file(path).digest
    assert Task.from_file(moved, columns={"label": "other"}).digest != digest
    (moved.parent / "b.test.csv").write_text("text,label,other\nc,x,z\n")
    assert Task.from_file(moved).digest != digest
    moved.write_text("text,label,other\na,x,z\nb,y,w\n")
    (moved.parent / "b.test.csv").unlink()
    assert Task.from_file(moved).digest != digest


def test_the_digest_of_examples_at_hand() -> None:
    def digest(*examples: Example, type: str = "classification") -> str:
        return Task.from_iterable("t", type, {"train": examples}).digest

    a, b = Example("a", "x"), Example("b", "y")
    assert digest(a, b) == digest(a, b)
    assert (
        len(
            {
                digest(a, b),
                digest(b, a),
                digest(a),
                digest(Example("a", "1")),
                digest(Example("a", 1.0)),
            }
        )
        == 5
    )


def test_a_task_of_files_goes_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\n")
    task = Task.from_file(tmp_path / "a.csv")
    copy = pickle.loads(pickle.dumps(task))
    assert (list(copy.examples()), copy.digest) == (list(task.examples()), task.digest)


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
        Task.from_file(path)  # imports and caches
        tracemalloc.start()
        task = Task.from_file(path)
        assert sum(1 for _ in task.examples()) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(1000), peak(6000)
    assert large < 1.1 * small + 100_000
