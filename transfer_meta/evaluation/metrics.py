"""The registry of metrics, and the one function that scores predictions with them.

Metrics are *pooled* (over all pairs) or *per target* (a value a target, whose mean is the figure).  A
metric that is undefined for a target or a repeat is NaN there, never left out silently.
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
    """What was measured for each pair.

    Parameters
    ----------
    target : array of shape (n,)
        The pair's target; rankings are scored within it.
    gain : array of shape (n,) or None
        Relative gain, a fraction; None where only scores are known: then only rankings can be scored.
    score : array of shape (n,) or None
        Score with the source.  None where only gains are known: 1 + gain then stands for it, the
        score in units of the target's baseline, which leaves every regret as it is.
    """

    target: NDArray[Any]
    gain: FloatArray | None = None
    score: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.gain is None and self.score is None:
            raise ValueError("neither gains nor scores are given")

    def values(self, kind: str) -> FloatArray | None:
        """Truth of one kind (``label``, ``rank`` or ``score``), or None where it is not known."""
        if kind == "label":
            return None if self.gain is None else (self.gain > 0).astype(float)
        if kind == "rank":
            return self.score if self.gain is None else self.gain
        return self.score if self.score is not None or self.gain is None else 1 + self.gain


@dataclass(frozen=True)
class PairPredictions:
    """What was predicted for each pair: arrays of shape (n,), or (repeats, n) for a repeated protocol.

    Parameters
    ----------
    label : array or None
        Predicted class, 1 for gain.
    probability : array or None
        Probability of gain.
    ranking : array or None
        Higher is better: a probability, a margin or an expected gain.
    """

    label: NDArray[Any] | None = None
    probability: FloatArray | None = None
    ranking: FloatArray | None = None


@dataclass(frozen=True)
class Metric:
    """One metric: what it is called, what it needs and what computes it.

    Parameters
    ----------
    function
        ``function(truth, prediction)`` over the last axis.
    truth
        The truth it is given: ``label`` (gain or not), ``rank`` (gain, or score where no gain is known)
        or ``score`` (score, or 1 + gain).
    prediction
        The `PairPredictions` array it is given.
    per_target : bool
        Scored within each target; otherwise over all pairs.
    higher_is_better : bool
    title : str
        What it says, for tables and reports.
    """

    function: MetricFunction
    truth: Literal["label", "rank", "score"]
    prediction: Literal["label", "probability", "ranking"]
    per_target: bool
    higher_is_better: bool
    title: str


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        classification.accuracy, "label", "label", False, True, "share of pairs labelled right"
    ),
    "f1": Metric(classification.f1, "label", "label", False, True, "F1 of the class gain"),
    "auroc": Metric(
        classification.auroc, "label", "ranking", False, True, "area under the ROC curve, all pairs"
    ),
    "auroc_within_target": Metric(
        classification.auroc, "label", "ranking", True, True, "area under the ROC curve within a target"
    ),
    "brier": Metric(classification.brier, "label", "probability", False, False, "Brier score"),
    "log_loss": Metric(classification.log_loss, "label", "probability", False, False, "log loss, nats"),
    "ece": Metric(
        classification.calibration_error,
        "label",
        "probability",
        False,
        False,
        "expected calibration error, ten bins",
    ),
    "spearman": Metric(ranking.spearman, "rank", "ranking", True, True, "Spearman's rank correlation"),
    "ndcg": Metric(ranking.ndcg, "rank", "ranking", True, True, "NDCG, linear gains"),
    "ndcg_exp": Metric(ranking.ndcg_exp, "rank", "ranking", True, True, "NDCG, gains 2^(n-rank)-1"),
    "ndcg@3": Metric(
        partial(ranking.ndcg, k=3), "rank", "ranking", True, True, "NDCG of three picks, linear gains"
    ),
    "ndcg@3_langrank": Metric(
        ranking.ndcg_langrank, "rank", "ranking", True, True, "NDCG of three picks, gains 2^rel-1"
    ),
    "regret@1": Metric(
        partial(ranking.regret, k=1),
        "score",
        "ranking",
        True,
        False,
        "the pick against the best source",
    ),
    "regret@3": Metric(
        partial(ranking.regret, k=3),
        "score",
        "ranking",
        True,
        False,
        "best of 3 picks against the best",
    ),
    "regret@5": Metric(
        partial(ranking.regret, k=5),
        "score",
        "ranking",
        True,
        False,
        "best of 5 picks against the best",
    ),
    "regret_mean@5": Metric(
        ranking.regret_mean, "score", "ranking", True, False, "mean of 5 picks against the best 5's"
    ),
    "mean_rank": Metric(ranking.mean_rank, "rank", "ranking", True, False, "true rank of the pick"),
    "hit@1": Metric(ranking.hit, "rank", "ranking", True, True, "the pick is the best source"),
}


def evaluate(
    truth: PairTruth, predictions: PairPredictions, metrics: Iterable[str] = METRICS
) -> dict[str, FloatArray]:
    """Score predictions.

    Parameters
    ----------
    truth, predictions
        Over the same n pairs; predictions may be stacked to (repeats, n), which costs hardly more.
    metrics : iterable of str
        Keys of `METRICS`.

    Returns
    -------
    dict of str to array
        A pooled metric has shape () or (repeats,), a per-target one (targets,) or (repeats, targets),
        targets sorted by name.  A metric is absent where its truth or its prediction is not known, and
        NaN where it is undefined (see its function), where a prediction that enters it is NaN, and for
        a target with a single source, where there is nothing to choose.

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
    function
        Metric over the last axis.
    groups : array of shape (n,)
        For example the target, or the fold, of each pair.
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
    """The metric's function, NaN where a prediction is NaN or a target leaves no choice."""

    def function(truth: FloatArray, prediction: FloatArray) -> FloatArray:
        undefined = np.isnan(prediction).any(axis=-1)
        if metric.per_target and prediction.shape[-1] < 2:
            undefined = np.ones_like(undefined)
        return np.where(undefined, np.nan, metric.function(truth, prediction))

    return function
