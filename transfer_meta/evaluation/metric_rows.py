"""Figures of predictions: every metric with its spread."""

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
    """One row a metric: ``metric``, ``value``, ``std``, ``ci_low``, ``ci_high`` and ``n``.

    Parameters
    ----------
    truth
        Of n pairs.
    prediction
        Out-of-fold, arrays of shape (repeats, n).
    metrics
        Keys of `METRICS`.
    targets : array of shape (n,)
        Target of each pair: what the bootstrap draws, also where `truth.target` tells settings apart.
    seed : int
        Seed of the bootstrap.
    """
    repeats = len(prediction.ranking)
    owner = group_targets(truth.target, targets)
    for metric, values in evaluate(truth, pair_predictions(prediction), metrics).items():
        low, high, n = np.nan, np.nan, truth.target.size
        with warnings.catch_warnings():
            # A metric that is undefined throughout is NaN; that is its figure, not news.
            warnings.simplefilter("ignore", RuntimeWarning)
            if METRICS[metric].per_target:
                # The settings of one target are no independent draws: the bootstrap draws targets.
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
    """A per-target metric by target: its mean over repeats and over the target's settings, NaN where undefined."""
    values = evaluate(truth, pair_predictions(prediction), [metric]).get(metric)
    owner = group_targets(truth.target, targets)
    if values is None:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        by_group = np.nanmean(values, axis=0)
        return {str(name): float(np.nanmean(by_group[owner == name])) for name in np.unique(owner)}


def group_targets(groups: Any, targets: Any) -> Any:
    """Target of each group of pairs, the groups sorted by name."""
    owner = dict(zip(groups, targets, strict=True))
    return np.array([owner[group] for group in np.unique(groups)], dtype=object)


def pair_predictions(prediction: Prediction) -> PairPredictions:
    """Predictions as metrics take them: with the label that the probability stands for."""
    return PairPredictions(
        label=(prediction.probability > 0.5).astype(float),
        probability=prediction.probability,
        ranking=prediction.ranking,
    )
