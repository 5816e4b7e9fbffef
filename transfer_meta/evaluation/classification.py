"""Metrics of binary predictions and probabilities of gain.

Functions work on the last axis and broadcast over the others.  `truth` is 0 or 1 (1: gain), shape (..., n);
`weight` is the multiplicity of each pair, not negative, shape (..., n), as a bootstrap over targets needs it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.evaluation.ranks import ratio, tie_span
from transfer_meta.records import FloatArray

Weight = FloatArray | float


def accuracy(truth: ArrayLike, predicted: ArrayLike, *, weight: Weight = 1.0) -> FloatArray:
    """Return the share of correct labels, the mean of [ŷ = y].

    Parameters
    ----------
    truth, predicted : array of shape (..., n)
        Labels, 0 or 1.

    Returns
    -------
    array of shape (...)
        0-1; NaN without pairs.

    Examples
    --------
    >>> float(accuracy([1, 0, 1, 0], [1, 0, 0, 0]))
    0.75
    """
    return _mean(_labels(truth) == _labels(predicted), weight)


def f1(truth: ArrayLike, predicted: ArrayLike, *, weight: Weight = 1.0) -> FloatArray:
    """Return F1 of the class gain, 2·TP / (2·TP + FP + FN); 0 if the denominator is 0, as in scikit-learn."""
    y, predicted_gain = _labels(truth), _labels(predicted)
    both = np.sum(y * predicted_gain * weight, axis=-1)
    either = np.sum((y + predicted_gain) * weight, axis=-1)
    return np.divide(2 * both, either, out=np.zeros_like(either), where=either > 0)


def brier(truth: ArrayLike, probability: ArrayLike, *, weight: Weight = 1.0) -> FloatArray:
    """Return the Brier score, the mean of (p − y)²: 0 is perfect, 0.25 is p = ½ throughout.

    References
    ----------
    Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    return _mean((np.asarray(probability, dtype=float) - _labels(truth)) ** 2, weight)


def log_loss(truth: ArrayLike, probability: ArrayLike, *, weight: Weight = 1.0) -> FloatArray:
    """Return the mean of −ln p(y), in nats: 0 is perfect, ln 2 is p = ½ throughout.

    Probabilities are clipped at the double precision from 0 and 1, as in scikit-learn.
    """
    tiny = np.finfo(float).eps
    p = np.clip(np.asarray(probability, dtype=float), tiny, 1 - tiny)
    return _mean(-np.log(np.where(_labels(truth) == 1, p, 1 - p)), weight)


def calibration_error(
    truth: ArrayLike, probability: ArrayLike, *, weight: Weight = 1.0, n_bins: int = 10
) -> FloatArray:
    """Return the expected calibration error, Σ over bins of equal width of |Σ w (p − y)| / Σ w; 0 is perfect.

    True probabilities of few pairs have an error above 0, see `calibration.error_if_calibrated`.

    References
    ----------
    Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".

    Examples
    --------
    >>> round(float(calibration_error([0, 0, 1, 1], [0.4, 0.4, 0.4, 0.9])), 3)
    0.075
    """
    p = np.asarray(probability, dtype=float)
    inside = probability_bins(p, n_bins)[..., None] == np.arange(n_bins)
    off = (p - _labels(truth)) * weight
    total = np.sum(np.broadcast_to(weight, off.shape), axis=-1)
    in_bin = np.matmul(off[..., None, :], inside.astype(float))[..., 0, :]
    return ratio(np.abs(in_bin).sum(axis=-1), total)


def probability_bins(probability: FloatArray, n_bins: int) -> NDArray[np.intp]:
    """Return the bin of each probability, of width 1/n_bins and closed below; 1 is in the last one."""
    return np.minimum((np.nan_to_num(probability) * n_bins).astype(np.intp), n_bins - 1)


def auroc(truth: ArrayLike, score: ArrayLike, *, weight: Weight = 1.0) -> FloatArray:
    """Return the area under the ROC curve, P(score of a gain > score of a loss) + ½ P(equal).

    Computed as the Mann-Whitney statistic with one sort.

    Parameters
    ----------
    truth : array of shape (..., n)
        Labels, 0 or 1.
    score : array of shape (..., n)
        Higher for a likelier gain: probability, margin or expected gain.

    Returns
    -------
    array of shape (...)
        0-1, ½ for a constant score; NaN with one class.

    Examples
    --------
    >>> float(auroc([0, 1, 1], [0.2, 0.2, 0.9]))
    0.75
    """
    score = np.asarray(score, dtype=float)
    first, last = tie_span(score)
    gains, losses = _labels(truth) * weight, (1 - _labels(truth)) * weight
    losses, order, first, last = np.broadcast_arrays(losses, np.argsort(-score, axis=-1), first, last)
    above = np.cumsum(np.take_along_axis(losses, order, axis=-1), axis=-1)
    above = np.concatenate([np.zeros_like(above[..., :1]), above], axis=-1)
    lost = np.take_along_axis(above, first, axis=-1) + np.take_along_axis(above, last + 1, axis=-1)
    return 1 - ratio(np.sum(gains * lost, axis=-1) / 2, gains.sum(axis=-1) * losses.sum(axis=-1))


def _labels(values: ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=float)


def _mean(values: FloatArray | NDArray[np.bool_], weight: Weight) -> FloatArray:
    weighted = values * np.asarray(weight, dtype=float)
    total = np.sum(np.broadcast_to(weight, weighted.shape), axis=-1)
    return ratio(np.sum(weighted, axis=-1), total)
