"""Lists where a label is expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, Task, read_task


@pytest.fixture
def task(tmp_path: Path):
    def make(name: str, *cells: Any, **options: Any) -> Task:
        path = tmp_path / "memo.train.jsonl"
        rows = [{"text": f"memo {i}", name: cell} for i, cell in enumerate(cells)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_task(path, ReadSettings(**options))

    return make


@pytest.mark.parametrize("name", ["label", "labels"])
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([["in"], ["out"], ["in"]], ["in", "out", "in"]),
        ([[0], [1], [1]], ["0", "1", "1"]),
        ([["in"], [], ["out"]], ["in", "out"]),
    ],
)
def test_lists_of_one_label_are_labels(task, name: str, cells: list[Any], expected: list[str]) -> None:
    made = task(name, *cells)
    assert made.type is TaskType.CLASSIFICATION
    assert [e.label for e in made.examples()] == expected
    assert "labels are lists of one, read as that one" in made.notes


@pytest.mark.parametrize(
    "cells",
    [[["in"], ["in", "out"]], [[1], [0, 2]], [[0, 1, 1], [1, 0, 0]], ["['in', 'out']", "['in']"]],
)
@pytest.mark.parametrize("options", [{}, {"type": "classification"}])
def test_several_labels_a_text_are_named(task, cells: list[Any], options: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match="several labels a text are not read: labels is .*; keep one label a row"
    ):
        task("labels", *cells, **options)


def test_several_labels_beyond_the_first_rows_are_left_out(task) -> None:
    made = task("labels", *[["in"], ["out"]] * 600, ["in", "out"])
    assert len(list(made.examples())) == 1200
    assert dict(made.splits["train"].log.left_out) == {"with several labels a text": 1}


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("label", [[0, 4, "WHO"], [9, 11, "WHERE"]]),
        ("labels", [[0, 4, "WHO"]]),
        ("entities", [{"start": 0, "end": 4, "label": "WHO"}]),
        ("entities", [{"id": 7, "label": "WHO", "start_offset": 0, "end_offset": 4}]),
        ("spans", [{"start": 0, "end": 4, "label": "WHO", "token_start": 0, "token_end": 0}]),
        ("annotations", [{"result": [{"value": {"start": 0, "end": 4, "labels": ["WHO"]}}]}]),
    ],
)
def test_spans_of_characters_are_named(task, name: str, cell: Any) -> None:
    with pytest.raises(
        InputError, match=rf":2: {name} holds spans of characters .*; write one token a line"
    ):
        task(name, [], cell, cell)


def test_spans_beside_labels_are_one_column_more(tmp_path: Path) -> None:
    path = tmp_path / "memo.train.jsonl"
    rows = [{"text": "t", "label": label, "entities": [[0, 1, "WHO"]]} for label in ("in", "out")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_task(path).type is TaskType.CLASSIFICATION
