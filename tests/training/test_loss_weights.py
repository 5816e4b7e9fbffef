from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import toy_task

from transfer_meta.errors import Stopped
from transfer_meta.records import TaskType
from transfer_meta.runs.methods import stage_of
from transfer_meta.training.finetune import finetune
from transfer_meta.training.loss_weights import (
    LOG_VARIANCE_RATE,
    UncertaintyWeights,
    moving_weights,
    step_schedule,
)
from transfer_meta.training.method_settings import Mixing
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=2, batch_size=16, learning_rate=3e-3, max_length=32, stride=8, dev_examples=20, evaluations=2
)
TASKS = {
    "toy": toy_task(TaskType.CLASSIFICATION, train=60),
    "src": toy_task(TaskType.REGRESSION, name="src", train=80),
}


def base(encoder: str, **changes: Any) -> Stage:
    return replace(Stage("toy", seed=0, encoder=encoder, training=SETTINGS), **changes)


def together(encoder: str, mixing: Mixing, **changes: Any) -> Stage:
    return stage_of("multitask", base(encoder, **changes), sources=["src"], mixing=mixing)


def same(a: RunResult, b: RunResult) -> bool:
    curves = all((getattr(a.curve, k) == getattr(b.curve, k)).all() for k in vars(a.curve))
    return curves and a.scores == b.scores


def test_the_schedule_of_every_mixture() -> None:
    def schedule(**settings: Any) -> list[list[tuple[int, float]]]:
        return step_schedule(together("offline", Mixing(**settings)), [60, 80], 5)

    assert schedule(weights=(0.75, 0.25)) == [[(0, 0.75), (1, 0.25)]] * 5
    assert schedule(weights=(1.0, 0.0)) == [[(0, 1.0)]] * 5
    assert schedule(weighting="uncertainty") == [[(0, 1.0), (1, 1.0)]] * 5
    moving = schedule(weighting="to-target")
    assert moving[0] == [(0, 0.5), (1, 0.5)]
    assert moving[2] == [(0, 0.75), (1, 0.25)]
    assert moving[4] == [(0, 1.0)]
    assert len(schedule()) == 10
    soft = stage_of("soft", base("offline"), sources=["src"])
    assert step_schedule(soft, [60, 80], 5) == [[(0, 1.0), (1, 1.0)]] * 5
    assert step_schedule(base("offline"), [60], 5) == [[(0, 1.0)]] * 5


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_moving_weights_sum_to_one_and_are_linear(tasks: int) -> None:
    found = [moving_weights(step, 11, tasks) for step in range(11)]
    assert all(sum(weights) == pytest.approx(1) for weights in found)
    assert found[0] == pytest.approx((1 / tasks,) * tasks)
    assert found[-1] == (1.0, *(0.0,) * (tasks - 1))
    assert found[5] == pytest.approx([(a + b) / 2 for a, b in zip(found[0], found[-1], strict=True)])
    assert moving_weights(0, 1, tasks) == pytest.approx((1 / tasks,) * tasks)


@pytest.mark.parametrize("encoder", ["random:1x16", "bilstm"])
def test_weight_1_on_the_target_is_training_alone(encoder: str) -> None:
    alone = finetune(base(encoder), TASKS)
    weighted = finetune(together(encoder, Mixing(weights=(1.0, 0.0))), TASKS)
    assert same(alone, weighted)
    assert len(weighted.source_curves["src"].steps) == 0


def test_uncertainty_learns_the_weight_that_balances_loss_and_penalty() -> None:
    types = (TaskType.CLASSIFICATION, TaskType.REGRESSION)
    weights = UncertaintyWeights(types)
    assert weights.values() == [1.0, 0.5]
    losses = torch.tensor([0.2, 3.0])
    optimizer = torch.optim.AdamW(weights.parameters(), lr=LOG_VARIANCE_RATE, weight_decay=0.0)
    for _ in range(400):
        optimizer.zero_grad()
        total = sum(weights.scaled(task, losses[task]) for task in range(2)) + weights.penalty()
        total.backward()
        optimizer.step()
    # The minimum of exp(-s) L + s / 2, and of the same with L / 2: a weight of 1 / (2 L).
    assert weights.values() == pytest.approx([1 / 0.4, 1 / 6], rel=1e-2)


def test_learned_weights_are_kept_in_the_notes_and_without_weight_decay(tiny: str) -> None:
    stage = together(tiny, Mixing(weighting="uncertainty"))
    found = finetune(stage, TASKS)
    assert set(found.notes["weights"]) == {"toy", "src"}
    assert found.notes["weights"] != {"toy": 1.0, "src": 0.5}
    decayed = replace(stage, training=replace(SETTINGS, weight_decay=0.0))
    assert finetune(decayed, TASKS).notes["weights"] == pytest.approx(found.notes["weights"], rel=1e-2)
    assert "weights" not in finetune(together(tiny, Mixing()), TASKS).notes


@pytest.mark.parametrize("weighting", ["to-target", "uncertainty"])
@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_a_stopped_run_goes_on_to_the_bit(tmp_path: Path, weighting: str, checkpoint: str) -> None:
    stage = together("random:1x16", Mixing(weighting=weighting))
    stage = replace(stage, training=replace(SETTINGS, checkpoint=checkpoint))
    expected = finetune(stage, TASKS)
    seen: list[int] = []
    with pytest.raises(Stopped):
        finetune(
            stage,
            TASKS,
            resume=tmp_path / "state",
            should_stop=lambda: len(seen) == 4,
            on_progress=lambda done, _: seen.append(done),
        )
    found = finetune(stage, TASKS, resume=tmp_path / "state")
    assert "discarded_state" not in found.notes
    assert same(expected, found)
    assert expected.notes.get("weights") == found.notes.get("weights")


def test_the_last_step_of_moving_weights_is_of_the_target_alone(tiny: str) -> None:
    found = finetune(together(tiny, Mixing(weighting="to-target")), TASKS)
    steps = list(range(1, found.notes["steps"] + 1))
    assert list(found.curve.steps) == steps
    assert list(found.source_curves["src"].steps) == steps[:-1]
