"""Training on a CUDA device: against the CPU, against itself, in bf16, compiled, stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import toy_task

from transfer_meta.encoding import heads
from transfer_meta.encoding.encoding_settings import HEADS, MEAN_HEAD
from transfer_meta.errors import Stopped
from transfer_meta.records import TaskType
from transfer_meta.training.finetune import finetune
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine"
)

SETTINGS = TrainingSettings(
    epochs=2,
    batch_size=16,
    learning_rate=1e-3,
    max_length=32,
    stride=8,
    dev_examples=16,
    evaluations=2,
    precision="fp32",
)
TASKS = {"toy": toy_task(TaskType.CLASSIFICATION, train=96)}


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> str:
    return request.param


def stage(encoder: str, *, head: str = MEAN_HEAD, **training: object) -> Stage:
    return Stage("toy", seed=0, encoder=encoder, training=replace(SETTINGS, **training), head=head)


def test_the_losses_are_those_of_the_cpu(tiny: str, monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    # The two draw other masks; the encoder has no dropout of its own.
    monkeypatch.setattr(heads, "HEAD_DROPOUT", 0.0)
    expected = finetune(stage(tiny, head=head), TASKS, device="cpu")
    found = finetune(stage(tiny, head=head), TASKS, device="cuda")
    np.testing.assert_allclose(found.curve.losses, expected.curve.losses, atol=1e-3)
    assert found.score == pytest.approx(expected.score, abs=0.05)
    assert found.device.startswith("cuda:0: ")
    assert found.peak_memory_bytes > 0


def test_the_same_run_twice_gives_the_same_numbers(tiny: str, head: str) -> None:
    for precision in ("fp32", "bf16"):
        first, second = (
            finetune(stage(tiny, head=head, precision=precision), TASKS, device="cuda")
            for _ in range(2)
        )
        np.testing.assert_array_equal(first.curve.losses, second.curve.losses)
        assert first.scores == second.scores


def test_bf16_is_near_float32(tiny: str) -> None:
    exact = finetune(stage(tiny), TASKS, device="cuda")
    rounded = finetune(stage(tiny, precision="bf16"), TASKS, device="cuda")
    np.testing.assert_allclose(rounded.curve.losses, exact.curve.losses, atol=0.05)


@pytest.mark.parametrize("compile", [True, "graphs"])
def test_compiled_training_gives_what_plain_training_gives(
    tiny: str, compile: bool | str, head: str
) -> None:
    plain = finetune(stage(tiny, head=head), TASKS, device="cuda")
    compiled = finetune(stage(tiny, head=head, compile=compile), TASKS, device="cuda")
    np.testing.assert_allclose(compiled.curve.losses, plain.curve.losses, atol=1e-3)


def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(tiny: str, tmp_path: Path) -> None:
    whole = finetune(stage(tiny), TASKS, device="cuda")
    calls = iter(range(10_000))
    resume = tmp_path / "state"
    with pytest.raises(Stopped):
        finetune(stage(tiny), TASKS, device="cuda", resume=resume, should_stop=lambda: next(calls) > 4)
    rest = finetune(stage(tiny), TASKS, device="cuda", resume=resume)
    np.testing.assert_array_equal(rest.curve.losses, whole.curve.losses)
