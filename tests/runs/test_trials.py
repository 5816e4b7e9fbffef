"""Ways to train one target: found in a plan, compared over seeds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fake_training import fake_facts, make_tasks

from transfer_meta.runs.plan import make_plan
from transfer_meta.runs.plan_file import PlanFile, parse_regime
from transfer_meta.runs.trials import (
    Trial,
    TrialScores,
    choose_trial,
    find_trials,
    paired_difference,
)


def _scores(name: str, *dev: float) -> TrialScores:
    return TrialScores(Trial("intermediate", name, "e", (), ()), dev=dev, test=dev)


def test_trials_of_a_plan(tmp_path: Path) -> None:
    make_tasks(tmp_path, "t a b")
    file = PlanFile(
        path=Path("train"),
        tasks={name: str(tmp_path / f"{name}.train.jsonl") for name in "tab"},
        sources=(("a",), ("a", "b")),
        targets=("t",),
        methods=("intermediate", "chain"),
        regimes=(parse_regime("16-8"),),
        seeds=(0, 1),
    )
    plan = make_plan(file, encoder_facts=fake_facts)
    alone, one, chain = find_trials(plan)
    assert (alone.method, alone.source, len(alone.keys)) == ("single", "", 2)
    assert alone.needed == alone.keys
    assert (one.method, one.source) == ("intermediate", "a")
    assert (chain.method, chain.source) == ("chain", "a>b")
    assert len(one.needed) == 4
    assert len(chain.needed) == 6
    assert [plan.stages[key].seed for key in chain.keys] == [0, 1]


def test_the_best_on_dev_is_chosen_and_of_equals_the_first() -> None:
    alone, same, better = _scores("", 0.5, 0.7), _scores("a", 0.6, 0.6), _scores("b", 0.6, 0.7)
    failed = TrialScores(Trial("intermediate", "c", "e", (), ()), reason="NaN loss")
    assert choose_trial([alone, same, failed]) is alone
    assert choose_trial([alone, failed, better]) is better
    assert alone.best_seed == 1
    assert same.best_seed == 0


@pytest.mark.parametrize(
    ("scores", "alone", "mean", "half"),
    [
        # Student's t with 2 degrees of freedom: 4.303 standard errors.
        ((0.8, 0.9, 0.7), (0.7, 0.7, 0.7), 0.1, 4.3027 * 0.1 / math.sqrt(3)),
        ((0.8, 0.9), (0.7, 0.8), 0.1, 0.0),
        ((0.8,), (0.7,), 0.1, math.nan),
        ((), (0.7,), math.nan, math.nan),
    ],
)
def test_difference_over_seeds(
    scores: tuple[float, ...], alone: tuple[float, ...], mean: float, half: float
) -> None:
    found, low, high = paired_difference(scores, alone)
    assert found == pytest.approx(mean, nan_ok=True)
    assert high - found == pytest.approx(half, abs=1e-4, nan_ok=True)
    assert found - low == pytest.approx(half, abs=1e-4, nan_ok=True)
