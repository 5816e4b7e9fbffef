"""The best source for one target with few runs: what a predictor expects, corrected by looks at short runs.

The most promising sources, as many as the budget carries, get the shortest run; asynchronous successive halving
(Li et al. 2020; Optuna's `SuccessiveHalvingPruner`) decides which go on to the next, longer one, and so on.  What
is left of the budget goes to the sources of which most is expected.  Sources are compared not by a run alone but by

    (w · prior + v · gain of the longest run so far) / (w + v)

with v the full runs that the look is worth and w those that the prior is worth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transfer_meta.errors import InputError

PRIOR_RUNS = 1.0
"""Full runs that a prior is worth: on logged tables half of it and twice as much are as good."""
REDUCTION = 2
"""One in so many goes on to a run so many times as long."""
BREADTH = 5
"""So many sources get a first look before anything goes deeper: a second source tells more than a second look."""

_BUDGET = re.compile(r"(\d+(?:\.\d+)?) ?(runs?|h|hours?|min|minutes?|s|seconds?)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Budget:
    """What a search may take: full runs, or seconds; the other one is infinite.

    A run is one training on a source and then on the target; a shorter one counts by its share.
    """

    runs: float = math.inf
    seconds: float = math.inf


@dataclass(frozen=True)
class Rung:
    """A length that runs are looked at.

    Parameters
    ----------
    cost
        Of one look, in full runs.
    worth
        How much a look at it tells, in full runs.
    name
        What tables call it.
    """

    cost: float
    worth: float
    name: str = ""


@dataclass(frozen=True)
class Candidate:
    """What a search knows of a source.

    Parameters
    ----------
    source
        Its name.
    prior
        What the predictor expects it to gain, a fraction.
    gains
        What its runs gained, by rung from the shortest on; NaN: the run failed.
    expected
        The prior corrected by the longest run.
    state
        ``finished`` (it has a full run), ``short`` (only shorter ones), ``failed``, or ``not tried``.
    """

    source: str
    prior: float
    gains: tuple[float, ...] = ()
    expected: float = 0.0
    state: str = "not tried"


@dataclass(frozen=True)
class Search:
    """How a search ended.

    Parameters
    ----------
    candidates
        The sources by what is expected of them, the best first; the failed last.
    spent
        Full runs.
    """

    candidates: tuple[Candidate, ...]
    spent: float

    @property
    def best(self) -> Candidate:
        """The source to use."""
        return self.candidates[0]


Evaluate = Callable[[Sequence[tuple[str, int]]], Sequence[float | None]]


def parse_budget(text: str) -> Budget:
    """A number of runs or a time.

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
    look: Evaluate,
    *,
    rungs: Sequence[Rung],
    budget_runs: float = math.inf,
    prior_runs: float = PRIOR_RUNS,
) -> Search:
    """Look for the best source.

    Parameters
    ----------
    prior : mapping of str to float
        Expected gain of each source, a fraction.
    look : callable
        Takes pairs of a source and the number of a rung, to be run side by side where that is possible, and gives
        the gains of these runs, fractions: NaN where one failed, None where the time is up, which ends the search.
    rungs : sequence of Rung
        From the shortest run to the full one, each about `REDUCTION` times as long as the one before.
    budget_runs
        Full runs that may be spent.
    prior_runs
        Full runs that the prior is worth; 0: it gives the order alone.

    Raises
    ------
    InputError
        No sources.
    """
    if not prior:
        raise InputError("no sources to search (expected at least one)")
    seen = _Seen(prior, rungs, prior_runs)
    halving = _Halving(rungs)
    spent = 0.0

    def affordable(sources: Sequence[str]) -> list[tuple[str, int]]:
        """Those whose next look the rest of the budget pays, together."""
        found, cost = list[tuple[str, int]](), spent
        for source in sources:
            rung = seen.rung(source)
            if cost + rungs[rung].cost <= budget_runs + 1e-9:
                cost += rungs[rung].cost
                found.append((source, rung))
        return found

    goes_on = seen.unfinished()[: _width(len(prior), rungs, budget_runs)]
    gains: Sequence[float | None] = ()
    while None not in gains and (batch := affordable(goes_on) or affordable(seen.unfinished())[:1]):
        gains = look(batch)
        goes_on = []
        for (source, rung), gain in zip(batch, gains, strict=True):
            if gain is None:
                continue
            spent += rungs[rung].cost
            seen.gains[source].append(float(gain))
            if halving.goes_on(source, rung, seen.standing(source)):
                goes_on.append(source)
    return Search(seen.ranking(), spent)


def _width(sources: int, rungs: Sequence[Rung], budget_runs: float) -> int:
    """How many sources begin: as many as the budget carries through the halving, or `BREADTH`."""

    def cost(n: int) -> float:
        return sum(rung.cost * max(1, n // REDUCTION**k) for k, rung in enumerate(rungs))

    carried = [n for n in range(1, sources + 1) if cost(n) <= budget_runs]
    return max([BREADTH, *carried])


@dataclass
class _Seen:
    """The looks so far."""

    prior: Mapping[str, float]
    rungs: Sequence[Rung]
    prior_runs: float
    gains: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gains = {source: [] for source in self.prior}

    def rung(self, source: str) -> int:
        """The next rung of a source."""
        return len(self.gains[source])

    def failed(self, source: str) -> bool:
        return any(map(math.isnan, self.gains[source]))

    def standing(self, source: str) -> float:
        """What sources of one rung are compared by."""
        seen = self.gains[source]
        worth = self.rungs[len(seen) - 1].worth if seen else 0.0
        total = self.prior_runs + worth
        return (
            (self.prior_runs * self.prior[source] + worth * seen[-1]) / total
            if seen
            else self.prior[source]
        )

    def expected(self, source: str) -> float:
        """The same with the prior at this target's level: how far the first looks were above it on average."""
        above = [g[0] - self.prior[s] for s, g in self.gains.items() if g and not self.failed(s)]
        level = sum(above) / len(above) if above else 0.0
        seen = self.gains[source]
        worth = self.rungs[len(seen) - 1].worth if seen else 0.0
        share = self.prior_runs / (self.prior_runs + worth) if seen else 1.0
        return self.standing(source) + share * level

    def unfinished(self) -> list[str]:
        """Sources that could still be looked at, those of which most is expected first."""
        left = [s for s in self.prior if self.rung(s) < len(self.rungs) and not self.failed(s)]
        return sorted(left, key=lambda source: -self.expected(source))

    def ranking(self) -> tuple[Candidate, ...]:
        candidates = []
        for source, prior in self.prior.items():
            gains = tuple(self.gains[source])
            if self.failed(source):
                state = "failed"
            elif gains:
                state = "finished" if len(gains) == len(self.rungs) else "short"
            else:
                state = "not tried"
            candidates.append(Candidate(source, prior, gains, self.expected(source), state))
        return tuple(sorted(candidates, key=lambda c: (c.state == "failed", -c.expected)))


class _Halving:
    """Optuna's pruner, asked source by source."""

    def __init__(self, rungs: Sequence[Rung]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        self._last = len(rungs) - 1
        self._trials: dict[str, Any] = {}

    def goes_on(self, source: str, rung: int, expected: float) -> bool:
        """Whether a source is worth a look at the next rung."""
        trial = self._trials.setdefault(source, None) or self._study.ask()
        self._trials[source] = trial
        if math.isnan(expected):
            return False
        # The pruner counts its rungs by powers of the reduction.
        trial.report(expected, step=REDUCTION**rung)
        return rung < self._last and not trial.should_prune()
