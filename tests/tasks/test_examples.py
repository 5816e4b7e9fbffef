"""Rows into examples, and what is refused on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks import ReadSettings, Task, read_task
from transfer_meta.tasks.class_names import is_no_label
from transfer_meta.tasks.examples import as_number


@pytest.fixture
def task(tmp_path: Path):
    def make(*rows: dict[str, Any], **options: Any) -> Task:
        path = tmp_path / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_task(path, ReadSettings(**options))

    return make


def examples(task: Task) -> list[Example]:
    return list(task.examples())


def test_classification(task) -> None:
    assert examples(task({"text": "a", "label": "x"}, {"text": "b", "label": "y"})) == [
        Example("a", "x"),
        Example("b", "y"),
    ]
    pair = {"premise": "p", "hypothesis": "h", "label": True}
    assert examples(task(pair, {**pair, "label": False})) == [
        Example("p", "true", "h"),
        Example("p", "false", "h"),
    ]
    assert [e.label for e in examples(task(*[{"text": "a", "label": i} for i in (0, 1, -1)]))] == [
        "0",
        "1",
        "-1",
    ]
    floats = task({"text": "a", "label": 1.0}, {"text": "a", "label": 2.5}, type="classification")
    assert [e.label for e in examples(floats)] == ["1", "2.5"]


def test_regression(task) -> None:
    rows = [{"text": "a", "text_pair": "b", "label": label} for label in (1, 2.5, "3.25", -1e3)]
    assert [e.label for e in examples(task(*rows, type="regression"))] == [1.0, 2.5, 3.25, -1000.0]


def test_tokens(task) -> None:
    row = {"tokens": ["Ann", "saw"], "ner_tags": [1, 0]}
    assert examples(task(row)) == [Example("Ann saw", ("1", "0"), tokens=("Ann", "saw"))]


ANSWER = {"context": "Ann saw Bob", "question": "Who?"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"text": ["Bob", "Ann"], "answer_start": [8, 0]}, (Answer("Bob", 8), Answer("Ann", 0))),
        ([{"text": "Bob", "answer_start": 8}], (Answer("Bob", 8),)),
        ({"text": "Bob", "answer_start": 8}, (Answer("Bob", 8),)),
        ({"text": [], "answer_start": []}, ()),
        ([], ()),
        ({"text": "", "answer_start": -1}, ()),
    ],
)
def test_answers_in_the_forms_in_use(task, answers: Any, expected: tuple[Answer, ...]) -> None:
    assert examples(task({**ANSWER, "answers": answers})) == [Example("Who?", expected, "Ann saw Bob")]


def test_answers_in_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("context,question,answer,answer_start\nAnn saw Bob,Who?,Bob,8\nAnn,Who?,,\n")
    task = read_task(path)
    assert task.type is TaskType.QUESTION_ANSWERING
    assert [e.label for e in task.examples()] == [(Answer("Bob", 8),), ()]


CHOICE = {"context": "c", "question": "q", "choices": ["yes", "no", "3"]}


@pytest.mark.parametrize(("label", "index"), [(1, 1), ("1", 1), ("no", 1), ("B", 1), (1.0, 1), (2, 2)])
def test_choices_named_in_the_ways_in_use(task, label: Any, index: int) -> None:
    rows = [{**CHOICE, "choices": ["x", "y", "z"], "label": 0}, {**CHOICE, "label": label}]
    assert examples(task(*rows))[1] == Example("c", index, "q", ("yes", "no", "3"))


def test_choices_in_columns_and_with_keys(task) -> None:
    row = {"premise": "p", "question": "cause", "choice1": "x", "choice2": "y", "label": 1}
    assert examples(task(row, {**row, "label": 0}))[0] == Example("p", 1, "cause", ("x", "y"))
    keyed = {"question": "q", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}
    assert examples(task(keyed)) == [Example("q", 1, None, ("x", "y"))]


GOOD = {
    "classification": {"text": "a", "label": "x"},
    "regression": {"text": "a", "label": 1.5},
    "token-classification": {"tokens": ["a", "b"], "tags": ["O", "B-X"]},
    "question-answering": {**ANSWER, "answers": []},
    "multiple-choice": {**CHOICE, "label": 0},
}


@pytest.mark.parametrize(
    ("type", "wrong", "message"),
    [
        ("classification", {"label": None}, "there is no label"),
        ("classification", {"label": ""}, "there is no label"),
        ("classification", {"label": "nan"}, "there is no label"),
        ("classification", {"label": 3}, "mixed types: label is an integer, elsewhere it is a string"),
        ("classification", {"label": ["x", "y"]}, "several labels a text are not read"),
        ("classification", {"text": None}, r"text is nothing \(null\), expected a string"),
        ("classification", {"text": 7}, "text is an integer, expected a string"),
        ("regression", {"label": None}, "there is no label"),
        ("regression", {"label": float("nan")}, "there is no label"),
        ("regression", {"label": float("inf")}, "label is inf, expected a number"),
        ("regression", {"label": "good"}, "label is 'good', expected a number"),
        ("regression", {"label": True}, "label is True, expected a number"),
        ("regression", {"label": 10**400}, r"label is 10+…, expected a number"),
        ("regression", {"text": ["a"]}, "text is a list, expected a string"),
        ("token-classification", {"tags": ["O"]}, "2 tokens, but 1 tags"),
        ("token-classification", {"tags": "O O"}, "tags is a string, expected a list"),
        ("token-classification", {"tokens": ["a", None]}, "tokens holds what is no string"),
        ("token-classification", {"tags": ["O", None]}, "there is no label"),
        (
            "token-classification",
            {"tags": ["O", "I-X"]},
            "tag 2 of the sentence is illegal in IOB2: I-X after O",
        ),
        (
            "question-answering",
            {"answers": [{"text": "Bob", "answer_start": 7}]},
            r"not at character 7 .*\(it is at 8\)",
        ),
        (
            "question-answering",
            {"answers": [{"text": "Eve", "answer_start": 0}]},
            "it is nowhere in it",
        ),
        (
            "question-answering",
            {"answers": [{"text": "Ann", "answer_start": -11}]},
            "not at character -11",
        ),
        (
            "question-answering",
            {"answers": [{"text": "Ann"}]},
            "must have a text .* and an answer_start",
        ),
        ("question-answering", {"answers": {"text": ["Ann"], "answer_start": []}}, "must have a text"),
        (
            "question-answering",
            {"answers": {"text": ["Ann"], "answer_start": [0.5]}},
            "must have a text",
        ),
        ("question-answering", {"answers": {"text": [""], "answer_start": [0]}}, "an empty answer"),
        ("question-answering", {"answers": "Ann"}, "answers is a string, expected answers"),
        ("question-answering", {"answers": None}, "answers is nothing"),
        ("question-answering", {"question": None}, "question is nothing"),
        (
            "multiple-choice",
            {"label": 3},
            r"choice index 3 is out of range: 3 choices, counted from 0 \(0 to 2\)",
        ),
        ("multiple-choice", {"label": -1}, "choice index -1 is out of range"),
        ("multiple-choice", {"label": "Z"}, "choice index 25 is out of range"),
        ("multiple-choice", {"label": "3"}, "may be an index or a choice's text"),
        (
            "multiple-choice",
            {"label": "maybe"},
            "label is 'maybe', expected the index of the right choice",
        ),
        ("multiple-choice", {"label": None}, "there is no label"),
        ("multiple-choice", {"label": True}, "label is True, expected the index"),
        ("multiple-choice", {"label": 0.5}, r"label is 0\.5, expected the index"),
        ("multiple-choice", {"choices": []}, "there are none"),
        ("multiple-choice", {"choices": ["a", 1]}, "choices must be a list of strings"),
        ("multiple-choice", {"choices": "ab"}, "choices must be a list of strings"),
        ("multiple-choice", {"context": None}, "context is nothing"),
    ],
)
def test_a_row_that_does_not_fit_names_its_line(
    task, type: str, wrong: dict[str, Any], message: str
) -> None:
    good = GOOD[type]
    with pytest.raises(InputError, match=rf"a\.jsonl:3: .*{message}") as error:
        examples(task(good, good, {**good, **wrong}, good, type=type, strict=True))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("type", GOOD)
def test_a_row_without_a_column_names_its_line(task, type: str) -> None:
    good = GOOD[type]
    for column in good:
        short = {name: cell for name, cell in good.items() if name != column}
        with pytest.raises(InputError, match=rf"a\.jsonl:2: there is no '{column}'"):
            examples(task(good, short, type=type, strict=True))


def test_numbers_and_gaps() -> None:
    assert [as_number(v) for v in ("1e3", " 2 ", 3, 10**400, [1], None)] == [
        1000,
        2,
        3,
        None,
        None,
        None,
    ]
    missing = (None, "", " ", "nan", "NaN", float("nan"), "None", "N/A", "-", "?")
    assert all(map(is_no_label, missing))
    assert not any(map(is_no_label, ("no", 0, False, -1, "-1", "nothing", [])))
