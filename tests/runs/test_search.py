from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.runs.search import MIN_SOURCES, Budget, Rung, parse_budget, search_sources

RUNGS = (Rung(0.25, 0.25), Rung(0.5, 0.5), Rung(1.0, 1.0))


class Bench:
    """Sources with true gains, runs with noise, and a record of the runs."""

    def __init__(self, gains: dict[str, float], noise: float = 0.0, seed: int = 0) -> None:
        self.gains, self.noise = gains, noise
        self.draw = np.random.default_rng(seed)
        self.asked: list[tuple[str, int]] = []
        self.stop_after: int | None = None
        self.bad: set[str] = set()

    def __call__(self, batch):
        found = []
        for source, rung in batch:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                found.append(None)
                continue
            self.asked.append((source, rung))
            gain = self.gains[source] + self.noise * self.draw.normal() / math.sqrt(RUNGS[rung].worth)
            found.append(math.nan if source in self.bad else gain)
        return found


def some(n: int, seed: int = 0) -> dict[str, float]:
    draw = np.random.default_rng(seed)
    return {f"s{i}": float(g) for i, g in enumerate(draw.normal(0, 0.05, n))}


# --- budgets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("20runs", Budget(runs=20)),
        ("20 runs", Budget(runs=20)),
        ("1run", Budget(runs=1)),
        ("2.5runs", Budget(runs=2.5)),
        ("2h", Budget(seconds=7200)),
        ("90min", Budget(seconds=5400)),
        ("45 s", Budget(seconds=45)),
        ("1.5 hours", Budget(seconds=5400)),
        (" 2H ", Budget(seconds=7200)),
    ],
)
def test_budgets(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text", ["0runs", "0h", "20", "runs", "-3runs", "2d", "1e3runs", "inf h", "nanruns", "", "2h30"]
)
def test_budgets_that_are_none(text):
    with pytest.raises(InputError, match=r"expected runs or a time above zero: 20runs, 2h, 90min"):
        parse_budget(text)


# --- which runs are done -------------------------------------------------------------------------------


def test_without_a_limit_everything_is_run_and_the_best_is_found():
    gains = some(12)
    bench = Bench(gains)
    found = search_sources(dict.fromkeys(gains, 0.0), bench, rungs=RUNGS, prior_runs=0)
    assert found.best.source == max(gains, key=gains.get)
    assert {c.state for c in found.candidates} == {"finished"}
    assert found.spent == pytest.approx(12 * 1.75)
    assert sorted(bench.asked) == sorted((s, r) for s in gains for r in range(3))


def test_no_run_is_done_twice_and_longer_ones_come_after_shorter_ones():
    gains = some(20)
    bench = Bench(gains, noise=0.02)
    search_sources(dict.fromkeys(gains, 0.0), bench, rungs=RUNGS, budget_runs=12)
    assert len(set(bench.asked)) == len(bench.asked)
    for source in gains:
        assert [r for s, r in bench.asked if s == source] == list(
            range(sum(s == source for s, _ in bench.asked))
        )


def test_the_prior_says_where_to_begin():
    gains = some(20)
    bench = Bench(gains)
    prior = {s: float(i) for i, s in enumerate(gains)}
    search_sources(prior, bench, rungs=RUNGS, budget_runs=MIN_SOURCES * 0.25)
    assert [s for s, _ in bench.asked] == sorted(prior, key=lambda s: -prior[s])[:MIN_SOURCES]


def test_the_better_half_goes_further():
    gains = {f"s{i:02d}": i / 100 for i in range(16)}
    bench = Bench(gains)
    search_sources(dict.fromkeys(gains, 0.0), bench, rungs=RUNGS, budget_runs=12, prior_runs=0)
    first = [s for s, r in bench.asked if r == 0]
    second = [s for s, r in bench.asked if r == 1]
    assert len(first) == 16
    assert np.mean([gains[s] for s in second]) >= np.mean([gains[s] for s in first])


def test_more_runs_find_better_sources():
    """With noisy runs and no prior, on average over draws."""
    regrets = []
    for seed in range(10):
        gains = some(20, seed)
        of_seed = [
            search_sources(
                dict.fromkeys(gains, 0.0),
                Bench(gains, 0.02, seed),
                rungs=RUNGS,
                budget_runs=budget,
                prior_runs=0,
            )
            for budget in (0.5, 5, 15)
        ]
        regrets.append([max(gains.values()) - gains[found.best.source] for found in of_seed])
    few, some_runs, many = np.mean(regrets, axis=0)
    assert many < some_runs < few
    # Fifteen runs are fewer than one full run of each of the twenty.
    assert many < 0.01


def test_a_good_prior_is_worth_runs():
    regrets = []
    for seed in range(10):
        gains = some(20, seed)
        draw = np.random.default_rng(seed)
        prior = {s: g + 0.02 * draw.normal() for s, g in gains.items()}
        for expected, worth in ((prior, 1.0), (dict.fromkeys(gains, 0.0), 0.0)):
            bench = Bench(gains, 0.02, seed)
            found = search_sources(expected, bench, rungs=RUNGS, budget_runs=3, prior_runs=worth)
            regrets.append(max(gains.values()) - gains[found.best.source])
    with_prior, without = np.mean(np.reshape(regrets, (-1, 2)), axis=0)
    assert with_prior < without


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 12),
    budget=st.floats(0.1, 15),
    seed=st.integers(0, 99),
    worth=st.sampled_from([0.0, 0.5, 4.0]),
)
def test_the_budget_is_kept_and_everybody_is_ranked_once(n, budget, seed, worth):
    gains = some(n, seed)
    bench = Bench(gains, noise=0.05, seed=seed)
    found = search_sources(some(n, seed + 1), bench, rungs=RUNGS, budget_runs=budget, prior_runs=worth)
    assert found.spent <= budget + 1e-6
    assert found.spent == pytest.approx(sum(RUNGS[r].cost for _, r in bench.asked))
    assert sorted(c.source for c in found.candidates) == sorted(gains)
    assert all(math.isfinite(c.expected) for c in found.candidates)
    # What is left does not pay for one more run.
    left = [RUNGS[len(c.gains)].cost for c in found.candidates if len(c.gains) < 3]
    assert not left or found.spent + min(left) > budget


@settings(max_examples=15, deadline=None)
@given(shift=st.floats(-1, 1), seed=st.integers(0, 50))
def test_a_level_that_the_prior_has_wrong_changes_nothing(shift, seed):
    gains, prior = some(8, seed), some(8, seed + 1)
    first = search_sources(prior, Bench(gains), rungs=RUNGS, budget_runs=4)
    shifted = {s: g + shift for s, g in gains.items()}
    second = search_sources(prior, Bench(shifted), rungs=RUNGS, budget_runs=4)
    assert first.best.source == second.best.source


def test_expected_gains_by_hand():
    prior = {"a": 0.10, "b": 0.02}
    gains = {"a": 0.00, "b": 0.06}
    found = search_sources(prior, Bench(gains), rungs=[Rung(1, 1)], prior_runs=1)
    level = ((0.00 - 0.10) + (0.06 - 0.02)) / 2
    by_source = {c.source: c.expected for c in found.candidates}
    assert by_source["a"] == pytest.approx((0.10 + level + 0.00) / 2)
    assert by_source["b"] == pytest.approx((0.02 + level + 0.06) / 2)


# --- what goes wrong -----------------------------------------------------------------------------------


def test_a_failed_run_is_never_the_best_and_is_not_tried_again():
    gains = {"a": 0.1, "b": 0.9, "c": 0.0}
    bench = Bench(gains)
    bench.bad = {"b"}
    found = search_sources({"a": 0.0, "b": 5.0, "c": 0.0}, bench, rungs=RUNGS)
    assert found.best.source == "a"
    assert found.candidates[-1].state == "failed"
    assert [r for s, r in bench.asked if s == "b"] == [0]


def test_when_the_time_is_up_what_was_run_counts():
    gains = some(10)
    bench = Bench(gains)
    bench.stop_after = 4
    found = search_sources(dict.fromkeys(gains, 0.0), bench, rungs=RUNGS)
    assert len(bench.asked) == 4
    assert found.spent == pytest.approx(1.0)
    assert sum(c.state != "not tried" for c in found.candidates) == 4


def test_one_source_is_run_and_none_is_refused():
    found = search_sources({"only": 0.0}, Bench({"only": -0.1}), rungs=RUNGS)
    assert (found.best.source, found.best.state) == ("only", "finished")
    with pytest.raises(InputError, match="no sources"):
        search_sources({}, Bench({}), rungs=RUNGS)


def test_the_module_needs_no_torch_and_no_optuna_to_load():
    code = "import sys, transfer_meta.runs.search; assert not {'torch', 'optuna'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
