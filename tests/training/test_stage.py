from __future__ import annotations

import dataclasses
import json

import pytest

from transfer_meta.encoding.encoding_settings import HEADS
from transfer_meta.errors import InputError
from transfer_meta.training.method_settings import Curriculum, Mixing, SoftSharing
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

BASE = Stage("rte", seed=1, encoder="offline")
DIGESTS = {"rte": "1", "snli": "2"}


@pytest.mark.parametrize("head", HEADS)
def test_a_stage_survives_json(head: str) -> None:
    stage = dataclasses.replace(
        BASE,
        sources=("snli",),
        mixing=Mixing(weights=(0.5, 0.5)),
        start=Stage("snli", seed=1, encoder="offline", training=TrainingSettings(lora_rank=4)),
        head=head,
        curriculum=Curriculum("combined", "loss", 7),
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
        {"sources": ("snli",), "mixing": Mixing(weighting="to-target")},
        {"sources": ("snli",), "soft": SoftSharing()},
        {"start": Stage("snli", seed=1, encoder="offline")},
        {"curriculum": Curriculum("naive")},
        {"start": Stage("snli", seed=1, encoder="offline", curriculum=Curriculum("mixed"))},
        {"head": "transformers"},
        {"start": Stage("snli", seed=1, encoder="offline", head="transformers")},
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
    assert stage.chain == (stage.start, stage)
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
        head="transformer",
    )
    found = "\n".join(stage.problems())
    for part in (
        "epochs",
        "batch_size",
        "seed",
        "target_examples",
        "named twice",
        "mixing",
        "bilstm",
        "unknown head",
    ):
        assert part in found


def test_weights_must_sum_to_one_and_fit_the_tasks() -> None:
    assert "sum to 1.5 (expected 1)" in Mixing(weights=(1.0, 0.5)).problems()[0]
    stage = dataclasses.replace(BASE, sources=("snli",), mixing=Mixing(weights=(0.2, 0.3, 0.5)))
    assert "3 weights for 2 tasks" in stage.problems()[0]


@pytest.mark.parametrize(
    ("mixing", "line"),
    [
        (
            Mixing(weighting="uncertain"),
            "unknown weighting 'uncertain' (expected one of: fixed, to-target, uncertainty)",
        ),
        (Mixing(weighting="to-target", weights=(0.5, 0.5)), "weights has no effect with weighting"),
        (Mixing("proportional", weighting="uncertainty"), "sampling has no effect with weighting"),
        (Mixing(temperature=3, weighting="uncertainty"), "temperature has no effect with weighting"),
    ],
)
def test_a_weighting_excludes_what_it_replaces(mixing: Mixing, line: str) -> None:
    (found,) = mixing.problems()
    assert line in found


def test_the_settings_of_soft_sharing_are_checked() -> None:
    assert SoftSharing().problems() == SoftSharing("kl", 0).problems() == []
    assert "unknown tie 'l1' (expected one of: l2, kl)" in SoftSharing("l1").problems()[0]
    for strength in (-1, float("nan"), float("inf"), 1e10):
        assert "expected a number from 0 to 1e+09" in SoftSharing(strength=strength).problems()[0]
    with pytest.raises(InputError, match="unknown soft sharing setting 'strenght'"):
        SoftSharing.from_dict({"strenght": 1})


def test_sources_are_mixed_or_tied() -> None:
    soft = dataclasses.replace(BASE, sources=("snli",), soft=SoftSharing("kl", 0.5))
    assert soft.problems() == []
    assert soft.to_dict()["soft"] == {"tie": "kl", "strength": 0.5}
    assert Stage.from_dict(json.loads(json.dumps(soft.to_dict()))) == soft
    both = dataclasses.replace(soft, mixing=Mixing())
    assert "mixing and soft are both given" in both.problems()[0]
    for without in (dataclasses.replace(soft, soft=None), dataclasses.replace(soft, sources=())):
        assert "go together" in without.problems()[0]


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


OTHER = {"seed": 1, "encoder": "offline"}
STORED_KEYS = [
    (BASE, "8137311697066a198ffc86371b900422e34f70875d154fc79a0d97ef09a9efd2"),
    (
        dataclasses.replace(BASE, target_examples=200),
        "646232def38595f7f0e8bf27b2641e77a5f837f84e0c6cf8038f7b5d97af844b",
    ),
    (
        Stage("rte", seed=2, encoder="bilstm"),
        "a2dfc82f00b14e25db50eb374114982bb029b4ad5dc34c0335002e5df40b5734",
    ),
    (
        dataclasses.replace(
            BASE,
            training=TrainingSettings(
                epochs=4, batch_size=16, learning_rate=2e-4, max_length=128, evaluations=1
            ),
        ),
        "0cfd93987da9fd58dacabed4c1822f8fc0ff1f732959932adf5ac1a8c2a39a79",
    ),
    (
        dataclasses.replace(
            BASE, training=TrainingSettings(lora_rank=8, precision="bf16", compile="graphs")
        ),
        "8f5c61939dc6dad9dec3e0bbae0fe8a3bcddc190fc5d1555ae555008dfeefc0b",
    ),
    (
        dataclasses.replace(BASE, start=Stage("snli", **OTHER)),
        "60195a8b90d351a1719b90825658216f9a99bed884bd700093512dc5ad997922",
    ),
    (
        dataclasses.replace(
            BASE, target_examples=200, start=Stage("snli", **OTHER, target_examples=1000)
        ),
        "28d3aecfc1a6666a4432b3447fcd4702e1ed4b04cc3ce0ca449decf3acf3f6bb",
    ),
    (
        dataclasses.replace(BASE, start=Stage("snli", **OTHER, start=Stage("mnli", **OTHER))),
        "10b74b112e24b26d7dff632e5e6afe65c52680da9f5ee1221721e987c6333701",
    ),
    (
        dataclasses.replace(BASE, sources=("snli",), source_examples=1000, mixing=Mixing()),
        "65d3f5757c638d49bae1a81b2e00111edf7d5241b9d86b266f69e5b8ac2ddd17",
    ),
    (
        dataclasses.replace(
            BASE,
            sources=("snli", "mnli"),
            mixing=Mixing(weights=(0.5, 0.25, 0.25)),
            training=TrainingSettings(checkpoint="best", stride=32),
        ),
        "7df7cfe7b4e6b9d4f79dff42c186a2ba3363284662c1eb46d79d512d934e25d3",
    ),
    (
        Stage(
            "rte",
            seed=0,
            encoder="offline",
            sources=("snli",),
            mixing=Mixing(weights=(0.75, 0.25)),
            start=Stage(
                "mnli",
                seed=0,
                encoder="offline",
                sources=("snli",),
                mixing=Mixing("temperature", temperature=3.0),
            ),
            head="transformers",
        ),
        "72c17f91d66c5e846c30561d2a6ca8d9864fedfc5b28f8ad2b2d77200db51ffa",
    ),
]


def test_how_long_inputs_are_read_is_part_of_the_key_where_it_is_not_the_default() -> None:
    default = dataclasses.replace(BASE, start=Stage("snli", **OTHER))
    assert "long_inputs" not in json.dumps(default.to_dict())
    keys = {default.key(DIGESTS, "r")}
    for how in ("tail", "memory"):
        training = TrainingSettings(long_inputs=how)
        other = dataclasses.replace(default, training=training)
        assert other.to_dict()["training"]["long_inputs"] == how
        assert Stage.from_dict(json.loads(json.dumps(other.to_dict()))) == other
        assert TrainingSettings.from_dict(training.to_dict()) == training
        keys.add(other.key(DIGESTS, "r"))
        keys.add(
            dataclasses.replace(
                default, start=dataclasses.replace(default.start, training=training)
            ).key(DIGESTS, "r")
        )
    assert len(keys) == 5


@pytest.mark.parametrize(("stage", "key"), STORED_KEYS)
def test_keys_of_stored_runs_stay(stage: Stage, key: str) -> None:
    """Keys that an earlier version wrote into stores: a run found then must be found now."""
    assert stage.key({"rte": "d1", "snli": "d2", "mnli": "d3"}, "revision") == key
