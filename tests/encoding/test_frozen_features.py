from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_language_models import LANGUAGE_MODELS, save_language_model
from tiny_tasks import ALL_TYPES, CONTEXT, EXAMPLES, tiny
from tokenizers import processors

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.frozen_features import (
    labelled_vectors,
    language_model_vectors,
    text_vectors,
)
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained
from transfer_meta.errors import InputError
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


@pytest.fixture(scope="module", params=list(LANGUAGE_MODELS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("models") / request.param
    found = load_pretrained(save_language_model(request.param, folder))
    assert isinstance(found, LanguageModel)
    if not found.is_encoder_decoder:
        # As that of Llama, with a token before every text.
        found.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 2)]
        )
    return found


def alone(model: LanguageModel, text: str, *, padding: int = 0) -> torch.Tensor:
    """Vectors of one text, padded on the left, through all of the model; a decoder's without the begin token."""
    ids = torch.tensor([[0] * padding + model.tokenizer(text)["input_ids"]])
    mask = (torch.arange(ids.shape[1]) >= padding).long()[None]
    places = (mask.cumsum(1) - 1).clamp(min=0)
    whole: Any = model.model.eval()
    with torch.no_grad():
        if model.is_encoder_decoder:
            # T5 counts distances of tokens, so that padding on the left shifts nothing.
            found = whole(input_ids=ids, attention_mask=mask, decoder_input_ids=ids[:, :1])
            return found.encoder_last_hidden_state[0, padding:]
        found = whole(
            input_ids=ids, attention_mask=mask, position_ids=places, output_hidden_states=True
        )
        return found.hidden_states[-1][0, padding + 1 :]


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("last", [False, True])
def test_vectors_of_language_models_are_those_of_each_text_alone(
    model: LanguageModel, last: bool, padding: int
) -> None:
    task = tiny(TaskType.CLASSIFICATION)
    if last and model.is_encoder_decoder:
        with pytest.raises(InputError, match="needs a decoder"):
            language_model_vectors(model, task, READING, last=True)
        return
    texts = ["good", "a much longer text\nbeside another", "bad", "middling, rather", "short"]
    tokens = [alone(model, text, padding=padding) for text in texts]
    expected = torch.stack([own[-1] if last else own.mean(0) for own in tokens]).numpy()
    for most in (4096, 40, 1):
        settings = EncodingSettings(max_tokens=most)
        found = language_model_vectors(model, task, settings, last=last)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    if not last:
        np.testing.assert_array_equal(text_vectors(model, task, settings), found)


@pytest.mark.parametrize("type", [*ALL_TYPES, TaskType.GENERATION])
def test_language_models_read_the_texts_of_every_type_alone(
    model: LanguageModel, type: TaskType
) -> None:
    instructed = [Example("the text", ("an answer",), text_pair="Say more.")]
    examples = EXAMPLES.get(type, instructed)
    texts = {
        TaskType.MULTIPLE_CHOICE: "It rained.\nSo?\nsun\na flood in the town\nwind",
        TaskType.QUESTION_ANSWERING: f"What stood?\n{CONTEXT}",
        TaskType.GENERATION: "Say more.\nthe text",
    }
    task = Task.from_iterable("t", type, {"train": [e._replace(label=None) for e in examples]})
    found = text_vectors(model, task, READING)
    assert found.shape == (len(examples), model.width)
    expected = alone(model, texts.get(type, examples[0].text)).mean(0)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_long_and_empty_texts_of_language_models(model: LanguageModel) -> None:
    splits = {"train": [Example("ab" * 500, "x"), Example("", "y")]}
    task = Task.from_iterable("t", TaskType.CLASSIFICATION, splits)
    found = text_vectors(model, task, EncodingSettings(max_length=16))
    special = 1  # the begin token, or the one that ends T5's text
    cut = alone(model, ("ab" * 500)[: 16 - special]).mean(0)
    np.testing.assert_allclose(found[0], cut, atol=1e-5)
    assert np.isfinite(found[1]).all()


def test_labelled_vectors_of_language_models(model: LanguageModel) -> None:
    task = tiny(TaskType.CLASSIFICATION)
    found = labelled_vectors(model, task, READING)
    np.testing.assert_array_equal(found.vectors, text_vectors(model, task, READING))
    assert found.labels.tolist() == ["a", "b", "c", "a", "b"]
    assert labelled_vectors(model, tiny(TaskType.REGRESSION), READING).regression
    with pytest.raises(InputError, match="have labels in classification and regression"):
        labelled_vectors(model, tiny(TaskType.QUESTION_ANSWERING), READING)
