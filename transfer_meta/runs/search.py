"""Asynchronous successive halving over source tasks, with a predictor's expectations as prior.

The most promising sources, as many as the budget allows, get the shortest run; asynchronous successive halving
(Optuna's `SuccessiveHalvingPruner`) decides which go on to the next, longer one.  The rest of the budget goes to
the sources with the highest expected gain.  Sources are compared by

    (w · prior + v · gain of the longest run so far) / (w + v)

where v is the worth of that run and w the worth of the prior, both in full runs.

References
----------
.. [1] Li et al. (2020). A System for Massively Parallel Hyperparameter Tuning. MLSys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transfer_meta.errors import InputError

PRIOR_RUNS = 1.0
"""Worth of a prior, in full runs; half and twice this value do as well on logged tables."""
REDUCTION = 2
"""Each rung keeps 1 in REDUCTION sources and trains them REDUCTION times longer."""
MIN_SOURCES = 5
"""Sources that get a first run before any gets a longer one: a second source tells more than a second rung."""

_BUDGET = re.compile(r"(\d+(?:\.\d+)?) ?(runs?|h|hours?|min|minutes?|s|seconds?)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Budget:
    """Budget of a search: full runs or seconds; the other one is infinite.

    A run trains on a source and then on the target; a shorter one counts by its share of the epochs.
    """

    runs: float = math.inf
    seconds: float = math.inf


@dataclass(frozen=True)
class Rung:
    """A length of runs.

    Parameters
    ----------
    cost : float
        Cost of a run, in full runs.
    worth : float
        Weight of the gain of a run, in full runs.
    name : str
        Name in tables.
    """

    cost: float
    worth: float
    name: str = ""


@dataclass(frozen=True)
class SourceResult:
    """A source in the result of a search.

    Parameters
    ----------
    source : str
        Name of the task.
    prior : float
        Gain expected before the search, a fraction.
    gains : tuple of float
        Gains of its runs by rung, from the shortest on, fractions; NaN if the run failed.
    expected : float
        Gain expected after the search, a fraction.
    state : str
        ``finished`` (has a full run), ``short`` (only shorter ones), ``failed``, or ``not tried``.
    """

    source: str
    prior: float
    gains: tuple[float, ...] = ()
    expected: float = 0.0
    state: str = "not tried"


@dataclass(frozen=True)
class Search:
    """Result of a search.

    Parameters
    ----------
    candidates : tuple of SourceResult
        By expected gain, the best first; failed ones last.
    spent : float
        Full runs spent.
    """

    candidates: tuple[SourceResult, ...]
    spent: float

    @property
    def best(self) -> SourceResult:
        """The candidate with the highest expected gain."""
        return self.candidates[0]


Evaluate = Callable[[Sequence[tuple[str, int]]], Sequence[float | None]]
"""Takes (source, rung) pairs and returns their gains: NaN if a run failed, None if the time is up."""


def parse_budget(text: str) -> Budget:
    """Return the budget written as a number of runs or a time.

    Examples
    --------
    >>> parse_budget("20runs"), parse_budget("90min").seconds
    (Budget(runs=20.0, seconds=inf), 5400.0)
    """
    match = _BUDGET.fullmatch(text.strip().lower())
    if match is None or float(match[1]) == 0:
        raise InputError(f"budget '{text}' (expected runs or a time above zero: 20runs, 2h, 90min)")
    number, unit = float(match[1]), match[2]
    if unit.startswith("run"):
        return Budget(runs=number)
    return Budget(seconds=number * _SECONDS[unit[0]])


def search_sources(
    prior: Mapping[str, float],
    evaluate: Evaluate,
    *,
    rungs: Sequence[Rung],
    budget_runs: float = math.inf,
    prior_runs: float = PRIOR_RUNS,
) -> Search:
    """Search for the best source.

    Parameters
    ----------
    prior : mapping of str to float
        Expected gain of each source, a fraction.
    evaluate : callable
        Executes runs, see `Evaluate`; a gain of None ends the search.
    rungs : sequence of Rung
        From the shortest run to the full one, each about `REDUCTION` times as long as the one before.
    budget_runs : float
        Full runs that may be spent.
    prior_runs : float
        Worth of the prior, in full runs; 0 to use it for the order only.

    Raises
    ------
    InputError
        There are no sources.
    """
    if not prior:
        raise InputError("no sources to search (expected at least one)")
    results = _Results(prior, rungs, prior_runs)
    halving = _Halving(rungs)
    spent = 0.0

    def affordable(sources: Sequence[str]) -> list[tuple[str, int]]:
        """Return the sources whose next runs, together, fit into the rest of the budget."""
        found, cost = list[tuple[str, int]](), spent
        for source in sources:
            rung = results.rung(source)
            if cost + rungs[rung].cost <= budget_runs + 1e-9:
                cost += rungs[rung].cost
                found.append((source, rung))
        return found

    goes_on = results.unfinished()[: _width(len(prior), rungs, budget_runs)]
    gains: Sequence[float | None] = ()
    while None not in gains and (batch := affordable(goes_on) or affordable(results.unfinished())[:1]):
        gains = evaluate(batch)
        goes_on = []
        for (source, rung), gain in zip(batch, gains, strict=True):
            if gain is None:
                continue
            spent += rungs[rung].cost
            results.gains[source].append(float(gain))
            if halving.goes_on(source, rung, results.standing(source)):
                goes_on.append(source)
    return Search(results.ranking(), spent)


def _width(sources: int, rungs: Sequence[Rung], budget_runs: float) -> int:
    """Return the number of sources to start: those whose halving fits the budget, at least `MIN_SOURCES`."""

    def cost(n: int) -> float:
        return sum(rung.cost * max(1, n // REDUCTION**k) for k, rung in enumerate(rungs))

    carried = [n for n in range(1, sources + 1) if cost(n) <= budget_runs]
    return max([MIN_SOURCES, *carried])


@dataclass
class _Results:
    """Gains measured so far."""

    prior: Mapping[str, float]
    rungs: Sequence[Rung]
    prior_runs: float
    gains: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gains = {source: [] for source in self.prior}

    def rung(self, source: str) -> int:
        """Return the next rung of a source."""
        return len(self.gains[source])

    def failed(self, source: str) -> bool:
        return any(map(math.isnan, self.gains[source]))

    def standing(self, source: str) -> float:
        """Return the mean of prior and longest run, weighted by their worth."""
        gains = self.gains[source]
        if not gains:
            return self.prior[source]
        worth = self.rungs[len(gains) - 1].worth
        return (self.prior_runs * self.prior[source] + worth * gains[-1]) / (self.prior_runs + worth)

    def expected(self, source: str) -> float:
        """Return `standing` with the prior shifted by the mean difference of first runs and priors."""
        above = [g[0] - self.prior[s] for s, g in self.gains.items() if g and not self.failed(s)]
        level = sum(above) / len(above) if above else 0.0
        gains = self.gains[source]
        worth = self.rungs[len(gains) - 1].worth if gains else 0.0
        share = self.prior_runs / (self.prior_runs + worth) if gains else 1.0
        return self.standing(source) + share * level

    def unfinished(self) -> list[str]:
        """Return the sources with rungs left, by expected gain."""
        left = [s for s in self.prior if self.rung(s) < len(self.rungs) and not self.failed(s)]
        return sorted(left, key=lambda source: -self.expected(source))

    def ranking(self) -> tuple[SourceResult, ...]:
        candidates = []
        for source, prior in self.prior.items():
            gains = tuple(self.gains[source])
            if self.failed(source):
                state = "failed"
            elif gains:
                state = "finished" if len(gains) == len(self.rungs) else "short"
            else:
                state = "not tried"
            candidates.append(SourceResult(source, prior, gains, self.expected(source), state))
        return tuple(sorted(candidates, key=lambda c: (c.state == "failed", -c.expected)))


class _Halving:
    """Optuna's pruner, with a trial for each source."""

    def __init__(self, rungs: Sequence[Rung]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._last = len(rungs) - 1
        self._trials: dict[str, Any] = {}

    def goes_on(self, source: str, rung: int, expected: float) -> bool:
        """Return whether a source goes on to the next rung."""
        trial = self._trials.setdefault(source, None) or self._study.ask()
        self._trials[source] = trial
        if math.isnan(expected):
            return False
        # The pruner numbers its rungs by powers of the reduction factor.
        trial.report(expected, step=REDUCTION**rung)
        return rung < self._last and not trial.should_prune()
