"""What holds for every model that can be named: bi-LSTMs, encoders, decoders and encoder-decoders."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_language_models import LANGUAGE_MODELS, save_language_model
from toys import short_task

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision
from transfer_meta.encoding.encoding_settings import EncodingSettings, LoraSettings, VectorSettings
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained, model_kind
from transfer_meta.encoding.model_kinds import DECODER, ENCODER, ENCODER_DECODER
from transfer_meta.errors import InputError, Stopped
from transfer_meta.records import TaskType
from transfer_meta.training.finetune import finetune
from transfer_meta.training.model_folder import write_model_folder
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage
from transfer_meta.training.trained_file import load_trained_file
from transfer_meta.training.trained_model import load_trained
from transfer_meta.training.training_settings import TrainingSettings
from transfer_meta.training.tuned_vectors import TuningEmbedder

KINDS = {
    "bilstm": ENCODER,
    "bert": ENCODER,
    "gpt2": DECODER,
    "llama": DECODER,
    "t5": ENCODER_DECODER,
}
"""The registry: one of every kind, and what its configuration calls it."""
SETTINGS = TrainingSettings(
    epochs=5, batch_size=8, learning_rate=1e-2, max_length=128, dev_examples=20, evaluations=1
)
TASK = short_task(TaskType.CLASSIFICATION)


class Trained(NamedTuple):
    """A model that was trained on `TASK`, and the files that are left."""

    kind: str
    stage: Stage
    result: RunResult
    weights: Path
    whole: Path


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    base = tmp_path_factory.mktemp("models")
    found = {kind: save_language_model(kind, base / kind) for kind in LANGUAGE_MODELS}
    return {"bilstm": "bilstm", "bert": "random:2x32", **found}


@pytest.fixture(scope="module", params=list(KINDS))
def model(
    request: pytest.FixtureRequest, names: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    of = Stage("toy", seed=0, encoder=names[request.param], training=SETTINGS)
    weights, whole = folder / "weights.safetensors", folder / "model.safetensors"
    save: dict[str, Any] = {"save": weights}
    if request.param != "bilstm":
        save["save_model"] = whole
    return Trained(request.param, of, finetune(of, {"toy": TASK}, **save), weights, whole)


def test_it_is_loaded_by_its_name(model: Trained) -> None:
    name = model.stage.encoder
    found = load_pretrained(name, texts=["a good"])
    assert isinstance(found, Encoder)
    assert model_kind(name) == KINDS[model.kind]
    assert isinstance(found, LanguageModel) == (KINDS[model.kind] != ENCODER)
    assert found.width > 0
    assert found.max_length > 0
    assert encoder_revision(name) == encoder_revision(name)


def test_it_trains_a_step(model: Trained) -> None:
    training = dataclasses.replace(SETTINGS, epochs=1, batch_size=1000, evaluations=0)
    result = finetune(dataclasses.replace(model.stage, training=training), {"toy": TASK})
    assert len(result.curve.losses) == result.notes["steps"] == 1
    assert np.isfinite(result.curve.losses).all()


def test_it_learns(model: Trained) -> None:
    assert model.result.score > 0.9
    assert model.result.curve.losses[-1] < model.result.curve.losses[0] / 2
    assert model.result.tokens_per_second > 0


def test_it_is_saved(model: Trained) -> None:
    start = load_pretrained(
        model.stage.encoder,
        texts=["a good"],
        start=model.weights,
        start_run=model.stage.run_name,
    )
    for name, weights in load_file(model.weights).items():
        assert torch.equal(start.model.state_dict()[name], weights)


def test_it_goes_on_to_the_bit_after_a_stop(model: Trained, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    calls = iter(range(1000))
    with pytest.raises(Stopped):
        finetune(model.stage, {"toy": TASK}, resume=state, should_stop=lambda: next(calls) == 60)
    again = finetune(model.stage, {"toy": TASK}, resume=state, save=tmp_path / "again.safetensors")
    assert again.scores == model.result.scores
    np.testing.assert_array_equal(again.curve.losses, model.result.curve.losses)
    one, other = load_file(model.weights), load_file(tmp_path / "again.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_it_embeds(model: Trained) -> None:
    settings = VectorSettings(
        max_examples=12, encoding=EncodingSettings(max_length=64), lora=LoraSettings(rank=2, steps=1)
    )
    kinds = ("textemb", "taskemb")
    plain = TuningEmbedder(model.stage.encoder, settings).embed(TASK, kinds)
    # A bi-LSTM has no layers as those of transformers, which components of TaskEmb are named by.
    lacking = {"taskemb"} if model.kind == "bilstm" else set()
    assert set(plain.missing) == lacking
    assert {name.split(".")[0] for name in plain.vectors} == set(kinds) - lacking
    for vector in plain.vectors.values():
        assert np.isfinite(vector).all()
        assert np.abs(vector).sum() > 0
    tuned = TuningEmbedder(model.stage.encoder, settings, start=model.weights).embed(TASK)
    assert not np.allclose(tuned.vectors["textemb"], plain.vectors["textemb"])


def test_it_is_a_folder_that_predicts_as_it_was_tested(model: Trained, tmp_path: Path) -> None:
    if model.kind == "bilstm":
        with pytest.raises(InputError, match="save_model needs a transformer"):
            finetune(model.stage, {"toy": TASK}, save_model=tmp_path / "model.safetensors")
        return
    write_model_folder(tmp_path / "model", *load_trained_file(model.whole), card="")
    test = list(TASK.examples("test"))
    found = load_trained(tmp_path / "model").predict(test).to_frame()["label"]
    right = [label == example.label for label, example in zip(found, test, strict=True)]
    assert np.mean(right) == pytest.approx(model.result.score)
