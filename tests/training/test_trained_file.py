from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toys import toy_task

from transfer_meta.encoding.encoding_settings import HEADS
from transfer_meta.errors import InputError
from transfer_meta.records import TYPES_WITH_HEADS, Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.training import task_data
from transfer_meta.training.finetune import finetune
from transfer_meta.training.predictions import predict_split
from transfer_meta.training.stage import Stage
from transfer_meta.training.trained_facts import TrainedFacts
from transfer_meta.training.trained_file import load_trained_file, read_trained_facts
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=1, batch_size=16, max_length=32, stride=8, dev_examples=10)


def train(folder: Path, type: TaskType = TaskType.CLASSIFICATION, **changes: Any) -> Path:
    stage = replace(Stage("toy", seed=0, encoder="random:1x16", training=SETTINGS), **changes)
    finetune(stage, {"toy": toy_task(type, train=40, test=20)}, save_model=folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_the_model_read_predicts_what_the_trained_one_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: TaskType, head: str
) -> None:
    batchers, predicted = [], []

    def noted(encoder: Any, trained: Any, batcher: Any) -> Any:
        result = predict_split(encoder, trained, batcher)
        batchers.append(batcher)
        predicted.append(result)
        return result

    monkeypatch.setattr(task_data, "predict_split", noted)
    encoder, loaded, facts = load_trained_file(train(tmp_path, type, head=head))
    again = predict_split(encoder, loaded, batchers[-1])
    assert again[0] == pytest.approx(predicted[-1][0], rel=1e-6)
    np.testing.assert_allclose(np.stack(again[1]), np.stack(predicted[-1][1]), rtol=1e-6)
    assert not encoder.model.training
    assert not loaded.training
    assert (facts.task, facts.type, facts.head, facts.max_length) == ("toy", type, head, 32)
    labels = {"classification": ("no", "yes"), "token-classification": ("B-K", "I-K", "O")}
    assert facts.labels == labels.get(type, ())
    assert facts == read_trained_facts(tmp_path / "model.safetensors")


def test_lora_updates_are_part_of_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    path = train(tmp_path, training=replace(SETTINGS, lora_rank=2), head="transformers")
    assert not [name for name in load_file(path) if "lora" in name]
    load_trained_file(path)


def test_questions_without_answers_are_noted(tmp_path: Path) -> None:
    without = Example("what ?", (), text_pair="nothing here")
    for extra, expected in (([], False), ([without] * 3, True)):
        task = toy_task(TaskType.QUESTION_ANSWERING, train=20, test=5)
        splits = {"train": [*task.examples("train"), *extra], "test": list(task.examples("test"))}
        stage = Stage("toy", seed=0, encoder="random:1x16", training=SETTINGS)
        tasks = {"toy": Task.from_iterable("toy", task.type, splits)}
        finetune(stage, tasks, save_model=tmp_path / "model")
        assert read_trained_facts(tmp_path / "model").may_be_empty is expected


def test_another_name_of_the_encoder_may_be_given(tmp_path: Path) -> None:
    path = train(tmp_path)
    change_facts(path, revision="older")
    with pytest.raises(InputError, match=r"the encoder 'random:1x16' has changed since \(revision"):
        load_trained_file(path)
    assert load_trained_file(path, encoder="random:1x16")[0].width == 16
    with pytest.raises(
        InputError, match=r"model.safetensors': its encoder does not fit 'random:2x16'$"
    ):
        load_trained_file(path, encoder="random:2x16")


def change_facts(path: Path, **changes: Any) -> None:
    values = asdict(read_trained_facts(path)) | changes
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata={**metadata, "facts": json.dumps(values)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a", "b", "c"]}, "its head does not fit"),
        ({"head": "transformers"}, "its encoder does not fit"),
        ({"head": "largest"}, "its facts cannot be read: head = 'largest'"),
        ({"type": "translation"}, "its facts cannot be read: 'translation' is not a valid TaskType"),
        ({"type": "question-answering", "labels": [1]}, r"its facts cannot be read: labels = \(1,\)"),
        ({"labels": []}, "its facts cannot be read: labels = "),
        ({"max_length": -1}, "its facts cannot be read: max_length = -1"),
        ({"may_be_empty": 1}, "its facts cannot be read: may_be_empty = 1"),
        ({"colour": "red"}, "its facts cannot be read: .*colour"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = train(tmp_path)
    change_facts(path, **changes)
    with pytest.raises(InputError, match=message) as raised:
        load_trained_file(path)
    assert "\n" not in str(raised.value)


def test_exchanged_weights_are_noticed(tmp_path: Path) -> None:
    path = train(tmp_path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    name = next(iter(weights))
    save_file(weights | {name: weights[name] + 1}, path, metadata=metadata)
    with pytest.raises(InputError, match="is damaged: its weights are not what was saved"):
        load_trained_file(path)


def test_a_file_that_is_no_trained_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="cannot be read"):
        load_trained_file(path)
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        load_trained_file(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is not a trained model of this version"):
        load_trained_file(path)
    content = train(tmp_path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        load_trained_file(path)


def test_facts_are_plain() -> None:
    facts = TrainedFacts("t", TaskType.REGRESSION, (), "offline", "r", "mean", 128, 32)
    assert json.loads(json.dumps(asdict(facts)))["type"] == "regression"
