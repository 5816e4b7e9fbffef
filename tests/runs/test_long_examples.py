"""The estimated share of long examples."""

from __future__ import annotations

import pytest

from transfer_meta.encoding.encoding_settings import LONG_INPUTS
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.long_examples import LongExamples
from transfer_meta.training.training_settings import TrainingSettings


def note(how: str, sizes: list[int], type: TaskType = TaskType.CLASSIFICATION) -> str:
    settings = TrainingSettings(max_length=102, stride=0, long_inputs=how)
    counted = LongExamples(type, settings, characters=2)
    for size in sizes:
        counted.add(Example("x" * size, "a", text_pair="y" * size))
    return counted.note()


@pytest.mark.parametrize("how", LONG_INPUTS)
def test_the_share_is_said_where_texts_are_long(how: str) -> None:
    assert note(how, [100] * 5) == ""
    found = note(how, [101, 200, 20, 100])
    assert found.startswith("about 50% of its training examples are longer than max_length = 102: ")
    if how in ("segments", "memory"):
        assert found.endswith("1.5 on average")


def test_contexts_of_questions_are_read_in_windows() -> None:
    assert "in segments, 3.0 on average" in note("head", [300], TaskType.QUESTION_ANSWERING)
