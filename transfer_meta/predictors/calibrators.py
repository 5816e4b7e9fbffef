"""From rankings to probabilities for targets not seen: Platt's sigmoid, isotonic or beta, whichever holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from transfer_meta.predictors.logistic_solver import BoolArray
from transfer_meta.predictors.platt import fit_platt, platt_probability
from transfer_meta.records import FloatArray

CALIBRATORS = ("platt", "isotonic", "beta")
CALIBRATION_FOLDS = 5
CLEAR = 2.0
# A step function says 0 and 1 where a step has one class; one pair of each class behind every step keeps it off.
LIMIT = 0.02


def choose_calibrator(score: FloatArray, helped: BoolArray, groups: NDArray[np.intp]) -> str:
    """The calibrator with the lowest log loss on groups left out, `platt` unless another is clearly better.

    Clearly: by more than `CLEAR` standard errors, over groups, of the difference.  At ten targets a lower bar
    takes chance for a reason, and the probabilities get worse.

    Parameters
    ----------
    score : array of shape (n,)
        Rankings of pairs by predictors that did not see their target.
    helped : array of shape (n,)
    groups : array of shape (n,)
        Number of each pair's target.
    """
    names = np.unique(groups)
    if len(names) < 2 or helped.all() or not helped.any():
        return "platt"
    folds = list(GroupKFold(min(CALIBRATION_FOLDS, len(names))).split(score, groups=groups))
    losses = {}
    for kind in CALIBRATORS:
        p = np.empty(len(score))
        for train, test in folds:
            parameters = fit_calibrator(kind, score[train], helped[train])
            p[test] = calibrated(kind, score[test], parameters)
        loss = -np.log(np.clip(np.where(helped, p, 1 - p), 1e-6, 1.0))
        losses[kind] = np.array([loss[groups == name].mean() for name in names])
    ahead = {kind: losses["platt"] - loss for kind, loss in losses.items()}
    clear = {kind: d.mean() - CLEAR * d.std(ddof=1) / np.sqrt(len(d)) for kind, d in ahead.items()}
    best = max(CALIBRATORS, key=lambda kind: clear[kind])
    return best if clear[best] > 0 else "platt"


def fit_calibrator(kind: str, score: FloatArray, helped: BoolArray) -> FloatArray:
    """Parameters of a map from scores to probabilities that does not fall.

    Returns
    -------
    array
        ``platt``: slope and intercept, shape (2,).  ``isotonic``: scores and probabilities between which is
        interpolated, shape (2, m).  ``beta``: those of ``platt`` and a, b ≥ 0 and c, shape (5,), where
        P = σ(a·ln p − b·ln(1 − p) + c) for the probability p of ``platt``.

    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Zadrozny & Elkan 2002, "Transforming
    classifier scores into accurate multiclass probability estimates"; Kull, Silva Filho & Flach 2017, "Beta
    calibration".
    """
    platt = fit_platt(score, helped)
    if kind == "platt" or helped.all() or not helped.any():
        return platt
    if kind == "isotonic":
        steps = IsotonicRegression(y_min=LIMIT, y_max=1 - LIMIT).fit(score, helped.astype(float))
        return np.stack([steps.X_thresholds_, steps.y_thresholds_])
    design = _beta_design(platt_probability(score, platt))
    return np.concatenate([platt, _fit_beta(design, helped)])


def calibrated(kind: str, score: FloatArray, parameters: FloatArray) -> FloatArray:
    """Probabilities, shape (n,), by what `fit_calibrator` returned."""
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
    """a, b and c; a coefficient that comes out negative is left out, as the source has it."""
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
