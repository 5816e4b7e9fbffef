"""Noise ceiling of ranking metrics: how well one half of the seeds predicts the other.

A ranking of sources measured with few seeds is partly noise, which no predictor can foresee; runs of the same pairs
with other seeds are the reference.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.metric_rows import group_targets
from transfer_meta.evaluation.metrics import METRICS, PairTruth, within_groups
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.records import FloatArray

N_SPLITS = 20
SPLIT_HALF, SPEARMAN_BROWN = "split-half", "Spearman-Brown"
CEILING_COLUMNS = ("n_seeds", "how", "metric", "value", "ci_low", "ci_high", "n")


def noise_ceiling(
    table: OutcomeTable, metrics: Iterable[str] = METRICS, *, splits: int = N_SPLITS, seed: int = 0
) -> pd.DataFrame:
    """Score the ranking by m seeds against the outcomes of m others, for every m that the table allows.

    Parameters
    ----------
    table : OutcomeTable
        Of the pairs with several runs, those with fewer than the most frequent number are left out.  Of a table of
        means the ceiling that ships with it is returned.
    metrics : iterable of str
        Keys of `METRICS`; pooled ones are left out.
    splits : int
        Number of random splits of the seeds; each is scored in both directions.
    seed : int
        Seed of the splits and of the bootstrap.

    Returns
    -------
    DataFrame
        ``n_seeds`` (m), ``how`` (``split-half``: measured; ``Spearman-Brown``: Spearman's correlation extrapolated
        from the largest measured m up to the number of seeds in the table), ``metric``, ``value`` (mean over
        targets, settings and splits), ``ci_low`` and ``ci_high`` (95 %, bootstrap over targets), ``n`` (targets).
        Empty if no pair has two runs.

    Notes
    -----
    The extrapolation (`spearman_brown`, per target) assumes noise of equal size in all runs; collapsed runs make
    the true correlation smaller, as the values at m = 1, 2, … show.  The correlation of the expected gains with
    the measured ones is about the square root of that of two measurements, so a predictor can exceed the ceiling.

    References
    ----------
    Spearman 1910, "Correlation calculated from faulty data".
    Brown 1910, "Some experimental results in the correlation of mental abilities".
    """
    if len(table.ceiling):
        known = table.ceiling
        return known[known["metric"].isin(list(metrics))].reset_index(drop=True)
    values, index = _repeated_runs(table)
    if not len(index):
        return pd.DataFrame(columns=list(CEILING_COLUMNS))
    groups = (index["target"] + " | " + index["setting"]).to_numpy(dtype=object)
    owner = group_targets(groups, index["target"].to_numpy(dtype=object))
    most = next(iter(values.values())).shape[1]
    random = np.random.default_rng(seed)
    shuffled = np.array([random.permutation(most) for _ in range(splits)])
    chosen = [m for m in metrics if METRICS[m].per_target]
    rows = []
    for m in range(1, most // 2 + 1):
        halves = np.vstack([shuffled[:, :m], shuffled[:, m : 2 * m]])
        predicting = {name: runs[:, halves].mean(axis=-1).T for name, runs in values.items()}
        measured = {name: np.roll(means, splits, axis=0) for name, means in predicting.items()}
        scores = _scores(groups, predicting, measured, chosen)
        rows += [(m, SPLIT_HALF, metric, *_spread(s, owner, seed)) for metric, s in scores.items()]
    if "spearman" in scores:
        for m in range(most // 2 + 1, most + 1):
            stepped = spearman_brown(scores["spearman"], m / (most // 2))
            rows.append((m, SPEARMAN_BROWN, "spearman", *_spread(stepped, owner, seed)))
    return pd.DataFrame(rows, columns=list(CEILING_COLUMNS))


def spearman_brown(reliability: ArrayLike, factor: float) -> FloatArray:
    """Return the reliability with `factor` times as many measurements: f·r / (1 + (f − 1)·|r|).

    The absolute value makes the formula odd, so that noise around 0 keeps the mean 0.

    Examples
    --------
    >>> spearman_brown([0.5, -0.5, 1.0], 2).round(3).tolist()
    [0.667, -0.667, 1.0]
    """
    r = np.asarray(reliability, dtype=float)
    return factor * r / (1 + (factor - 1) * np.abs(r))


def _spread(by_group: FloatArray, owner: Any, seed: int) -> tuple[float, float, float, int]:
    """Return the mean over groups, its interval over targets, and the number of targets with a value."""
    known = ~np.isnan(by_group)
    low, high = bootstrap_over_targets(by_group, clusters=owner, seed=seed)
    mean = float(by_group[known].mean()) if known.any() else np.nan
    return mean, low, high, len(np.unique(owner[known]))


def _scores(
    groups: Any, predicting: dict[str, FloatArray], measured: dict[str, FloatArray], metrics: list[str]
) -> dict[str, FloatArray]:
    """Return each metric by group, averaged over splits."""
    truth = PairTruth(groups, gain=measured.get("gain"), score=measured.get("score"))
    ranking = predicting["gain" if "gain" in predicting else "score"]
    _, sizes = np.unique(groups, return_counts=True)
    found = {}
    for metric in metrics:
        wanted = truth.values(METRICS[metric].truth)
        if wanted is None:
            continue
        scores = within_groups(METRICS[metric].function, groups, wanted, ranking)
        scores = np.where(sizes < 2, np.nan, scores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found[metric] = np.nanmean(scores, axis=0)
    return found


def _repeated_runs(table: OutcomeTable) -> tuple[dict[str, FloatArray], pd.DataFrame]:
    """Return gains and scores, shape (pairs, seeds), and the pairs that have the most frequent number of runs."""
    key = ["setting", "source", "target"]
    runs = table.runs
    if "seed" in runs:
        # Any order that is the same for all pairs.
        runs = runs.iloc[np.argsort(runs["seed"].astype(str).to_numpy(), kind="stable")]
    groups = runs.groupby(key)
    place, size = groups.cumcount(), groups["source"].transform("size")
    sizes = groups.size()
    if (sizes < 2).all():
        return {}, pd.DataFrame(columns=key)
    usual = int(sizes[sizes > 1].mode().max())
    kept = runs[(size >= usual) & (place < usual)].assign(place=place)
    kept = kept.sort_values([*key, "place"])
    columns = [c for c in ("gain", "score") if c in kept]
    values = {c: kept[c].to_numpy(dtype=float).reshape(-1, usual) for c in columns}
    index = kept[key].iloc[::usual].reset_index(drop=True)
    known = np.all([np.isfinite(v).all(axis=1) for v in values.values()], axis=0)
    return {c: v[known] for c, v in values.items()}, index[known].reset_index(drop=True)
