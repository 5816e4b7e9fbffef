from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_tasks import ALL_TYPES, CONTEXT, EXAMPLES, tiny

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.frozen_features import labelled_vectors, text_vectors
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task

ENCODER = load_encoder("random:2x32")
READING = EncodingSettings()


def slow_mean(first: str, second: str) -> np.ndarray:
    """Mean over tokens of one unpadded input."""
    ids = ENCODER.tokenizer([first], [second], return_tensors="pt")
    with torch.no_grad():
        return ENCODER.model.eval()(**ids).last_hidden_state[0].mean(0).numpy()


def test_text_vectors_equal_a_loop() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    expected = [slow_mean(e.text, e.text_pair or "") for e in task.examples()]
    np.testing.assert_allclose(text_vectors(ENCODER, task, READING), expected, atol=2e-6)


def test_choices_are_averaged_within_their_example() -> None:
    task = tiny(TaskType.MULTIPLE_CHOICE)
    expected = [
        np.mean([slow_mean(e.text, f"{e.text_pair} {c}") for c in e.choices], axis=0)
        for e in task.examples()
    ]
    np.testing.assert_allclose(text_vectors(ENCODER, task, READING), expected, atol=2e-6)


def test_windows_are_averaged_within_their_example() -> None:
    long = Task.from_iterable(
        "long",
        TaskType.QUESTION_ANSWERING,
        {"train": [Example("What?", (), text_pair=CONTEXT * 20), Example("Why?", (), text_pair="So.")]},
    )
    vectors = text_vectors(ENCODER, long, READING)
    assert vectors.shape == (2, 32)
    np.testing.assert_allclose(vectors[1], slow_mean("Why?", "So."), atol=2e-6)


@pytest.mark.parametrize("type", ALL_TYPES)
def test_memory_bound_and_missing_labels_change_nothing(type: TaskType) -> None:
    vectors = text_vectors(ENCODER, tiny(type), READING)
    np.testing.assert_allclose(
        text_vectors(ENCODER, tiny(type), EncodingSettings(max_tokens=1)), vectors, atol=2e-6
    )
    bare = Task.from_iterable("b", type, {"train": [e._replace(label=None) for e in EXAMPLES[type]]})
    np.testing.assert_array_equal(text_vectors(ENCODER, bare, READING), vectors)


def test_labels_of_every_type() -> None:
    found = {type: labelled_vectors(ENCODER, tiny(type), READING) for type in ALL_TYPES}
    assert list(found[TaskType.CLASSIFICATION].labels) == ["a", "b", "c", "a", "b"]
    assert found[TaskType.REGRESSION].regression
    assert list(found[TaskType.REGRESSION].labels) == [1.0, 2.5, -1.0]
    assert sorted(found[TaskType.TOKEN_CLASSIFICATION].labels) == sorted("DNV" + "V" + "DNVP")
    choices = ["wrong", "right", "wrong", "right", "wrong"]
    assert list(found[TaskType.MULTIPLE_CHOICE].labels) == choices
    answers = found[TaskType.QUESTION_ANSWERING].labels
    # Bytes are tokens here: as many of the answers as of the rest.
    assert (answers == "answer").sum() == len("mill") + len("by the river")
    assert (answers == "other").sum() == (answers == "answer").sum()
    for labelled in found.values():
        assert labelled.vectors.shape == (len(labelled.labels), 32)
        assert np.isfinite(labelled.vectors).all()


def test_a_tags_vector_is_its_words_first_token() -> None:
    labelled = labelled_vectors(ENCODER, tiny(TaskType.TOKEN_CLASSIFICATION), READING)
    ids = ENCODER.tokenizer("go", return_tensors="pt")
    with torch.no_grad():
        hidden = ENCODER.model.eval()(**ids).last_hidden_state[0]
    distances = np.abs(labelled.vectors - hidden[1].numpy()).max(axis=1)
    assert distances.min() < 2e-6
    assert labelled.labels[distances.argmin()] == "V"
