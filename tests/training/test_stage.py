from __future__ import annotations

import dataclasses
import json

import pytest

from transfer_meta.errors import InputError
from transfer_meta.training.stage import Mixing, Stage, TrainingSettings

BASE = Stage("rte", seed=1, encoder="offline")
DIGESTS = {"rte": "1", "snli": "2"}


def test_a_stage_survives_json() -> None:
    stage = dataclasses.replace(
        BASE,
        sources=("snli",),
        mixing=Mixing(weights=(0.5, 0.5)),
        start=Stage("snli", seed=1, encoder="offline", training=TrainingSettings(lora_rank=4)),
    )
    assert Stage.from_dict(json.loads(json.dumps(stage.to_dict()))) == stage
    assert stage.problems() == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"target_examples": 100},
        {"encoder": "other"},
        {"training": TrainingSettings(learning_rate=2e-4)},
        {"sources": ("snli",), "mixing": Mixing()},
        {"start": Stage("snli", seed=1, encoder="offline")},
    ],
)
def test_the_key_depends_on_everything_that_decides_the_result(change: dict) -> None:
    assert dataclasses.replace(BASE, **change).key(DIGESTS, "r") != BASE.key(DIGESTS, "r")


def test_the_key_depends_on_data_and_encoder_files_and_on_nothing_else() -> None:
    key = BASE.key(DIGESTS, "r")
    assert key == BASE.key({**DIGESTS, "snli": "changed, but not used"}, "r")
    assert key != BASE.key({"rte": "changed"}, "r")
    assert key != BASE.key(DIGESTS, "another revision")
    whole = TrainingSettings(learning_rate=1)  # TOML's 1
    assert BASE.key(DIGESTS, "r") == key
    assert dataclasses.replace(BASE, training=whole).key(DIGESTS, "r") == dataclasses.replace(
        BASE, training=TrainingSettings(learning_rate=1.0)
    ).key(DIGESTS, "r")


def test_an_earlier_stage_decides_through_its_tasks() -> None:
    stage = dataclasses.replace(BASE, start=Stage("snli", seed=1, encoder="offline"))
    assert stage.all_tasks == ("rte", "snli")
    assert stage.key(DIGESTS, "r") != stage.key({**DIGESTS, "snli": "changed"}, "r")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs = 0 (expected at least 1)"),
        ({"epochs": "3"}, "epochs = '3' (expected int)"),
        ({"epochs": True}, "epochs = True (expected int)"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"warmup_fraction": 1.5}, "warmup_fraction = 1.5"),
        ({"checkpoint": "beste"}, "did you mean 'best'?"),
        ({"compile": "graph"}, "expected true, false or 'graphs'"),
        ({"compile": 1}, "compile = 1 (expected bool | str)"),
        ({"precision": "fp16"}, "expected one of: auto, fp32, bf16"),
        ({"stride": 200}, "stride = 200 (expected 0 to half of max_length, 256)"),
        ({"checkpoint": "best", "dev_examples": 0}, "needs dev_examples"),
        ({"lora_rank": 0}, "lora_rank = 0"),
    ],
)
def test_settings_tell_what_is_wrong(settings: dict, message: str) -> None:
    (problem,) = TrainingSettings(**settings).problems()
    assert message in problem


def test_all_problems_are_told_at_once() -> None:
    stage = Stage(
        "rte",
        seed=-1,
        encoder="offline",
        training=TrainingSettings(epochs=0, batch_size=0),
        target_examples=0,
        sources=("rte",),
        start=Stage("snli", seed=1, encoder="bilstm"),
    )
    found = "\n".join(stage.problems())
    for part in ("epochs", "batch_size", "seed", "target_examples", "named twice", "mixing", "bilstm"):
        assert part in found


def test_weights_must_sum_to_one_and_fit_the_tasks() -> None:
    assert "sum to 1.5 (expected 1)" in Mixing(weights=(1.0, 0.5)).problems()[0]
    stage = dataclasses.replace(BASE, sources=("snli",), mixing=Mixing(weights=(0.2, 0.3, 0.5)))
    assert "3 weights for 2 tasks" in stage.problems()[0]


def test_unknown_keys_are_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown training setting 'epoch'; did you mean 'epochs'"):
        TrainingSettings.from_dict({"epoch": 3, "learning_rat": 1e-4})
    with pytest.raises(InputError, match="unknown mixing setting 'sampler'"):
        Mixing.from_dict({"sampler": "uniform"})


@pytest.mark.parametrize(
    ("mixing", "expected"),
    [
        (Mixing("uniform"), (0.5, 0.5)),
        (Mixing("proportional"), (0.1, 0.9)),
        (Mixing("temperature", temperature=2), (0.25, 0.75)),
    ],
)
def test_sampling_probabilities(mixing: Mixing, expected: tuple[float, ...]) -> None:
    assert mixing.probabilities((100, 900)) == pytest.approx(expected)
