"""SQuAD JSON and other JSON documents."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.jsonl import JsonLines
from transfer_meta.records import Answer, TaskType
from transfer_meta.tasks import ReadSettings, read_task
from transfer_meta.tasks.squad import open_json


def article(*paragraphs: Any) -> dict[str, Any]:
    return {"title": "t", "paragraphs": list(paragraphs)}


PARAGRAPH = {
    "context": "Ann saw Bob.",
    "qas": [
        {"id": "1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]},
        {"id": "2", "question": "Whom?", "answers": [{"text": "Bob", "answer_start": 8}], "is_impossible": False},
        {"id": "3", "question": "When?", "answers": [], "plausible_answers": [{"text": "Bob", "answer_start": 8}],
         "is_impossible": True},
    ],
}  # fmt: skip


def write(folder: Path, value: Any, indent: int | None = None) -> Path:
    path = folder / "a.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=indent))
    return path


@pytest.mark.parametrize("indent", [None, 2])
def test_squad_documents(tmp_path: Path, indent: int | None) -> None:
    path = write(
        tmp_path,
        {"version": "v2.0", "data": [article(PARAGRAPH), article(), article(PARAGRAPH)]},
        indent,
    )
    task = read_task(path)
    examples = list(task.examples())
    assert task.type is TaskType.QUESTION_ANSWERING
    assert [e.text for e in examples] == ["Who?", "Whom?", "When?"] * 2
    assert {e.text_pair for e in examples} == {"Ann saw Bob."}
    assert [e.label for e in examples[:3]] == [(Answer("Ann", 0),), (Answer("Bob", 8),), ()]


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"version": 1, "data": rows}])
def test_arrays_of_rows(tmp_path: Path, wrap: Any) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert [row for _, row in open_json(write(tmp_path, wrap(rows), 1))] == rows


def test_json_lines_under_the_name_of_json(tmp_path: Path) -> None:
    rows = open_json(write(tmp_path, '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'))
    assert isinstance(rows, JsonLines)
    assert [row["text"] for _, row in rows] == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", r"a\.json: the file is empty"),
        ("[]", r"a\.json: no rows"),
        ('{"data": []}', r"a\.json: no rows"),
        ('{"data": 3}', r'a\.json: expected an array of objects, or an object with "data"'),
        ("3", r"a\.json:1: not usable JSON"),
        ("[3]", r"a\.json:1: not usable JSON: expected an object"),
        (
            {"data": [article({"context": "a"})]},
            r'a\.json:1: expected a paragraph with "context" and "qas"',
        ),
        (
            {"data": [article({"context": "a", "qas": [1]})]},
            r"a\.json:1: expected a question as an object",
        ),
    ],
)
def test_other_documents(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(open_json(write(tmp_path, document)))


def test_an_answer_that_is_not_in_its_context(tmp_path: Path) -> None:
    wrong = {
        "context": "Ann saw Bob.",
        "qas": [{"question": "?", "answers": [{"text": "Bob", "answer_start": 7}]}],
    }
    path = write(tmp_path, {"data": [article(PARAGRAPH, wrong)]}, 1)
    line = (
        path.read_text().splitlines().index("    {", path.read_text().splitlines().index("    },")) + 1
    )
    with pytest.raises(
        InputError, match=rf"a\.json:{line}: the answer 'Bob' is not at character 7 .*it is at 8"
    ):
        list(read_task(path, ReadSettings(strict=True)).examples())
    assert list(read_task(path).examples())[-1].label == (Answer("Bob", 8),)


def test_memory_does_not_grow_with_one_article(tmp_path: Path) -> None:
    def peak(paragraphs: int) -> int:
        path = write(tmp_path, {"data": [article(*[PARAGRAPH] * paragraphs)]})
        rows = open_json(path)
        tracemalloc.start()
        assert sum(1 for _ in rows) == 3 * paragraphs
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(5_000) < 1.2 * peak(1_000)
