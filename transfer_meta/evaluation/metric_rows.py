"""Metrics of predictions with standard deviations and intervals, as rows of the benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets, bootstrap_pooled
from transfer_meta.evaluation.metrics import METRICS, PairPredictions, PairTruth, evaluate
from transfer_meta.predictors import Prediction


def metric_rows(
    truth: PairTruth,
    prediction: Prediction,
    metrics: Sequence[str],
    *,
    targets: Any,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row per metric: ``metric``, ``value``, ``std``, ``ci_low``, ``ci_high`` and ``n``.

    Parameters
    ----------
    truth : PairTruth
        Of n pairs.
    prediction : Prediction
        Out-of-fold, arrays of shape (repeats, n).
    metrics : sequence of str
        Keys of `METRICS`.
    targets : array of shape (n,)
        Target of each pair for the bootstrap; `truth.target` may also distinguish settings.
    seed : int
        Seed of the bootstrap.
    """
    repeats = len(prediction.ranking)
    owner = group_targets(truth.target, targets)
    for metric, values in evaluate(truth, pair_predictions(prediction), metrics).items():
        low, high, n = np.nan, np.nan, truth.target.size
        with warnings.catch_warnings():
            # An undefined metric is NaN.
            warnings.simplefilter("ignore", RuntimeWarning)
            if METRICS[metric].per_target:
                by_group = np.nanmean(values, axis=0)
                n = len(np.unique(owner[~np.isnan(by_group)]))
                low, high = bootstrap_over_targets(by_group, clusters=owner, seed=seed)
                values = np.nanmean(values, axis=1)
            elif repeats == 1:
                single = pair_predictions(Prediction(*(array[0] for array in prediction)))
                low, high = bootstrap_pooled(metric, truth, single, clusters=targets, seed=seed)
            value = float(np.nanmean(values))
            std = float(np.nanstd(values)) if repeats > 1 else np.nan
        yield {"metric": metric, "value": value, "std": std, "ci_low": low, "ci_high": high, "n": n}


def target_values(
    truth: PairTruth, prediction: Prediction, metric: str, *, targets: Any
) -> dict[str, float]:
    """Return a per-target metric by target, averaged over repeats and settings; NaN where undefined."""
    values = evaluate(truth, pair_predictions(prediction), [metric]).get(metric)
    owner = group_targets(truth.target, targets)
    if values is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        by_group = np.nanmean(values, axis=0)
        return {str(name): float(np.nanmean(by_group[owner == name])) for name in np.unique(owner)}


def group_targets(groups: Any, targets: Any) -> Any:
    """Return the target of each group of pairs, groups sorted by name."""
    owner = dict(zip(groups, targets, strict=True))
    return np.array([owner[group] for group in np.unique(groups)], dtype=object)


def pair_predictions(prediction: Prediction) -> PairPredictions:
    """Return predictions with labels, 1 for a probability above 0.5."""
    return PairPredictions(
        label=(prediction.probability > 0.5).astype(float),
        probability=prediction.probability,
        ranking=prediction.ranking,
    )
