from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.runs.cost import FEWEST_RUNS, TERMS, fit_cost, learn_cost, work_of
from transfer_meta.runs.engine import TaskSource
from transfer_meta.runs.estimate import estimate
from transfer_meta.runs.plan import EncoderFacts, Plan, TaskFacts
from transfer_meta.runs.plan_file import PlanFile
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.runs.store.schema import Run
from transfer_meta.training.stage import Mixing, Stage, TrainingSettings

TRAINING = TrainingSettings(epochs=2, batch_size=16, max_length=128, dev_examples=50, evaluations=2)
# Tokens of a mean example: 4.5 characters each, and two at the ends.
TASKS = {
    name: TaskFacts(TaskSource(name, name), train=2000, test=test, characters=4.5 * (tokens - 2))
    for name, tokens, test in (("a", 10, 500), ("b", 40, 100), ("c", 200, 300), ("d", 70, 1000))
}
TRUTH = np.array([2.0, 0.03, 3e-4, 1e-4, 1e-6])


def stage(target: str, examples: int | None = 200, **others: object) -> Stage:
    return Stage(target, seed=0, encoder="tiny", training=TRAINING, target_examples=examples, **others)


def some_work(n: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    names = list(TASKS)
    return np.array(
        [work_of(stage(names[draw.integers(4)], int(draw.integers(50, 1500))), TASKS) for _ in range(n)]
    )


# --- what a run has to do ------------------------------------------------------------------------------


def test_the_work_of_a_run_counted_by_hand():
    # 200 examples of 40 tokens twice, in 13 batches; 100 test and twice 50 dev examples.
    expected = [1, 26, 2 * 200 * 40, 200 * 40, 2 * 200 * 40 * 40 + 200 * 40 * 40 / 3]
    assert work_of(stage("b"), TASKS) == pytest.approx(expected)
    # Longer inputs than the limit are cut; all examples are those beside the dev split.
    cut = work_of(stage("c", None), TASKS)
    assert cut[TERMS.index("training_tokens")] == pytest.approx(2 * 1950 * 128)


def test_a_source_in_the_mixture_adds_its_tokens_and_its_steps():
    alone = work_of(stage("b"), TASKS)
    uniform = work_of(stage("b", sources=("a",), source_examples=100, mixing=Mixing()), TASKS)
    steps = 2 * 26
    expected = [1, steps, alone[2] + steps / 2 * 16 * 10, alone[3], alone[4] + steps / 2 * 16 * 100]
    assert uniform == pytest.approx(expected)
    summed = Mixing(weights=(0.5, 0.5))
    both = work_of(stage("b", sources=("a",), source_examples=100, mixing=summed), TASKS)
    assert both == pytest.approx([1, 26, alone[2] + 26 * 16 * 10, alone[3], alone[4] + 26 * 16 * 100])


# --- learning ------------------------------------------------------------------------------------------


def test_exact_times_are_learnt_exactly():
    work = some_work(40)
    coefficients, error = fit_cost(work, work @ TRUTH)
    held_out = some_work(200, seed=1)
    assert held_out @ coefficients == pytest.approx(held_out @ TRUTH, rel=1e-3)
    assert error < 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_ten_noisy_probes_predict_the_rest_within_a_quarter(seed):
    draw = np.random.default_rng(seed)
    work = some_work(10, seed)
    seconds = work @ TRUTH * np.exp(0.05 * draw.normal(size=10))
    coefficients, _ = fit_cost(work, seconds)
    held_out = some_work(300, seed + 100)
    assert (held_out @ coefficients).sum() == pytest.approx((held_out @ TRUTH).sum(), rel=0.25)


def test_a_few_slow_runs_do_not_spoil_the_rest():
    work = some_work(40)
    seconds = work @ TRUTH
    seconds[::8] *= 5
    coefficients, _ = fit_cost(work, seconds)
    assert work @ coefficients == pytest.approx(work @ TRUTH, rel=0.05)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 15),
    seed=st.integers(0, 1000),
    factor=st.floats(0.01, 100),
    spread=st.floats(0, 1),
)
def test_twice_as_slow_is_twice_as_long_and_nothing_is_negative(n, seed, factor, spread):
    work = some_work(n, seed)
    seconds = work @ TRUTH * np.exp(spread * np.random.default_rng(seed).normal(size=n))
    coefficients, error = fit_cost(work, seconds)
    scaled, scaled_error = fit_cost(work, factor * seconds)
    assert (coefficients >= 0).all()
    assert work @ scaled == pytest.approx(factor * (work @ coefficients), rel=1e-6)
    assert math.isnan(error) == (n == 1)
    if n > 1:
        assert error == pytest.approx(scaled_error, rel=1e-6, abs=1e-9)


def test_few_runs_give_time_in_proportion_to_tokens():
    work = some_work(FEWEST_RUNS - 1)
    coefficients, _ = fit_cost(work, work @ TRUTH)
    assert coefficients[[0, 1, 4]] == pytest.approx(0)
    assert coefficients[3] == pytest.approx(coefficients[2] / 3)


# --- a plan and its store ------------------------------------------------------------------------------


def a_plan(stages: dict[str, Stage]) -> Plan:
    rows = [
        NewRun(key, "single", "", s.target, "200", 0, "tiny", "r1", s.to_dict(), {s.target: "d"})
        for key, s in stages.items()
    ]
    file = PlanFile(path=None, training=TRAINING)
    return Plan(file, tuple(rows), stages, TASKS, EncoderFacts("r1", 1_000_000, 400_000))


def finished(
    plan: Plan, device: str | None = "cpu: x, 1 threads", speed: float = 1.0, **others: object
) -> list[Run]:
    return [
        Run(
            **{
                **vars(run),
                "seconds": speed * float(work_of(plan.stages[run.key], TASKS) @ TRUTH),
                "device": device,
                **others,
            }
        )
        for run in plan.runs
    ]


@pytest.fixture
def plan() -> Plan:
    return a_plan({f"{name}{n}": stage(name, n) for name in TASKS for n in (100, 400, 900)})


def test_what_is_left_takes_what_the_finished_runs_tell(plan):
    keys = list(plan.stages)
    done = finished(plan)
    cost = estimate(plan, done[::2], keys[1::2])
    expected = sum(run.seconds for run in done[1::2])
    assert cost.seconds == pytest.approx(expected, rel=0.1)
    assert (cost.runs, cost.measured, cost.gpu_hours) == (6, True, None)
    assert "estimated from 6 finished runs on cpu: x, 1 threads; median error" in cost.basis


def test_the_device_of_most_runs_counts_and_a_gpu_gives_gpu_hours(plan):
    on_gpu = finished(plan, "cuda: H", speed=0.01)
    cost = estimate(plan, [*finished(plan)[:3], *on_gpu], list(plan.stages))
    total = sum(run.seconds for run in on_gpu)
    assert cost.seconds == pytest.approx(total, rel=0.01)
    assert cost.gpu_hours == pytest.approx(total / 3600, rel=0.01)
    assert "GPU hours; estimated from 12 finished runs on cuda: H" in cost.basis


def test_runs_that_say_nothing_of_the_plan_are_left_out(plan):
    other = [
        *finished(plan, encoder_revision="r2"),
        *finished(plan, task_digests={"elsewhere": "d"}),
        *finished(plan, settings=replace(stage("a"), training=replace(TRAINING, precision="bf16")).to_dict()),
        *finished(plan, seconds=None),
    ]  # fmt: skip
    cost = learn_cost(plan, other)
    assert cost.runs == 0
    guess = estimate(plan, other, list(plan.stages))
    assert guess.basis == "rough, for one CPU core"
    assert guess.seconds > 0
    assert not guess.measured


def test_one_finished_run_is_enough_to_begin_with(plan):
    cost = estimate(plan, finished(plan)[:1], list(plan.stages)[:1])
    assert cost.seconds == pytest.approx(finished(plan)[0].seconds)
    assert cost.basis == "estimated from 1 finished run on cpu: x, 1 threads"
