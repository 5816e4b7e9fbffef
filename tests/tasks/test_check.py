"""Reading tasks to their end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transfer_meta.records import Example
from transfer_meta.tasks import ReadSettings, Task, check, read_task
from transfer_meta.tasks.check import TaskReport, check_task


def report(
    folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]] | None = None, **options
) -> TaskReport:
    for split, rows in (("train", train), ("test", test)):
        if rows is not None:
            (folder / f"t.{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return check_task(read_task(folder / "t.train.jsonl", ReadSettings(**options)))


def row(label: Any, text: str = "a") -> dict[str, Any]:
    return {"text": text, "label": label}


def test_a_sound_task(tmp_path: Path) -> None:
    found = report(tmp_path, [row("x"), row("y"), row("x"), row("y")], [row("x")])
    assert (found.name, found.type, found.problems) == ("t", "classification", ())
    assert found.splits["train"].labels == {"x": 2, "y": 2}
    assert [split.examples for split in found.splits.values()] == [4, 1]
    assert found.examples == (Example("a", "x"), Example("a", "y"), Example("a", "x"))
    assert found.notes == ("text = text, label = label",)


def test_labels_only_in_test_name_their_line(tmp_path: Path) -> None:
    found = report(tmp_path, [row("x"), row("y")], [row("x"), row("z"), row("z"), row("w")])
    test = tmp_path / "t.test.jsonl"
    assert found.problems == (
        f"{test}:2: the label 'z' is only in test, not in train",
        f"{test}:4: the label 'w' is only in test, not in train",
    )


def test_tags_only_in_test(tmp_path: Path) -> None:
    (tmp_path / "t.train.conll").write_text("Ann\tB-PER\nsaw\tO\n")
    (tmp_path / "t.test.conll").write_text("saw\tO\n\nRome\tB-LOC\n")
    found = check_task(read_task(tmp_path / "t.train.conll"))
    assert found.problems == (
        f"{tmp_path / 't.test.conll'}:3: the label 'B-LOC' is only in test, not in train",
    )


def test_many_labels_only_in_test_are_counted(tmp_path: Path) -> None:
    found = report(tmp_path, [row("x"), row("y")], [row(f"z{i}") for i in range(25)])
    assert len(found.problems) == 11
    assert found.problems[-1].endswith("15 more labels are only in test")


def test_a_single_label(tmp_path: Path) -> None:
    file = tmp_path / "t.train.jsonl"
    assert report(tmp_path, [row("x"), row("x")]).problems == (
        f"{file}: one label only: 'x' in all 2 examples",
    )
    scores = report(tmp_path, [row(2.5), row(2.5)])
    assert scores.problems == (f"{file}: one label only: 2.5 in all 2 examples",)
    assert report(tmp_path, [row(2.5), row(3.5)]).problems == ()


def test_what_the_reader_refuses_ends_its_split_alone(tmp_path: Path) -> None:
    found = report(tmp_path, [row("x"), row("y"), row(None)], [row("z")], strict=True)
    assert found.problems == (f"{tmp_path / 't.train.jsonl'}:3: there is no label (label is None)",)
    assert [split.examples for split in found.splits.values()] == [2, 1]


def test_too_many_labels_are_no_labels(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(check, "MAX_CLASSES", 3)
    found = report(tmp_path, [row(str(i) + "x") for i in range(9)])
    assert found.problems == (
        f"{tmp_path / 't.train.jsonl'}:4: over 3 labels: is the column of labels right?",
    )


def test_choices_and_answers(tmp_path: Path) -> None:
    choice = {"context": "c", "choices": ["a", "b", "c"]}
    rows = [{**choice, "label": 0}, {**choice, "label": 1}]
    found = report(tmp_path, rows, [{**choice, "label": 2}], type="multiple-choice")
    assert (found.problems, found.splits["train"].labels) == ((), {"0": 1, "1": 1})
    none = {"context": "c", "question": "q", "answers": []}
    answer = {**none, "answers": [{"text": "c", "answer_start": 0}]}
    assert report(tmp_path, [answer, none], [none]).problems == ()


def test_examples_at_hand_are_counted_from_zero() -> None:
    task = Task.from_iterable(
        "t",
        "classification",
        {"test": [Example("a", "z")], "train": [Example("a", "x"), Example("a", "y")]},
    )
    found = check_task(task, examples=1)
    assert found.problems == ("t[test] example 0: the label 'z' is only in test, not in train",)
    assert list(found.splits) == ["test", "train"]
    assert found.examples == (Example("a", "x"),)


def test_real_tasks_have_no_other_problem_than_labels_that_train_lacks(shared: Path) -> None:
    with_new = set()
    for path in sorted((shared / "tasks").glob("*.train.*")):
        found = check_task(read_task(path))
        assert all("is only in test" in problem for problem in found.problems)
        if found.problems:
            with_new.add(found.name)
    assert with_new == {"atis_intent", "atis_slots", "ewt_deprel"}
