"""From rankings to probabilities and gains: Platt's sigmoid and a line."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from transfer_meta.predictors.logistic_solver import BoolArray
from transfer_meta.records import FloatArray


def fit_platt(score: FloatArray, helped: BoolArray) -> FloatArray:
    """Slope a ≥ 0 and intercept b of P(helped) = σ(a·score + b), shape (2,).

    Maximum likelihood with Platt's smoothed targets (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), which keeps
    probabilities off 0 and 1; by Newton's method, with a ridge of 1e-3 that decides where scores do not.

    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin & Weng 2007.

    Examples
    --------
    >>> a, b = fit_platt(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([False, False, True, True]))
    >>> bool(a > 0)
    True
    """
    positive = float(helped.sum())
    target = np.where(helped, (positive + 1) / (positive + 2), 1 / (len(helped) - positive + 2))
    design = np.column_stack([score, np.ones(len(score))])
    w = np.array([0.0, float(np.log(target.mean() / (1 - target.mean())))])
    value = _loss(design, target, w)
    for _ in range(100):
        p = expit(design @ w)
        gradient = design.T @ (p - target) + 1e-3 * w
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := _loss(design, target, w - size * step)) > value + 1e-12 and size > 1e-6:
            size /= 2
        w, value = w - size * step, new
        if np.abs(size * step).max() < 1e-10:
            break
    if w[0] < 0:
        # Rankings that point the wrong way on the training targets say nothing: their base rate remains.
        w = np.array([0.0, float(np.log(target.mean() / (1 - target.mean())))])
    return w


def platt_probability(score: FloatArray, platt: FloatArray) -> FloatArray:
    """σ(a·score + b)."""
    return np.asarray(expit(platt[0] * score + platt[1]))


def fit_line(score: FloatArray, gain: FloatArray) -> FloatArray:
    """Slope ≥ 0 and intercept of the least-squares line from score to gain, shape (2,)."""
    spread = float(((score - score.mean()) ** 2).sum())
    slope = 0.0
    if spread > 0:
        slope = max(0.0, float((score - score.mean()) @ (gain - gain.mean())) / spread)
    return np.array([slope, float(gain.mean()) - slope * float(score.mean())])


def _loss(design: FloatArray, target: FloatArray, w: FloatArray) -> float:
    margin = design @ w
    return float(np.logaddexp(0.0, margin).sum() - target @ margin + 5e-4 * w @ w)
