"""Telling types and columns."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.data_frame import FrameRows
from transfer_meta.records import TaskType
from transfer_meta.tasks.detect import detect


def told(*rows: dict[str, Any], **options: Any) -> tuple[TaskType, dict[str, str]]:
    return detect(FrameRows(pd.DataFrame(list(rows), dtype=object), "data"), **options)


def labels(*values: Any, name: str = "label") -> TaskType:
    return told(*[{"text": "a", name: value} for value in values])[0]


C, R, T, Q, M = (
    TaskType.CLASSIFICATION,
    TaskType.REGRESSION,
    TaskType.TOKEN_CLASSIFICATION,
    TaskType.QUESTION_ANSWERING,
    TaskType.MULTIPLE_CHOICE,
)


@pytest.mark.parametrize(
    ("row", "type", "columns"),
    [
        ({"idx": 3, "sentence": "a", "label": "x"}, C, {"text": "sentence", "label": "label"}),
        ({"Review": "a", "Sentiment": "x"}, C, {"text": "Review", "label": "Sentiment"}),
        (
            {"premise": "a", "hypothesis": "b", "label": "x"},
            C,
            {"text": "premise", "text_pair": "hypothesis"},
        ),
        (
            {"question": "a", "passage": "b", "answer": True},
            C,
            {"text": "question", "text_pair": "passage"},
        ),
        (
            {"question": "a", "sentence": "b", "label": "x"},
            C,
            {"text": "question", "text_pair": "sentence"},
        ),
        ({"text": "a", "label": "x", "intent": "y"}, C, {"label": "label"}),
        (
            {"sentence1": "a", "sentence2": "b", "score": 2.5},
            R,
            {"text": "sentence1", "label": "score"},
        ),
        ({"id": "1", "tokens": ["a"], "ner_tags": [0]}, T, {"tokens": "tokens", "label": "ner_tags"}),
        (
            {
                "title": "t",
                "context": "a",
                "question": "b",
                "answers": {"text": [], "answer_start": []},
            },
            Q,
            {"context": "context", "question": "question", "answers": "answers"},
        ),
        (
            {"article": "a", "question": "b", "options": ["x", "y"], "answer": "A"},
            M,
            {"context": "article"},
        ),
        (
            {"ctx": "a", "endings": ["x", "y"], "label": "1"},
            M,
            {"context": "ctx", "choices": "endings"},
        ),
        (
            {"premise": "a", "choice1": "x", "choice2": "y", "label": 1},
            M,
            {"choices": "choice1,choice2"},
        ),
        ({"text": "a", "choices": None, "label": 2.5}, R, {"text": "text"}),
    ],
)
def test_what_is_plain(row: dict[str, Any], type: TaskType, columns: dict[str, str]) -> None:
    found, roles = told(row)
    assert found is type
    assert columns.items() <= roles.items()


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (["pos", "neg"], C),
        ([0, 1, 1], C),
        (["0", "1"], C),
        ([1, 2, 3, 4], C),
        ([True, False], C),
        ([0.5, 1.0], R),
        (["0.5", "1"], R),
        (["1.6", "nan", "3.0"], R),
        ([-3.25, None], R),
    ],
)
def test_label_types(values: list[Any], type: TaskType) -> None:
    assert labels(*values) is type


@pytest.mark.parametrize("values", [[0, 10, 20], [1.0, 2.0], ["1.0", "2.0"], list(range(50)), [7]])
def test_whole_numbers_that_may_be_a_scale_are_asked_for(values: list[Any]) -> None:
    with pytest.raises(
        InputError, match="may be classes or a scale; set --type classification or --type regression"
    ):
        labels(*values)
    with pytest.raises(InputError, match="of stars may be classes or a scale"):
        labels(1, 2, 3, name="stars")


def test_mixed_types_name_their_place() -> None:
    with pytest.raises(
        InputError, match=r"data row 2: mixed types: label is 'good', above it is '1'; set --type"
    ):
        labels(1, 2, "good")
    with pytest.raises(InputError, match=r"data row 1: mixed types: label is '3', above it is 'good'"):
        labels("good", "3")
    assert told({"text": "a", "label": "3"}, {"text": "a", "label": "x"}, type=C)[0] is C


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"a": "x", "b": "y"},
            r"which column is the text and the label \(columns: a, b\); set --column text=NAME and",
        ),
        (
            {"text": "x", "b": "y"},
            r"which column is the label \(columns: text, b\); set --column label=NAME",
        ),
        (
            {"sentence": "x", "review": "y", "label": "z"},
            "sentence and review may each be the text; set --column text",
        ),
        (
            {"text": "x", "category": "y", "target": "z"},
            "category and target may each be the label; set --column label=",
        ),
        (
            {"tokens": ["x"], "pos_tags": ["y"], "ner_tags": ["z"]},
            "pos_tags and ner_tags may each be the label",
        ),
        (
            {"tokens": ["x"], "slots": ["O"], "text": "x", "intent": "y"},
            "may be token-classification or classification",
        ),
        ({"choices": ["x", "y"], "hint": "g", "label": 1}, "cannot tell which column is the context"),
        (
            {"premise": "a", "hypothesis": "b", "question1": "c", "question2": "d", "label": "x"},
            r"premise \+ hypothesis and question1 \+ question2 may each be the text",
        ),
    ],
)
def test_what_is_not_plain_names_the_option(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        told(row)
    assert str(error.value).startswith("data: ")


def test_class_names_in_every_row_are_asked_for() -> None:
    rows = [{"text": t, "choices": ["pos", "neg"], "label": "pos"} for t in "ab"]
    with pytest.raises(
        InputError, match="all rows have the same choices, .* set --type classification or --type mult"
    ):
        told(*rows)
    assert told(*rows, type=C)[0] is C
    assert told(*rows, type=M)[0] is M


def test_what_the_user_says_goes_first() -> None:
    row = {"sentence": "x", "review": "y", "category": "c", "target": "t"}
    type, columns = told(row, columns={"text": "review", "label": "target"})
    assert (type, columns) == (C, {"text": "review", "label": "target"})
    choices = {"goal": "g", "sol1": "x", "sol2": "y", "label": 1}
    assert told(choices, columns={"context": "goal"})[1]["choices"] == "sol1,sol2"
    assert (
        told(
            {"q": "g", "x": "1", "y": "2", "n": 1},
            columns={"context": "q", "choices": "x,y", "label": "n"},
        )[0]
        is M
    )
    with pytest.raises(InputError, match=r"unknown column role 'txt' .*did you mean 'text'"):
        told(row, columns={"txt": "review"})
    with pytest.raises(InputError, match=r"unknown column of data 'reviews' .*did you mean 'review'"):
        told(row, columns={"text": "reviews"})
