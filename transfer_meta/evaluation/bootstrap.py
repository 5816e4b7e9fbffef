"""Bootstrap intervals over targets: what would other targets have given?

Targets, not pairs, are drawn with replacement, since the pairs of one target share its baseline and
its features and are no independent observations.
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
    """Percentile interval of the mean of a per-target metric.

    Parameters
    ----------
    values : array of shape (n,)
        One value a target, or a target and setting; NaN (undefined there) is left out.
    clusters : array of shape (n,), optional
        The target of each value, where a target has several: they are drawn together.
    resamples : int
        Number of draws of all targets with replacement.
    level : float
        Share of the resampled means inside the interval.

    Returns
    -------
    low, high : float
        NaN with fewer than two targets that have a defined value.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap".
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
    """Percentile interval of a pooled metric over targets drawn with replacement.

    Parameters
    ----------
    key : str
        A pooled metric of `METRICS`.
    truth, predictions
        As in `evaluate`, without repeats.
    clusters : array of shape (n,), optional
        What is drawn together where that is not `truth.target`: the target of pairs that are ranked within a target
        and a setting.

    Returns
    -------
    low, high : float
        NaN with fewer than two targets, or where the metric is undefined in every draw; draws in which
        it is undefined are left out.
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
    """How often each of n targets is drawn with replacement, shape (resamples, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


def _percentiles(values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
