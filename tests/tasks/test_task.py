"""Tasks: splits, labels, digests, memory."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Example
from transfer_meta.tasks import ReadSettings, Task, read_task


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


def test_labels() -> None:
    tagged = [Example("a b", ("O", "B-X"), tokens=("a", "b")), Example("c", ("O",), tokens=("c",))]
    assert Task.from_iterable("t", "token-classification", {"train": tagged}).labels() == ("B-X", "O")
    assert Task.from_iterable("t", "regression", {"train": [Example("a", 1.0)]}).labels() == ()


def test_the_digest_is_of_content_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.train.csv"
    path.write_text("text,label,other\na,x,z\nb,y,z\n")
    digest = read_task(path).digest
    moved = tmp_path / "elsewhere" / "b.train.csv"
    moved.parent.mkdir()
    shutil.copy(path, moved)
    assert read_task(moved).digest == digest == read_task(path).digest
    assert read_task(moved, ReadSettings(columns={"label": "other"})).digest != digest
    (moved.parent / "b.test.csv").write_text("text,label,other\nc,x,z\n")
    assert read_task(moved).digest != digest
    moved.write_text("text,label,other\na,x,z\nb,y,w\n")
    (moved.parent / "b.test.csv").unlink()
    assert read_task(moved).digest != digest


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
    task = read_task(tmp_path / "a.csv")
    copy = pickle.loads(pickle.dumps(task))
    assert (list(copy.examples()), copy.digest) == (list(task.examples()), task.digest)


def test_the_text_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "t.train.csv"
    path.write_text("text,label,id\ngood film,pos,1\nbad film,neg,2\nfilm,neg,3\n")
    task = read_task(path)
    assert str(task).splitlines() == [
        "t: classification",
        "  read as  text = text, label = label; separated by comma, quoted; columns not used: id",
        f"  train    {path}",
        "  example  good film → pos",
        "  example  bad film → neg",
    ]
    path.unlink()
    assert "  problem  " in str(task)


def test_the_html_of_a_task_is_escaped() -> None:
    task = Task.from_iterable("<i>", "classification", {"train": [Example("<b>", "x")]})
    assert task._repr_html_() == (
        "<pre>&lt;i&gt;: classification\n  train    1 examples\n  example  &lt;b&gt; → x</pre>"
    )
