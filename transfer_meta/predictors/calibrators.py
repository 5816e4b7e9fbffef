"""Calibration of rankings to probabilities: Platt's sigmoid, isotonic or beta calibration."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from transfer_meta.predictors.base import IntArray
from transfer_meta.predictors.logistic_solver import BoolArray
from transfer_meta.predictors.platt import fit_platt, platt_probability
from transfer_meta.records import FloatArray

CALIBRATORS = ("platt", "isotonic", "beta")
N_CALIBRATION_FOLDS = 5
MIN_STANDARD_ERRORS = 2.0
"""Standard errors, over targets, by which a calibrator's log loss must be lower than Platt's to replace it."""
MIN_ISOTONIC_PROBABILITY = 0.02
"""Isotonic probabilities stay this far from 0 and 1, which steps with one class would otherwise reach."""


def choose_calibrator(score: FloatArray, helped: BoolArray, groups: IntArray) -> str:
    """Return the calibrator with the lowest log loss on held-out targets.

    ``platt`` unless another one is better by more than `MIN_STANDARD_ERRORS`: with ten targets a lower threshold
    picks by chance and makes probabilities worse.

    Parameters
    ----------
    score : array of shape (n,)
        Out-of-fold rankings of pairs, their target held out.
    helped : array of shape (n,)
    groups : array of shape (n,)
        Code of each pair's target.
    """
    names = np.unique(groups)
    if len(names) < 2 or helped.all() or not helped.any():
        return "platt"
    folds = list(GroupKFold(min(N_CALIBRATION_FOLDS, len(names))).split(score, groups=groups))
    losses = {}
    for kind in CALIBRATORS:
        p = np.empty(len(score))
        for train, test in folds:
            parameters = fit_calibrator(kind, score[train], helped[train])
            p[test] = calibrated(kind, score[test], parameters)
        loss = -np.log(np.clip(np.where(helped, p, 1 - p), 1e-6, 1.0))
        losses[kind] = np.array([loss[groups == name].mean() for name in names])
    ahead = {kind: losses["platt"] - loss for kind, loss in losses.items()}
    margin = {
        kind: d.mean() - MIN_STANDARD_ERRORS * d.std(ddof=1) / np.sqrt(len(d))
        for kind, d in ahead.items()
    }
    best = max(CALIBRATORS, key=lambda kind: margin[kind])
    return best if margin[best] > 0 else "platt"


def fit_calibrator(kind: str, score: FloatArray, helped: BoolArray) -> FloatArray:
    """Fit a non-decreasing map from scores to probabilities.

    Returns
    -------
    array
        ``platt``: slope and intercept, shape (2,).  ``isotonic``: scores and probabilities to interpolate between,
        shape (2, m).  ``beta``: those of ``platt`` and a, b ≥ 0 and c, shape (5,), where
        P = σ(a·ln p − b·ln(1 − p) + c) for the probability p of ``platt``.

    References
    ----------
    Platt 1999, "Probabilistic outputs for support vector machines".
    Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates".
    Kull, Silva Filho & Flach 2017, "Beta calibration".
    """
    platt = fit_platt(score, helped)
    if kind == "platt" or helped.all() or not helped.any():
        return platt
    if kind == "isotonic":
        limits = {"y_min": MIN_ISOTONIC_PROBABILITY, "y_max": 1 - MIN_ISOTONIC_PROBABILITY}
        steps = IsotonicRegression(**limits).fit(score, helped.astype(float))
        return np.stack([steps.X_thresholds_, steps.y_thresholds_])
    design = _beta_design(platt_probability(score, platt))
    return np.concatenate([platt, _fit_beta(design, helped)])


def calibrated(kind: str, score: FloatArray, parameters: FloatArray) -> FloatArray:
    """Return probabilities, shape (n,), with the parameters from `fit_calibrator`."""
    if parameters.shape == (2,):
        return platt_probability(score, parameters)
    if kind == "isotonic":
        return np.interp(score, *parameters)
    design = _beta_design(platt_probability(score, parameters[:2]))
    return np.asarray(expit(design @ parameters[2:4] + parameters[4]))


def _beta_design(p: FloatArray) -> FloatArray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.column_stack([np.log(p), -np.log1p(-p)])


def _fit_beta(design: FloatArray, helped: BoolArray) -> FloatArray:
    """Return a, b and c; a negative coefficient is set to 0 and the others refitted, as in the paper."""
    kept = [0, 1]
    while kept:
        model = LogisticRegression(C=1e3, max_iter=1000).fit(design[:, kept], helped)
        if (model.coef_[0] >= 0).all():
            break
        kept.pop(int(np.argmin(model.coef_[0])))
    result = np.zeros(3)
    if not kept:
        rate = np.clip(helped.mean(), 1e-6, 1 - 1e-6)
        result[2] = np.log(rate / (1 - rate))
        return result
    result[kept], result[2] = model.coef_[0], model.intercept_[0]
    return result
