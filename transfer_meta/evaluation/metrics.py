"""Registry of metrics, and scoring of predictions.

Metrics are *pooled* (over all pairs) or *per target* (one value per target, averaged afterwards).  A metric that is
undefined for a target or a repeat is NaN there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import unknown
from transfer_meta.evaluation import classification, ranking
from transfer_meta.records import FloatArray

MetricFunction = Callable[..., FloatArray]


@dataclass(frozen=True)
class PairTruth:
    """Measured values of n pairs.

    Parameters
    ----------
    target : array of shape (n,)
        Group within which rankings are scored.
    gain : array of shape (n,) or None
        Relative gain, a fraction; None for scores without baselines, which allow ranking metrics only.
    score : array of shape (n,) or None
        Score with the source; if None, 1 + gain (the score in units of the baseline) is used, which gives the same
        regrets.
    """

    target: NDArray[Any]
    gain: FloatArray | None = None
    score: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.gain is None and self.score is None:
            raise ValueError("neither gains nor scores are given")

    def values(self, kind: str) -> FloatArray | None:
        """Return the measured values of a kind (``label``, ``rank`` or ``score``), or None if unknown."""
        if kind == "label":
            return None if self.gain is None else (self.gain > 0).astype(float)
        if kind == "rank":
            return self.score if self.gain is None else self.gain
        return self.score if self.score is not None or self.gain is None else 1 + self.gain


@dataclass(frozen=True)
class PairPredictions:
    """Predictions for n pairs: arrays of shape (n,), or (repeats, n) for a shuffled protocol.

    Parameters
    ----------
    label : array or None
        Predicted class, 1 for gain.
    probability : array or None
        Probability of gain.
    ranking : array or None
        A probability, a margin or an expected gain; higher is better.
    """

    label: NDArray[Any] | None = None
    probability: FloatArray | None = None
    ranking: FloatArray | None = None


@dataclass(frozen=True)
class Metric:
    """A metric and its inputs.

    Parameters
    ----------
    function : callable
        ``function(truth, prediction)`` over the last axis.
    title : str
        Description for tables and reports.
    truth : {"label", "rank", "score"}
        Measured value to pass: gain or not; gain, or score if gains are unknown; score, or 1 + gain.
    prediction : {"label", "probability", "ranking"}
        Array of `PairPredictions` to pass.
    per_target : bool
        Scored within each target; otherwise over all pairs.
    higher_is_better : bool
    """

    function: MetricFunction
    title: str
    truth: Literal["label", "rank", "score"] = "rank"
    prediction: Literal["label", "probability", "ranking"] = "ranking"
    per_target: bool = True
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        classification.accuracy, "share of pairs labelled right", "label", "label", per_target=False
    ),
    "f1": Metric(classification.f1, "F1 of the class gain", "label", "label", per_target=False),
    "auroc": Metric(
        classification.auroc, "area under the ROC curve, all pairs", "label", per_target=False
    ),
    "auroc_within_target": Metric(
        classification.auroc, "area under the ROC curve within a target", "label"
    ),
    "brier": Metric(
        classification.brier, "Brier score", "label", "probability", per_target=False, higher_is_better=False
    ),
    "log_loss": Metric(
        classification.log_loss, "log loss, nats", "label", "probability", per_target=False, higher_is_better=False
    ),
    "ece": Metric(
        classification.calibration_error, "expected calibration error, ten bins", "label", "probability",
        per_target=False, higher_is_better=False,
    ),
    "spearman": Metric(ranking.spearman, "Spearman's rank correlation"),
    "ndcg": Metric(ranking.ndcg, "NDCG, linear gains"),
    "ndcg_exp": Metric(ranking.ndcg_exp, "NDCG, gains 2^(n-rank)-1"),
    "ndcg@3": Metric(partial(ranking.ndcg, k=3), "NDCG of three picks, linear gains"),
    "ndcg@3_langrank": Metric(ranking.ndcg_langrank, "NDCG of three picks, gains 2^rel-1"),
    "regret@1": Metric(
        partial(ranking.regret, k=1), "the pick against the best source", "score", higher_is_better=False
    ),
    "regret@3": Metric(
        partial(ranking.regret, k=3), "best of 3 picks against the best", "score", higher_is_better=False
    ),
    "regret@5": Metric(
        partial(ranking.regret, k=5), "best of 5 picks against the best", "score", higher_is_better=False
    ),
    "regret_mean@5": Metric(
        ranking.regret_mean, "mean of 5 picks against the best 5's", "score", higher_is_better=False
    ),
    "mean_rank": Metric(ranking.mean_rank, "true rank of the pick", higher_is_better=False),
    "hit@1": Metric(ranking.hit, "the pick is the best source"),
}  # fmt: skip


def evaluate(
    truth: PairTruth, predictions: PairPredictions, metrics: Iterable[str] = METRICS
) -> dict[str, FloatArray]:
    """Score predictions.

    Parameters
    ----------
    truth, predictions
        Of the same n pairs; predictions may be stacked to (repeats, n).
    metrics : iterable of str
        Keys of `METRICS`.

    Returns
    -------
    dict of str to array
        A pooled metric has shape () or (repeats,), a per-target one (targets,) or (repeats, targets), targets
        sorted by name.  A metric is absent if its measured value or its prediction is unknown, and NaN where it is
        undefined (see its function), where a prediction is NaN, and for a target with a single source.

    Raises
    ------
    InputError
        A key that is not in `METRICS`.

    Examples
    --------
    >>> truth = PairTruth(np.array(["a", "a", "b", "b"]), gain=np.array([0.1, -0.1, 0.2, 0.1]))
    >>> values = evaluate(truth, PairPredictions(ranking=np.array([2.0, 1.0, 1.0, 2.0])))
    >>> values["hit@1"].tolist()
    [1.0, 0.0]
    """
    values = {}
    for key in metrics:
        if key not in METRICS:
            raise unknown("metric", key, METRICS)
        metric = METRICS[key]
        measured, predicted = truth.values(metric.truth), getattr(predictions, metric.prediction)
        if measured is None or predicted is None:
            continue
        predicted = np.asarray(predicted, dtype=float)
        if metric.per_target:
            values[key] = within_groups(_guarded(metric), truth.target, measured, predicted)
        else:
            values[key] = _guarded(metric)(measured, predicted)
    return values


def within_groups(
    function: MetricFunction, groups: NDArray[Any], truth: FloatArray, prediction: FloatArray
) -> FloatArray:
    """Apply a metric to each group of pairs, groups of one size in one call.

    Parameters
    ----------
    function : callable
        Metric over the last axis.
    groups : array of shape (n,)
        Group of each pair, such as its target.
    truth, prediction : array of shape (..., n)

    Returns
    -------
    array of shape (..., number of groups)
        In the sorted order of the groups.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    members = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    values = np.full((*np.broadcast_shapes(truth.shape, prediction.shape)[:-1], len(sizes)), np.nan)
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        index = members[starts[of_size, None] + np.arange(size)]
        values[..., of_size] = function(truth[..., index], prediction[..., index])
    return values


def _guarded(metric: Metric) -> MetricFunction:
    """Wrap the metric's function: NaN where a prediction is NaN or a target has a single source."""

    def function(truth: FloatArray, prediction: FloatArray) -> FloatArray:
        undefined = np.isnan(prediction).any(axis=-1)
        if metric.per_target and prediction.shape[-1] < 2:
            undefined = np.ones_like(undefined)
        return np.where(undefined, np.nan, metric.function(truth, prediction))

    return function
