"""Metrics of the ranking of a target's sources.

`truth` (measured) and `prediction` are better when higher, have shape (..., n) for n sources and broadcast over all
but the last axis.  With tied predictions every metric but Spearman's is the expectation over random orders of the
ties, so that a constant prediction scores like a random one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.evaluation.ranks import average_rank, ratio, tie_span
from transfer_meta.records import FloatArray


def spearman(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """Return Spearman's rank correlation, with average ranks for ties.

    NaN if the truth or the prediction is constant, or with a single source.

    Examples
    --------
    >>> float(spearman([0.1, 0.2, 0.3], [1, 3, 2]))
    0.5
    """
    x, y = (average_rank(v) - (np.shape(v)[-1] + 1) / 2 for v in (truth, prediction))
    return ratio(np.sum(x * y, -1), np.sqrt(np.sum(x**2, -1) * np.sum(y**2, -1)))


def ndcg(truth: ArrayLike, prediction: ArrayLike, *, k: int | None = None) -> FloatArray:
    """Return the normalised discounted cumulative gain with linear gains.

    DCG = Σᵢ (truth of the source in place i − worst truth) / log₂(i + 1), over the first `k` places (None: all),
    divided by the DCG of the true order.  Subtracting the worst truth makes the relevances non-negative.

    Returns
    -------
    array of shape (...)
        0-1, 1 for the true order; NaN if all sources are equally good.

    References
    ----------
    Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".
    """
    truth = np.asarray(truth, dtype=float)
    return _normalised_dcg(truth - truth.min(axis=-1, keepdims=True), prediction, k)


def ndcg_exp(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """Return NDCG with gains 2^(n − rank) − 1, rank 1 the best of n sources.

    Dominated by the best few sources.  Tied truths have their average rank; NaN if all are equal.

    References
    ----------
    Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP".
    """
    rank = average_rank(truth)
    # Scaled by 2^-n, which cancels in the normalisation, against overflow.
    return _normalised_dcg(np.exp2(-rank) - np.exp2(-float(rank.shape[-1])), prediction, None)


def ndcg_langrank(truth: ArrayLike, prediction: ArrayLike, *, k: int = 3) -> FloatArray:
    """Return NDCG over `k` places with gain 2^rel − 1, rel = 10 … 1 for the ten best sources, else 0.

    Tied truths have their average rank; NaN if all are equal.

    References
    ----------
    Lin et al. 2019, "Choosing Transfer Languages for Cross-Lingual Learning" (LangRank).
    """
    relevance = np.maximum(11 - average_rank(truth), 0)
    return _normalised_dcg(np.exp2(relevance) - 1, prediction, k)


def regret(score: ArrayLike, prediction: ArrayLike, *, k: int) -> FloatArray:
    """Return the regret of the best of the first `k` picks: 1 − max(picks) / max(all).

    Parameters
    ----------
    score : array of shape (..., n)
        Score with each source, or 1 + gain, since only ratios within a target matter.

    Returns
    -------
    array of shape (...)
        A fraction of the best score, 0 for `k` ≥ n; NaN if the best score is not positive.

    Notes
    -----
    If t sources tie for the last r places among the picks, none of the a best of them is picked with probability
    C(t − a, r) / C(t, r).

    Examples
    --------
    >>> round(float(regret([0.8, 0.6, 0.4], [1, 2, 3], k=2)), 3)
    0.25
    """
    score, prediction = _pair(score, prediction)
    best_first = np.argsort(-score, axis=-1)
    first, last = (np.take_along_axis(places, best_first, axis=-1) for places in tie_span(prediction))
    ranked = np.take_along_axis(score, best_first, axis=-1)
    edge = (first < k) & (last >= k)
    # Size of the group of ties at the edge, at most one, and the places left for it.
    tied = np.max(np.where(edge, last - first + 1, 0), axis=-1, keepdims=True)
    places = np.max(np.where(edge, k - first, 0), axis=-1, keepdims=True)
    better = np.cumsum(edge, axis=-1)
    missed = np.cumsum(last < k, axis=-1) == 0
    probability = missed.astype(float)
    for place in range(int(places.max(initial=0))):
        factor = np.maximum(tied - better - place, 0) / np.maximum(tied - place, 1)
        probability *= np.where(place < places, factor, 1.0)
    # probability[j]: none of the j + 1 best sources is among the picks.
    is_best_pick = -np.diff(probability, axis=-1, prepend=1.0)
    return 1 - ratio(np.sum(is_best_pick * ranked, axis=-1), ranked[..., 0])


def regret_mean(score: ArrayLike, prediction: ArrayLike, *, k: int = 5) -> FloatArray:
    """Return the regret of the mean of the first `k` picks, a fraction of the mean of the best `k`.

    NaN if the best mean is not positive; 0 with at most `k` sources.

    References
    ----------
    Kim et al. 2023 (TaskShop), regret@5.
    """
    score, prediction = _pair(score, prediction)
    k = min(k, score.shape[-1])
    picked = np.sum(score * _share_of_places(prediction, np.ones(k)), axis=-1)
    return 1 - ratio(picked, np.sum(np.sort(score, axis=-1)[..., ::-1][..., :k], axis=-1))


def mean_rank(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """Return the true rank of the first pick: 1 + the number of strictly better sources."""
    truth, prediction = _pair(truth, prediction)
    rank = tie_span(truth)[0] + 1.0
    return np.sum(rank * _share_of_places(prediction, np.ones(1)), axis=-1)


def hit(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """Return 1 if the first pick is a best source, else 0."""
    truth, prediction = _pair(truth, prediction)
    best = truth == truth.max(axis=-1, keepdims=True)
    return np.sum(best * _share_of_places(prediction, np.ones(1)), axis=-1)


def _share_of_places(prediction: FloatArray, worth: FloatArray) -> FloatArray:
    """Return the expected worth of each source's place; place i is worth ``worth[i]``, or 0."""
    first, last = tie_span(prediction)
    total = np.zeros(prediction.shape[-1] + 1)
    total[1 : len(worth) + 1] = worth[: len(total) - 1]
    total = np.cumsum(total)
    return (total[last + 1] - total[first]) / (last + 1 - first)


def _normalised_dcg(gain: FloatArray, prediction: ArrayLike, k: int | None) -> FloatArray:
    n = gain.shape[-1]
    discount = 1 / np.log2(np.arange(2, (n if k is None else min(k, n)) + 2))
    best = np.sort(gain, axis=-1)[..., ::-1][..., : len(discount)]
    reached = np.sum(gain * _share_of_places(np.asarray(prediction, dtype=float), discount), axis=-1)
    something_to_rank = np.ptp(gain, axis=-1) > 0
    return ratio(reached, np.where(something_to_rank, np.sum(best * discount, axis=-1), 0.0))


def _pair(truth: ArrayLike, prediction: ArrayLike) -> tuple[FloatArray, FloatArray]:
    both = np.broadcast_arrays(np.asarray(truth, dtype=float), np.asarray(prediction, dtype=float))
    return both[0], both[1]
