"""Ways to train one target, compared over seeds: scores from the run store, and the one to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transfer_meta.runs.plan import Plan
from transfer_meta.runs.store.run_store import Store
from transfer_meta.runs.store.schema import Run

INTERVAL = 0.95
"""Coverage of the intervals of differences over seeds."""


@dataclass(frozen=True)
class Trial:
    """One way to train the target: alone or with sources, with each of the seeds.

    Parameters
    ----------
    method, source : str
        As in outcomes (`transfer_meta.runs.plan.label`).
    encoder : str
    keys : tuple of str
        Keys of its runs, by seed.
    needed : tuple of str
        Keys of all runs that these start from, themselves included.
    """

    method: str
    source: str
    encoder: str
    keys: tuple[str, ...]
    needed: tuple[str, ...]


@dataclass(frozen=True)
class TrialScores:
    """Scores of a trial, by seed; empty if not all of its runs are done.

    Parameters
    ----------
    trial : Trial
    dev, test : tuple of float
        Scores on 0-1 by seed: on the examples held out of train, and on the split that the runs are scored on.
    seconds : float
        Time of its runs, those on the sources included.
    reason : str
        Why a run failed; empty if none did.
    """

    trial: Trial
    dev: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""

    @property
    def mean_dev(self) -> float:
        """Mean dev score over the seeds; NaN if not all runs are done."""
        return float(np.mean(self.dev)) if self.dev else math.nan

    @property
    def best_seed(self) -> int:
        """Place of the seed with the highest dev score, the first among equals."""
        return int(np.argmax(self.dev))


def find_trials(plan: Plan) -> list[Trial]:
    """Return the ways of a plan to train its only target; without sources first.

    Parameters
    ----------
    plan : Plan
        Of one target and one regime.
    """
    target = plan.file.targets[0]
    runs = {run.key: run for run in plan.runs}
    groups: dict[tuple[str, str], list[str]] = {}
    for run in sorted(plan.runs, key=lambda run: run.seed):
        if run.target == target:
            groups.setdefault((run.method, run.source), []).append(run.key)

    def with_starts(keys: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for key in keys:
            start: str | None = key
            while start is not None:
                found[start] = None
                start = runs[start].start_key
        return tuple(found)

    trials = [
        Trial(method, source, plan.file.encoder, tuple(keys), with_starts(keys))
        for (method, source), keys in groups.items()
    ]
    return sorted(trials, key=lambda trial: trial.method != "single")


def read_scores(store: Store, trial: Trial) -> TrialScores:
    """Return the scores of a trial's runs."""
    rows = {row.key: row for row in store.runs(keys=trial.needed)}
    failed = [rows[key].reason for key in trial.needed if rows[key].status == "failed"]
    runs = [rows[key] for key in trial.keys]
    if failed or any(run.status != "done" for run in runs):
        return TrialScores(trial, reason=failed[0] if failed else "")
    return TrialScores(
        trial,
        dev=tuple(dev_score(store, run) for run in runs),
        test=tuple(float(run.score or 0.0) for run in runs),
        seconds=sum(row.seconds or 0.0 for row in rows.values()),
    )


def dev_score(store: Store, run: Run) -> float:
    """Return the dev score of the weights that a finished run ended with, or its score without a dev split."""
    dev = store.curves(run.id)[run.target].dev_scores
    if not len(dev):
        return float(run.score or 0.0)
    return float(np.nanmax(dev) if run.settings["training"]["checkpoint"] == "best" else dev[-1])


def choose_trial(scores: Sequence[TrialScores]) -> TrialScores:
    """Return the trial with the highest mean dev score, the first among equals; one without scores never wins."""
    return max(scores, key=lambda one: one.mean_dev if one.dev else -math.inf)


def paired_difference(scores: Sequence[float], alone: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean difference over seeds and its 95 % interval by Student's t.

    Parameters
    ----------
    scores, alone : sequence of float
        By seed, the same seeds.

    Returns
    -------
    mean, low, high : float
        The interval is NaN with one seed; all are NaN without scores.

    Examples
    --------
    >>> [round(value, 2) for value in paired_difference([0.8, 0.9, 0.7], [0.7, 0.7, 0.7])]
    [0.1, -0.15, 0.35]
    """
    from scipy.stats import t

    if not scores or len(scores) != len(alone):
        return math.nan, math.nan, math.nan
    differences = np.asarray(scores, dtype=float) - np.asarray(alone, dtype=float)
    mean = float(differences.mean())
    n = len(differences)
    if n < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf((1 + INTERVAL) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half
