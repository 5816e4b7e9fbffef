"""Columns and labels of multiple choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, Task, read_task

THREE = ["north", "east"]


@pytest.fixture
def task(tmp_path: Path):
    def make(*rows: dict[str, Any], **options: Any) -> Task:
        path = tmp_path / "quiz.train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_task(path, ReadSettings(**options))

    return make


def labels(task: Task) -> list[Any]:
    assert task.type is TaskType.MULTIPLE_CHOICE
    return [example.label for example in task.examples()]


def columns(names: list[str], extra: dict[str, Any]) -> list[dict[str, Any]]:
    """Six rows with a column for each choice; `extra` has a list of labels."""
    ((label, values),) = extra.items()
    return [
        {"question": f"q{i}", **{name: f"{name}{i}" for name in names}, label: value}
        for i, value in enumerate(values)
    ]


INDICES = [0, 2, 1, 0, 1, 2]
FROM_1 = [i + 1 for i in INDICES]


@pytest.mark.parametrize(
    "names",
    [
        ["A", "B", "C"],
        ["a", "b", "c"],
        ["option_a", "option_b", "option_c"],
        ["optionA", "optionB", "optionC"],
        ["opa", "opb", "opc"],
        ["choice1", "choice2", "choice3"],
        ["choice_1", "choice_2", "choice_3"],
        ["ending0", "ending1", "ending2"],
        ["answerA", "answerB", "answerC"],
        ["sol1", "sol2", "sol3"],
        ["opt1", "opt2", "opt3"],
        ["hyp1", "hyp2", "hyp3"],
        ["Answer 1", "Answer 2", "Answer 3"],
    ],
)
@pytest.mark.parametrize(
    ("values", "note"),
    [
        (INDICES, None),
        ([str(i) for i in INDICES], None),
        (FROM_1, "labels count from 1"),
        ([str(i) for i in FROM_1], "labels count from 1"),
        (["ABC"[i] for i in INDICES], None),
        (["abc"[i] for i in INDICES], None),
        ([f"({'ABC'[i]})" for i in INDICES], None),
        ([f"{'abc'[i]}." for i in INDICES], None),
        ([None, *INDICES], None),
    ],
)
def test_choice_columns_and_labels_in_use(
    task, names: list[str], values: list[Any], note: str | None
) -> None:
    made = task(*columns(names, {"label": values}))
    assert made.columns["choices"] == ",".join(names)
    assert labels(made) == INDICES
    assert ("labels count from 1" in made.notes) == (note is not None)


def test_labels_that_name_the_column_or_the_text(task) -> None:
    names = ["option_a", "option_b", "option_c"]
    assert labels(task(*columns(names, {"answer": [names[i] for i in INDICES]}))) == INDICES
    texts = [f"{names[index]}{i}" for i, index in enumerate(INDICES)]
    assert labels(task(*columns(names, {"correct_answer": texts}))) == INDICES


def test_columns_are_in_order_of_their_numbers(task) -> None:
    names = [f"choice{i}" for i in range(1, 12)]
    (row,) = columns(names, {"label": [0]})
    shuffled = dict(sorted(row.items()))
    made = task(shuffled)
    assert made.columns["choices"] == ",".join(names)


@pytest.mark.parametrize(
    ("row", "index"),
    [
        ({"question": "q", "choices": {"text": THREE, "label": ["A", "B"]}, "answerKey": "B"}, 1),
        ({"question": "q", "choices": {"text": THREE, "label": ["1", "2"]}, "answerKey": "1"}, 0),
        ({"question_stem": "q", "choices": {"text": THREE, "label": ["A", "B"]}, "answerKey": "A"}, 0),
        ({"question": "q", "options": {"A": "north", "B": "east"}, "answer": "east", "answer_idx": "B"}, 1),
        ({"question": "q", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}],
          "answerKey": "B"}, 1),
        ({"question": {"stem": "q", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}]},
          "answerKey": "B", "id": "7"}, 1),
        ({"article": "t", "question": "q", "options": THREE, "answer": "B"}, 1),
        ({"dialogue": "t", "question": "q", "choice": THREE, "answer": "east"}, 1),
        ({"context": "t", "question": "q", "answers": THREE, "label": 0}, 0),
        ({"goal": "g", "sol1": "x", "sol2": "y", "label": 0}, 0),
        ({"sentence": "s _", "option1": "x", "option2": "y", "answer": "2"}, 1),
        ({"sent1": "s", "sent2": "t", "ending0": "x", "ending1": "y", "label": 0}, 0),
        ({"obs1": "s", "obs2": "t", "hyp1": "x", "hyp2": "y", "label": 2}, 1),
    ],
)  # fmt: skip
def test_shapes_of_common_sources(task, row: dict[str, Any], index: int) -> None:
    assert labels(task(row)) == [index]


def choice_rows(values: list[Any], choices: list[str] | None = None) -> list[dict[str, Any]]:
    return [
        {"context": f"c{i}", "question": "q", "choices": choices or ["x", "y", f"z{i}"], "label": value}
        for i, value in enumerate(values)
    ]


def test_the_whole_split_decides_where_labels_count_from(task) -> None:
    assert labels(task(*choice_rows([1, 2] * 600 + [3])))[:2] == [0, 1]
    assert labels(task(*choice_rows([1, 2] * 600 + [0])))[:2] == [1, 2]


def test_other_splits_are_asked_where_train_fits_both(tmp_path: Path) -> None:
    for split, values in (("train", [1, 2, 1]), ("dev", [3, 1])):
        path = tmp_path / f"quiz.{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in choice_rows(values)))
    assert labels(read_task(tmp_path / "quiz.train.jsonl")) == [0, 1, 0]


def test_what_fits_both_is_asked_for(task) -> None:
    rows = choice_rows([1, 2, 1])
    with pytest.raises(
        InputError, match=r"may count from 0 or from 1 .*; set --choices-from 0 or --choices-from 1"
    ):
        task(*rows)
    assert labels(task(*rows, choices_from="0")) == [1, 2, 1]
    assert labels(task(*rows, choices_from="1")) == [0, 1, 0]
    with pytest.raises(InputError, match="2 labels in label are 0 and 1 equal the number of choices"):
        task(*choice_rows([0, 3, 0]))
    with pytest.raises(InputError, match="unknown way to count choices '2'"):
        ReadSettings(choices_from="2")


def test_a_stray_label_is_left_out(task) -> None:
    made = task(*choice_rows([0, 1, 0, 2, 0, 3, 1]))
    assert labels(made) == [0, 1, 0, 2, 0, 1]
    assert dict(made.splits["train"].log.left_out) == {"with a label that is no choice": 1}
    with pytest.raises(
        InputError, match=r":6: choice index 3 is out of range: 3 choices, counted from 0 \(0 to 2\)"
    ):
        list(task(*choice_rows([0, 1, 0, 2, 0, 3, 1]), strict=True).examples())
    with pytest.raises(
        InputError, match=r":4: choice index 0 is out of range: 3 choices, counted from 1 \(1 to 3\)"
    ):
        list(task(*choice_rows([3, 1, 3, 0, 3]), strict=True).examples())


def test_digits_that_are_texts_of_choices(task) -> None:
    rows = [
        {"question": f"{i} + 2?", "choices": [str(i), str(i + 2), str(i + 9)], "answer": str(i + 2)}
        for i in range(6)
    ]
    made = task(*rows)
    assert labels(made) == [1] * 6
    assert "labels are the texts of the choices" in made.notes


def test_single_letters_that_are_no_choices(task) -> None:
    with pytest.raises(InputError, match="cannot tell"):
        task({"a": "x", "b": "y", "label": 1}, {"a": "x", "b": "y", "label": 0})
    made = task(
        *[{"text": f"t{i}", "A": "x", "B": "y", "label": "good" if i % 2 else "bad"} for i in range(4)]
    )
    assert made.type is TaskType.CLASSIFICATION
