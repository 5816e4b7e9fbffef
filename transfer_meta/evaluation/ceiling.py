"""The noise ceiling: how well one half of the seeds predicts the other.

A ranking of sources that was measured with few seeds is partly noise, and nobody can predict noise.  What runs of
the same pairs with other seeds reach is what a predictor is to be compared with.
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

SPLITS = 20
SPLIT_HALF, SPEARMAN_BROWN = "split-half", "Spearman-Brown"
CEILING_COLUMNS = ("n_seeds", "how", "metric", "value", "ci_low", "ci_high", "n")


def noise_ceiling(
    table: OutcomeTable, metrics: Iterable[str] = METRICS, *, splits: int = SPLITS, seed: int = 0
) -> pd.DataFrame:
    """Ranking metrics of a ranking by m seeds against the truth of m others, for every m the table allows.

    Parameters
    ----------
    table
        Outcomes.  Pairs with fewer runs than most of those that were repeated are left out.
    metrics : iterable of str
        Keys of `METRICS`; those that are not scored within a target are left out.
    splits : int
        Random splits of the seeds; each is scored in both directions.
    seed : int
        Seed of the splits and of the bootstrap.

    Returns
    -------
    DataFrame
        ``n_seeds`` (m: behind the ranking, and as many behind the truth), ``how`` (``split-half``: measured;
        ``Spearman-Brown``: Spearman's correlation stepped up from the largest m that was measured to as many
        seeds as the table has), ``metric``, ``value`` (mean over targets, settings and splits), ``ci_low`` and
        ``ci_high`` (95 %, bootstrap over targets), ``n`` (targets).  Empty where no pair has two runs.

    Notes
    -----
    A correlation r of two rankings by m seeds each becomes f·r / (1 + (f − 1)·r) with f·m seeds each, target by
    target, where the seeds' noise is alike throughout.  Runs that collapse make it less than that: what is
    measured with 1, 2, … seeds shows how far the formula holds on a table.  A predictor that knew every pair's
    expected gain would do better than a second measurement: its correlation with the measured truth is about the
    square root of that of two measurements.

    Source: Spearman 1910, "Correlation calculated from faulty data"; Brown 1910, "Some experimental results in the
    correlation of mental abilities".
    """
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
        # Each half predicts the other.
        measured = {name: np.roll(means, splits, axis=0) for name, means in predicting.items()}
        scores = _scores(groups, predicting, measured, chosen)
        rows += [(m, SPLIT_HALF, metric, *_spread(s, owner, seed)) for metric, s in scores.items()]
    if "spearman" in scores:
        for m in range(most // 2 + 1, most + 1):
            stepped = spearman_brown(scores["spearman"], m / (most // 2))
            rows.append((m, SPEARMAN_BROWN, "spearman", *_spread(stepped, owner, seed)))
    return pd.DataFrame(rows, columns=list(CEILING_COLUMNS))


def spearman_brown(reliability: ArrayLike, factor: float) -> FloatArray:
    """Reliability with `factor` times as many measurements: f·r / (1 + (f − 1)·|r|).

    Below 0, where the formula has no meaning, it is continued symmetrically: the mean of reliabilities that are
    noise about 0 stays there.

    Examples
    --------
    >>> spearman_brown([0.5, -0.5, 1.0], 2).round(3).tolist()
    [0.667, -0.667, 1.0]
    """
    r = np.asarray(reliability, dtype=float)
    return factor * r / (1 + (factor - 1) * np.abs(r))


def _spread(by_group: FloatArray, owner: Any, seed: int) -> tuple[float, float, float, int]:
    """Mean over groups, its interval over targets, and the number of targets where it is defined."""
    known = ~np.isnan(by_group)
    low, high = bootstrap_over_targets(by_group, clusters=owner, seed=seed)
    mean = float(by_group[known].mean()) if known.any() else np.nan
    return mean, low, high, len(np.unique(owner[known]))


def _scores(
    groups: Any, predicting: dict[str, FloatArray], measured: dict[str, FloatArray], metrics: list[str]
) -> dict[str, FloatArray]:
    """Each metric by group, mean over splits."""
    truth = PairTruth(groups, gain=measured.get("gain"), score=measured.get("score"))
    ranking = predicting["gain" if "gain" in predicting else "score"]
    _, sizes = np.unique(groups, return_counts=True)
    found = {}
    for metric in metrics:
        wanted = truth.values(METRICS[metric].truth)
        if wanted is None:
            continue
        scores = within_groups(METRICS[metric].function, groups, wanted, ranking)
        # A target with a single source leaves no choice.
        scores = np.where(sizes < 2, np.nan, scores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found[metric] = np.nanmean(scores, axis=0)
    return found


def _repeated_runs(table: OutcomeTable) -> tuple[dict[str, FloatArray], pd.DataFrame]:
    """Gains and scores, shape (pairs, seeds), of the pairs that have as many runs as most; and those pairs."""
    key = ["setting", "source", "target"]
    runs = table.runs
    if "seed" in runs:
        # The order of the seeds does not matter, only that it is the same for all pairs.
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
