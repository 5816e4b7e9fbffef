from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.records import TaskType
from transfer_meta.runs.cost import estimate, held_out_error, learn_cost, median_rates, tokens_of
from transfer_meta.runs.engine import TaskSource
from transfer_meta.runs.plan import EncoderFacts, Plan, TaskFacts, label
from transfer_meta.runs.plan_file import PlanFile
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.runs.store.schema import Run
from transfer_meta.training.method_settings import Mixing, SoftSharing
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

TRAINING = TrainingSettings(epochs=2, batch_size=16, max_length=128, dev_examples=50, evaluations=2)
# Tokens of a mean example: 4.5 characters each, and two at the ends.
TASKS = {
    name: TaskFacts(
        TaskSource(name, name),
        train=2000,
        test=test,
        characters=4.5 * (tokens - 2),
        type=TaskType.CLASSIFICATION,
    )
    for name, tokens, test in (("a", 10, 500), ("b", 40, 100), ("c", 200, 300), ("d", 70, 1000))
}


def stage(target: str, examples: int | None = 200, **others: object) -> Stage:
    return Stage(target, seed=0, encoder="tiny", training=TRAINING, target_examples=examples, **others)


# --- tokens of a run -----------------------------------------------------------------------------------


def test_the_tokens_of_a_run_counted_by_hand():
    # 200 examples of 40 tokens twice; 100 test and twice 50 dev examples, a third each.
    assert tokens_of(stage("b"), TASKS) == pytest.approx(2 * 200 * 40 + 200 * 40 / 3)
    # Longer inputs than the limit are cut; all examples are those beside the dev split.
    cut = 2 * 1950 * 128 + (300 + 2 * 50) * 128 / 3
    assert tokens_of(stage("c", None), TASKS) == pytest.approx(cut)


def test_a_source_in_the_mixture_adds_its_tokens():
    alone = tokens_of(stage("b"), TASKS)
    uniform = tokens_of(stage("b", sources=("a",), source_examples=100, mixing=Mixing()), TASKS)
    # 13 batches twice, and as many of the source.
    assert uniform == pytest.approx(alone + 2 * 13 * 16 * 10)
    summed = Mixing(weights=(0.5, 0.5))
    both = tokens_of(stage("b", sources=("a",), source_examples=100, mixing=summed), TASKS)
    assert both == pytest.approx(alone + 2 * 13 * 16 * 10)
    for way in ({"mixing": Mixing(weighting="uncertainty")}, {"soft": SoftSharing()}):
        assert tokens_of(stage("b", sources=("a",), source_examples=100, **way), TASKS) == both


# --- learning ------------------------------------------------------------------------------------------


def test_medians_by_method_and_over_all():
    rates = [("single", 1.0), ("single", 2.0), ("single", 9.0), ("multitask", 3.0)]
    assert median_rates(rates) == {"": 2.5, "single": 2.0}
    rates += [("multitask", 5.0), ("multitask", 7.0)]
    assert median_rates(rates) == {"": 4.0, "single": 2.0, "multitask": 5.0}


@given(
    n=st.integers(1, 15),
    seed=st.integers(0, 1000),
    factor=st.floats(0.01, 100),
    spread=st.floats(0, 1),
)
def test_twice_as_slow_is_twice_as_long(n, seed, factor, spread):
    draw = np.random.default_rng(seed)
    rates = [(str(draw.integers(2)), float(np.exp(spread * draw.normal()))) for _ in range(n)]
    scaled = [(method, factor * rate) for method, rate in rates]
    expected = {method: factor * rate for method, rate in median_rates(rates).items()}
    assert median_rates(scaled) == pytest.approx(expected)
    error = held_out_error(rates)
    assert math.isnan(error) == (n == 1)
    if n > 1:
        assert error == pytest.approx(held_out_error(scaled), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_expected_error_is_that_of_further_runs(seed):
    draw = np.random.default_rng(seed)
    rates = [("single", float(np.exp(0.1 * draw.normal()))) for _ in range(300)]
    learnt = median_rates(rates[:40])["single"]
    actual = np.median([abs(learnt / rate - 1) for _, rate in rates[40:]])
    assert held_out_error(rates[:40]) == pytest.approx(actual, rel=0.5)


def test_a_few_slow_runs_do_not_spoil_the_rest():
    rates = [("single", 5.0 if i % 8 == 0 else 1.0) for i in range(40)]
    assert median_rates(rates)["single"] == 1.0
    assert held_out_error(rates) == 0.0


# --- a plan and its store ------------------------------------------------------------------------------


def a_plan(stages: dict[str, Stage]) -> Plan:
    rows = [
        NewRun(key, label(s)[0], "", s.target, "200", 0, "tiny", "r1", s.to_dict(), {s.target: "d"})
        for key, s in stages.items()
    ]
    file = PlanFile(path=None, training=TRAINING)
    return Plan(file, tuple(rows), stages, TASKS, EncoderFacts("r1", 1_000_000, 400_000))


def finished(
    plan: Plan, device: str | None = "cpu: x, 1 threads", speed: float = 1e-3, **others: object
) -> list[Run]:
    """Runs in proportion to their tokens; multi-task ones take twice as long."""
    return [
        Run(
            **{
                **vars(run),
                "seconds": speed
                * (2 if run.method == "multitask" else 1)
                * tokens_of(plan.stages[run.key], TASKS),
                "device": device,
                **others,
            }
        )
        for run in plan.runs
    ]


@pytest.fixture
def plan() -> Plan:
    return a_plan(
        {f"{name}{n}": stage(name, n) for name in TASKS for n in (100, 400, 900)}
        | {
            f"{name}{n}+a": stage(name, n, sources=("a",), mixing=Mixing())
            for name in "bcd"
            for n in (50, 500)
        }
    )


def test_what_is_left_takes_what_the_finished_runs_tell(plan):
    keys = list(plan.stages)
    done = finished(plan)
    cost = estimate(plan, done[::2], keys[1::2])
    expected = sum(run.seconds for run in done[1::2])
    assert cost.seconds == pytest.approx(expected)
    assert (cost.cost.runs, cost.measured, cost.gpu_hours) == (9, True, None)
    assert cost.basis == (
        "estimated from 9 finished runs on cpu: x, 1 threads; median error of those left out 0%"
    )


def test_a_method_without_finished_runs_takes_the_median_of_all(plan):
    single = [run for run in finished(plan) if run.method == "single"]
    cost = learn_cost(plan, single)
    mixture = plan.stages["b50+a"]
    assert cost.seconds(mixture, TASKS) == pytest.approx(1e-3 * tokens_of(mixture, TASKS))


def test_the_device_of_most_runs_counts_and_a_gpu_gives_gpu_hours(plan):
    on_gpu = finished(plan, "cuda: H", speed=1e-5)
    cost = estimate(plan, [*finished(plan)[:3], *on_gpu], list(plan.stages))
    total = sum(run.seconds for run in on_gpu)
    assert cost.seconds == pytest.approx(total)
    assert cost.gpu_hours == pytest.approx(total / 3600)
    assert "GPU hours; estimated from 18 finished runs on cuda: H" in cost.basis


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


# --- checkpoints ---------------------------------------------------------------------------------------


def most_checkpoints(starts: list[int | None], left: set[int]) -> int:
    """The most on disk at one time when one worker does the runs that are left in the store's order."""
    done = set(range(len(starts))) - left
    most = 0
    while True:
        lying = {starts[run] for run in left} & done - {None}
        most = max(most, len(lying))
        ready = [run for run in left if starts[run] is None or starts[run] in done]
        if not ready:
            return most
        run = min(ready, key=lambda run: (starts[run] is None, run))
        done.add(run)
        most = max(most, len({starts[r] for r in left} & done - {None}))
        left = left - {run}


@given(st.data())
def test_the_disk_holds_what_is_estimated(data):
    n = data.draw(st.integers(1, 12))
    starts = [
        data.draw(st.one_of(st.none(), st.integers(0, run - 1))) if run else None for run in range(n)
    ]
    left = set(data.draw(st.sets(st.integers(0, n - 1))))
    # What a finished run started from is finished.
    for run in range(n):
        if starts[run] in left:
            left.add(run)
    stages = {str(run): stage("a", run + 1) for run in range(n)}
    plan = a_plan(stages)
    rows = [
        replace(row, start_key=None if start is None else str(start))
        for row, start in zip(plan.runs, starts, strict=True)
    ]
    found = estimate(replace(plan, runs=tuple(rows)), [], {str(run) for run in left}).disk_bytes
    exact = 4_000_000 * most_checkpoints(starts, left)
    assert exact <= found
    if all(start is None or starts[start] is None for start in starts) and len(left) == n:
        assert exact == found
