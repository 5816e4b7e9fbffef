"""Metrics of one target's ranking of sources.

`truth` is what was measured for each source, `prediction` what ranked them; both are better when
higher, have shape (..., n) and broadcast over all but the last axis: one call scores many targets with
n sources each, over many repeats.  Equal predictions stand for a random order among them, and every
metric is its exact expectation over that order (but for Spearman's, which has a convention of its own):
a constant prediction scores as a random pick does, and no metric depends on the order of the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.evaluation.ranks import average_rank, ratio, tie_span
from transfer_meta.records import FloatArray


def spearman(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """Spearman's rank correlation: Pearson's of the ranks, ties taking their average rank.

    NaN where the truth or the prediction is constant, or with a single source.

    Examples
    --------
    >>> float(spearman([0.1, 0.2, 0.3], [1, 3, 2]))
    0.5
    """
    x, y = (average_rank(v) - (np.shape(v)[-1] + 1) / 2 for v in (truth, prediction))
    return ratio(np.sum(x * y, -1), np.sqrt(np.sum(x**2, -1) * np.sum(y**2, -1)))


def ndcg(truth: ArrayLike, prediction: ArrayLike, *, k: int | None = None) -> FloatArray:
    """Normalised discounted cumulative gain with linear gains.

    DCG = Σᵢ (truth of the source in place i − worst truth) / log₂(i + 1), over the first `k` places
    (None: all), divided by the DCG of the true order.  The worst source is taken off because the metric
    needs values that are not negative: it then has relevance 0 and the others what they add to it.

    Returns
    -------
    array of shape (...)
        0-1, 1 is the true order; NaN where all sources are equally good.

    Source: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".
    """
    truth = np.asarray(truth, dtype=float)
    return _normalised_dcg(truth - truth.min(axis=-1, keepdims=True), prediction, k)


def ndcg_exp(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """NDCG with exponential gains of the rank: 2^(n − rank) − 1, rank 1 the best of n sources.

    Nearly all of it is whether the best few come first.  Equal truths share their average rank;
    NaN where all are equal.
    Source: Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP".
    """
    rank = average_rank(truth)
    # Divided by 2^n throughout, which the normalisation takes out again: no overflow at n > 1023.
    return _normalised_dcg(np.exp2(-rank) - np.exp2(-float(rank.shape[-1])), prediction, None)


def ndcg_langrank(truth: ArrayLike, prediction: ArrayLike, *, k: int = 3) -> FloatArray:
    """NDCG over `k` places with gain 2^rel − 1, rel = 10 … 1 for the ten best sources, else 0.

    Equal truths share their average rank; NaN where all are equal.
    Source: Lin et al. 2019, "Choosing Transfer Languages for Cross-Lingual Learning" (LangRank).
    """
    relevance = np.maximum(11 - average_rank(truth), 0)
    return _normalised_dcg(np.exp2(relevance) - 1, prediction, k)


def regret(score: ArrayLike, prediction: ArrayLike, *, k: int) -> FloatArray:
    """What the best of the first `k` picks lacks to the best source: 1 − max(picks) / max(all).

    Parameters
    ----------
    score : array of shape (..., n)
        The target's score with each source.  Only ratios within a target matter: 1 + gain will do.

    Returns
    -------
    array of shape (...)
        A fraction of the best score, 0 where `k` is n or more; NaN where that score is not positive.

    Notes
    -----
    With t sources tied at the edge of the k picks and r places left for them, none of the a best of the
    tied is picked with probability C(t − a, r) / C(t, r).

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
    # Of the tied at the edge (there is one such group at most): their number and the places left.
    tied = np.max(np.where(edge, last - first + 1, 0), axis=-1, keepdims=True)
    places = np.max(np.where(edge, k - first, 0), axis=-1, keepdims=True)
    better = np.cumsum(edge, axis=-1)
    missed = np.cumsum(last < k, axis=-1) == 0
    probability = missed.astype(float)
    for place in range(int(places.max(initial=0))):
        factor = np.maximum(tied - better - place, 0) / np.maximum(tied - place, 1)
        probability *= np.where(place < places, factor, 1.0)
    # probability[j]: none of the j + 1 truly best is among the picks.
    is_best_pick = -np.diff(probability, axis=-1, prepend=1.0)
    return 1 - ratio(np.sum(is_best_pick * ranked, axis=-1), ranked[..., 0])


def regret_mean(score: ArrayLike, prediction: ArrayLike, *, k: int = 5) -> FloatArray:
    """What the mean of the first `k` picks lacks to the mean of the best `k`, as a fraction of it.

    NaN where the best mean is not positive.  With fewer than `k` sources all are picked: 0.
    Source: Kim et al. 2023 (TaskShop), regret@5.
    """
    score, prediction = _pair(score, prediction)
    k = min(k, score.shape[-1])
    picked = np.sum(score * _share_of_places(prediction, np.ones(k)), axis=-1)
    return 1 - ratio(picked, np.sum(np.sort(score, axis=-1)[..., ::-1][..., :k], axis=-1))


def mean_rank(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """True rank of the first pick: 1 + the number of sources that are strictly better; 1 is best."""
    truth, prediction = _pair(truth, prediction)
    rank = tie_span(truth)[0] + 1.0
    return np.sum(rank * _share_of_places(prediction, np.ones(1)), axis=-1)


def hit(truth: ArrayLike, prediction: ArrayLike) -> FloatArray:
    """1 where the first pick is the best source (or equals it), else 0."""
    truth, prediction = _pair(truth, prediction)
    best = truth == truth.max(axis=-1, keepdims=True)
    return np.sum(best * _share_of_places(prediction, np.ones(1)), axis=-1)


def _share_of_places(prediction: FloatArray, worth: FloatArray) -> FloatArray:
    """Expected worth of the place that each source gets; place i is worth ``worth[i]``, or 0."""
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
