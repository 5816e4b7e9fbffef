from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny

from transfer_meta.errors import InputError
from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks import ReadSettings
from transfer_meta.tasks.model_inputs import examples_of, read_inputs

CLASSES, NUMBERS, TAGS, QUESTIONS, CHOICES = ALL_TYPES


def read(path: Path, type: TaskType, content: str, **settings: Any) -> list[tuple[int, Example]]:
    path.write_text(content)
    return list(read_inputs(path, type, ReadSettings(**settings)).numbered())


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_texts_with_and_without_labels_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", CLASSES, "text,label\nfine,pos\ndull,\nnew,neg\n")
    assert found == [(2, Example("fine", "pos")), (3, Example("dull")), (4, Example("new", "neg"))]
    assert read(tmp_path / "one.csv", CLASSES, 'text\n"a, b"\n') == [(2, Example("a, b"))]
    assert read(tmp_path / "b.csv", CLASSES, "id,text\n7,fine\n8,dull\n")[1] == (3, Example("dull"))
    found = read(tmp_path / "c.csv", NUMBERS, "text,score\nfine,1.5\ndull,unknown\n")
    assert [example.label for _, example in found] == [1.5, None]
    only_missing = read(tmp_path / "d.csv", CLASSES, "text,label\nfine,\ndull,\n")
    assert [example.label for _, example in only_missing] == [None, None]


def test_only_the_file_that_is_named_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.train.csv").write_text("text,label\nseen,pos\n")
    assert read(tmp_path / "a.test.csv", CLASSES, "text\nnew\n") == [(2, Example("new"))]


def test_a_text_file_has_one_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("fine film\n\ncaf\u00e9 \n".encode())
    inputs = read_inputs(path, CLASSES)
    assert list(inputs.numbered()) == [(1, Example("fine film")), (3, Example("caf\u00e9"))]
    assert inputs.reading_notes() == ["1 of 3 rows left out: 1 without text (first a.txt:2)"]
    words = [example.tokens for _, example in read_inputs(path, TAGS).numbered()]
    assert words == [("fine", "film"), ("caf\u00e9",)]
    with pytest.raises(InputError, match="the model is for question-answering; .*question"):
        read_inputs(path, QUESTIONS)


def test_words_without_tags_are_read_from_every_format(tmp_path: Path) -> None:
    cat = [(1, ("the", "cat")), (4, ("a", "dog"))]
    for name, content in (
        ("a.conll", "the\ncat\n\na\ndog\n"),
        ("b.conll", "the D\ncat N\n\na D\ndog N\n"),
    ):
        found = read(tmp_path / name, TAGS, content)
        assert [(number, example.tokens) for number, example in found] == cat
        assert found[0][1].label == (None if name == "a.conll" else ("D", "N"))
    for row in ({"tokens": ["the", "cat"]}, {"text": "the  cat"}):
        ((_, example),) = read(tmp_path / "c.jsonl", TAGS, lines(row))
        assert example == Example("the cat", tokens=("the", "cat"))


def test_questions_and_choices_need_no_answers(tmp_path: Path) -> None:
    bare = {"question": "who?", "context": "the cat"}
    found = read(
        tmp_path / "a.jsonl",
        QUESTIONS,
        lines(
            bare, bare | {"answers": {"text": ["cat"], "answer_start": [4]}}, bare | {"answers": None}
        ),
    )
    labels = [example.label for _, example in found]
    assert labels == [None, (Answer("cat", 4),), None]
    ((_, example),) = read(tmp_path / "b.jsonl", QUESTIONS, lines(bare))
    assert example == Example("who?", None, "the cat")
    row = {"context": "It rained.", "question": "So?", "choices": ["sun", "flood"]}
    found = read(tmp_path / "c.jsonl", CHOICES, lines(row, row | {"label": 0}, row | {"label": 9}))
    assert [example.label for _, example in found] == [None, 0, None]
    ((_, example),) = read(tmp_path / "d.jsonl", CHOICES, lines(row))
    assert example == Example("It rained.", None, "So?", ("sun", "flood"))


def test_rows_without_words_or_choices_are_left_out(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.jsonl", TAGS, lines({"tokens": []}, {"tokens": ["a"]}, {"tokens": ["b"]})
    )
    assert [number for number, _ in found] == [2, 3]
    row = {"question": "So?", "choices": ["sun", "flood"]}
    found = read(tmp_path / "b.jsonl", CHOICES, lines(row, row | {"choices": []}, row))
    assert [number for number, _ in found] == [1, 3]


@pytest.mark.parametrize("type", ALL_TYPES)
def test_what_a_model_cannot_read_is_said_in_one_line(tmp_path: Path, type: TaskType) -> None:
    with pytest.raises(InputError, match=f"^the model is for {type}; ") as found:
        read(tmp_path / "a.csv", type, "height,width\n1.5,2\n3,4\n")
    assert "\n" not in str(found.value)
    with pytest.raises(InputError, match="no-such.csv"):
        read_inputs(tmp_path / "no-such.csv", type)
    other = next(each for each in ALL_TYPES if each is not type)
    with pytest.raises(InputError, match=f"the model is for {type}, and the task 'tiny' is {other}"):
        read_inputs(tiny(other), type)
    with pytest.raises(InputError, match=f"--type {other}: the model is for {type}"):
        read_inputs(tmp_path / "a.csv", type, ReadSettings(type=other))


@pytest.mark.parametrize("type", ALL_TYPES)
def test_a_task_gives_its_examples(type: TaskType) -> None:
    assert [example for _, example in read_inputs(tiny(type), type).numbered()] == EXAMPLES[type]


def test_data_in_memory_are_numbered_from_0() -> None:
    frame = pd.DataFrame({"text": ["fine", "dull"], "label": ["pos", None]})
    expected = [(0, Example("fine", "pos")), (1, Example("dull"))]
    assert list(read_inputs(frame, CLASSES).numbered()) == expected
    assert list(read_inputs((["fine", "dull"], ["pos", None]), CLASSES).numbered()) == expected
    assert list(read_inputs(["fine"], CLASSES).numbered()) == [(0, Example("fine"))]


@pytest.mark.parametrize(
    ("type", "text", "example"),
    [
        (CLASSES, "fine", Example("fine")),
        (CLASSES, ("a", "b"), Example("a", None, "b")),
        (NUMBERS, {"text": "a", "text_pair": "b"}, Example("a", None, "b")),
        (TAGS, ["the", "cat"], Example("the cat", tokens=("the", "cat"))),
        (TAGS, {"tokens": ["cat"]}, Example("cat", tokens=("cat",))),
        (QUESTIONS, {"question": "q", "context": "c"}, Example("q", None, "c")),
        (QUESTIONS, ("q", "c"), Example("q", None, "c")),
        (CHOICES, {"question": "q", "choices": ["x"]}, Example("q", None, None, ("x",))),
        (
            CHOICES,
            {"context": "c", "question": "q", "choices": ("x", "y")},
            Example("c", None, "q", ("x", "y")),
        ),
        (CLASSES, Example("a", "pos"), Example("a", "pos")),
    ],
)
def test_texts_of_every_form_become_examples(type: TaskType, text: Any, example: Example) -> None:
    assert examples_of(type, [text]) == [example]


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (CLASSES, 3),
        (CLASSES, ("a", "b", "c")),
        (CLASSES, {"question": "q", "label": "x"}),
        (TAGS, []),
        (TAGS, ["the", 3]),
        (TAGS, {"words": ["the"]}),
        (QUESTIONS, "q"),
        (QUESTIONS, {"question": "q"}),
        (CHOICES, "q"),
        (CHOICES, {"context": "c", "choices": []}),
        (CHOICES, {"context": "c", "choices": "ab"}),
        (CHOICES, Example("c")),
    ],
)
def test_other_texts_are_refused_with_their_index(type: TaskType, text: Any) -> None:
    good = EXAMPLES[type][0]
    with pytest.raises(InputError, match=r"^text 1 \(from 0\): a model for .* takes .*; got ") as found:
        examples_of(type, [good, text])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("texts", ["one text", {"text": "a"}, 3, None])
def test_one_text_is_no_list(texts: Any) -> None:
    with pytest.raises(InputError, match="expected a list of texts, got one"):
        examples_of(CLASSES, texts)
