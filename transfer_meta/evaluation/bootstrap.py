"""Bootstrap intervals over targets.

Targets, not pairs, are resampled, since the pairs of a target share its baseline and its features and are not
independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.evaluation.metrics import METRICS, PairPredictions, PairTruth
from transfer_meta.records import FloatArray

Interval = tuple[float, float]


def bootstrap_over_targets(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of the mean of a per-target metric.

    Parameters
    ----------
    values : array of shape (n,)
        One value per target, or per target and setting; NaN is ignored.
    clusters : array of shape (n,), optional
        Target of each value, if a target has several; they are drawn together.
    resamples : int
        Number of resamples.
    level : float
        Share of the resampled means inside the interval.

    Returns
    -------
    low, high : float
        NaN with fewer than two targets with a defined value.

    References
    ----------
    Efron & Tibshirani 1993, "An Introduction to the Bootstrap".
    """
    every = np.asarray(values, dtype=float)
    known = ~np.isnan(every)
    targets = np.arange(len(every)) if clusters is None else np.asarray(clusters)
    names, target = np.unique(targets[known], return_inverse=True)
    if len(names) < 2:
        return np.nan, np.nan
    weight = target_draws(len(names), resamples, seed)[:, target]
    return _percentiles(weight @ every[known] / weight.sum(axis=1), level)


def bootstrap_pooled(
    key: str,
    truth: PairTruth,
    predictions: PairPredictions,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of a pooled metric over resampled targets.

    Parameters
    ----------
    key : str
        A pooled metric of `METRICS`.
    truth, predictions
        As in `evaluate`, without repeats.
    clusters : array of shape (n,), optional
        Target of each pair, if `truth.target` also distinguishes settings.

    Returns
    -------
    low, high : float
        NaN with fewer than two targets; resamples in which the metric is undefined are ignored.
    """
    metric = METRICS[key]
    measured, predicted = truth.values(metric.truth), getattr(predictions, metric.prediction)
    names, target = np.unique(truth.target if clusters is None else clusters, return_inverse=True)
    if metric.per_target or measured is None or predicted is None:
        raise ValueError(f"'{key}' is no pooled metric of these predictions")
    if len(names) < 2 or np.isnan(np.asarray(predicted, dtype=float)).any():
        return np.nan, np.nan
    weight = target_draws(len(names), resamples, seed)[:, target]
    values = metric.function(measured, predicted, weight=weight)
    values = values[~np.isnan(values)]
    return _percentiles(values, level) if len(values) else (np.nan, np.nan)


def target_draws(n: int, resamples: int, seed: int) -> FloatArray:
    """Return how often each of n targets is drawn with replacement, shape (resamples, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


def _percentiles(values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
