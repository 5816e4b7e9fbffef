"""Platt's sigmoid from rankings to probabilities, and a line from rankings to gains."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from transfer_meta.predictors.logistic_solver import BoolArray
from transfer_meta.records import FloatArray

RIDGE = 1e-3
"""L2 penalty on slope and intercept, which makes the fit unique for constant scores."""


def fit_platt(score: FloatArray, helped: BoolArray) -> FloatArray:
    """Return slope a ≥ 0 and intercept b of P(helped) = σ(a·score + b), shape (2,).

    Maximum likelihood with Platt's smoothed targets (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), which keep probabilities
    off 0 and 1, by Newton's method.  Scores that fall with `helped` give a = 0 and the base rate.

    References
    ----------
    Platt 1999, "Probabilistic outputs for support vector machines".
    Lin, Lin & Weng 2007, "A note on Platt's probabilistic outputs for support vector machines".

    Examples
    --------
    >>> a, b = fit_platt(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([False, False, True, True]))
    >>> bool(a > 0)
    True
    """
    positive = float(helped.sum())
    target = np.where(helped, (positive + 1) / (positive + 2), 1 / (len(helped) - positive + 2))
    design = np.column_stack([score, np.ones(len(score))])
    base_rate = np.array([0.0, float(np.log(target.mean() / (1 - target.mean())))])
    w = base_rate
    value = _loss(design, target, w)
    for _ in range(100):
        p = expit(design @ w)
        gradient = design.T @ (p - target) + RIDGE * w
        hessian = (design * (p * (1 - p))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := _loss(design, target, w - size * step)) > value + 1e-12 and size > 1e-6:
            size /= 2
        w, value = w - size * step, new
        if np.abs(size * step).max() < 1e-10:
            break
    return w if w[0] >= 0 else base_rate


def platt_probability(score: FloatArray, platt: FloatArray) -> FloatArray:
    """Return σ(a·score + b) for `platt` = (a, b)."""
    return np.asarray(expit(platt[0] * score + platt[1]))


def fit_line(score: FloatArray, gain: FloatArray) -> FloatArray:
    """Return slope ≥ 0 and intercept of the least-squares line from score to gain, shape (2,)."""
    spread = float(((score - score.mean()) ** 2).sum())
    slope = 0.0
    if spread > 0:
        slope = max(0.0, float((score - score.mean()) @ (gain - gain.mean())) / spread)
    return np.array([slope, float(gain.mean()) - slope * float(score.mean())])


def _loss(design: FloatArray, target: FloatArray, w: FloatArray) -> float:
    margin = design @ w
    return float(np.logaddexp(0.0, margin).sum() - target @ margin + RIDGE / 2 * w @ w)
