"""Features of a learning curve, from arrays of steps and losses.

Percentages refer to the run, from step 0 to its last step.  Slopes and gradients are in loss per step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transfer_meta.features.curves.curve_fits import fit_log, fit_paper, fit_power
from transfer_meta.features.curves.curve_log import clean_log
from transfer_meta.features.missing import Group, MissingError, collect_features
from transfer_meta.records import CurveLog, FloatArray, LearningCurve

CURVE_PERCENTS = (10, 20, 30, 50, 70)
"""Points of the run at which gradients and slopes are computed, in percent."""

HALF_WINDOW = 0.05
"""Half width of the window that a slope is fitted to, as a share of the run."""


@dataclass(frozen=True)
class CurveFeatures:
    """Features of one learning curve.

    Parameters
    ----------
    values : dict of str to float
        NaN where a feature could not be computed.
    missing : dict of str to str
        The reason for each NaN.
    notes : tuple of str
        Defects of the log that were repaired.
    """

    values: dict[str, float]
    missing: dict[str, str]
    notes: tuple[str, ...]


def curve_features(log: CurveLog) -> CurveFeatures:
    """Compute all features of a learning curve.

    Parameters
    ----------
    log : CurveLog
        The features of Bingel & Søgaard 2017 (`paper_gradient`, `fit_paper`) are computed from the log as
        written, all others from the log after `curve_log.clean_log`.

    Examples
    --------
    >>> steps = np.arange(10.0, 50_001, 10)
    >>> found = curve_features(CurveLog(steps, 3 - 0.25 * np.log(steps + 40)))
    >>> round(found.values["log_fit_b"], 6), round(found.values["log_fit_s"], 2)
    (-0.25, 50.0)
    >>> found.missing["dev_overfit"]
    'no dev curve'
    """
    curve, notes = clean_log(log)
    values, missing = collect_features(_groups(log, curve))
    return CurveFeatures(values, missing, notes)


def _groups(log: CurveLog, curve: LearningCurve) -> list[Group]:
    groups: list[Group] = []
    for percent in CURVE_PERCENTS:
        for names, function in FEATURES_AT_PERCENT.items():
            record = log if function is paper_gradient else curve
            at_percent = [f"{name}_{percent}" for name in names.split()]
            groups.append((at_percent, functools.partial(function, record, percent)))
    fits: dict[Callable[..., tuple[float, ...]], Callable[[], tuple[float, ...]]] = {
        fit_paper: lambda: fit_paper(log.steps, log.losses),
        fit_log: lambda: fit_log(*_train(curve)),
        fit_power: lambda: fit_power(*_train(curve)),
    }
    for names, function in FEATURES_OF_RUN.items():
        groups.append((names.split(), fits.get(function) or functools.partial(function, curve)))
    return groups


def paper_gradient(log: CurveLog, percent: int) -> tuple[float]:
    """Return the central difference of the raw loss around one record (Bingel & Søgaard 2017).

    (L[k + 1] - L[k - 1]) / (i[k + 1] - i[k - 1]) with k = ⌊n · percent / 100⌋ over the n records as logged, aborted
    starts included.  Mostly noise: see `window_slope`.
    """
    k = len(log.steps) * percent // 100
    if not 0 < k < len(log.steps) - 1:
        raise MissingError("fewer than 3 records around it")
    change = log.steps[k + 1] - log.steps[k - 1]
    if change == 0:
        raise MissingError("the records beside it have the same step")
    return (float((log.losses[k + 1] - log.losses[k - 1]) / change),)


def window_slope(curve: LearningCurve, percent: int) -> tuple[float, float, float, float]:
    """Fit a line to the loss within 5 % of the run on both sides of a point.

    Returns
    -------
    slope : float
        Least-squares slope, loss per step.
    standard_error : float
        √(Σ r² / (n - 2) / Σ (i - ī)²) over the n residuals r.
    relative_slope : float
        slope · run / mean loss of the window.
    loss_done : float
        Share of the total decrease reached: (initial - mean of the window) / (initial - final), with the levels of
        `loss_levels`.
    """
    steps, losses = _train(curve)
    run = steps[-1]
    inside = np.abs(steps - run * percent / 100) <= HALF_WINDOW * run
    if np.count_nonzero(inside) < 3:
        raise MissingError(f"fewer than 3 records within 5 % of the run around {percent} %")
    x, y = steps[inside] - steps[inside].mean(), losses[inside]
    level = y.mean()
    slope = x @ (y - level) / (x @ x)
    residuals = y - level - slope * x
    error = np.sqrt(residuals @ residuals / (len(x) - 2) / (x @ x))
    initial, final = _ends(curve)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative, done = slope * run / level, (initial - level) / np.float64(initial - final)
    return float(slope), float(error), float(relative), float(done)


def loss_levels(curve: LearningCurve) -> tuple[float, float, float]:
    """Return the initial loss, the final loss, and the step at which half of the decrease is reached.

    The initial loss is the mean of the first 10 records (of the first tenth below 100 records), the final loss
    that of the last 5 % of the run.  The step is the first at which the trailing mean over 1 % of the records
    plus one falls below their midpoint.
    """
    steps, losses = _train(curve)
    initial, final = _ends(curve)
    width = len(losses) // 100 + 1
    smooth = _trailing_mean(losses, width)
    below = np.flatnonzero(smooth < (initial + final) / 2)
    return initial, final, float(steps[width - 1 + below[0]]) if len(below) else np.nan


def dev_scores(curve: LearningCurve) -> tuple[float, float]:
    """Return the final dev score, 0-1, and its gain over the second half of the run.

    The final score is the mean of the last tenth of the dev records; the gain is relative to the mean of the
    fifth tenth.
    """
    scores = curve.dev_scores[np.isfinite(curve.dev_scores)]
    if not len(scores):
        raise MissingError("no dev curve")
    tenth = max(len(scores) // 10, 1)
    final = float(scores[-tenth:].mean())
    start = 4 * len(scores) // 10
    return final, final - float(scores[start : start + tenth].mean())


def dev_losses(curve: LearningCurve) -> tuple[float, float]:
    """Return final minus lowest dev loss (overfitting), and final dev loss / final training loss.

    The final dev loss is the mean of the last tenth of the dev records, the lowest is the smallest trailing mean
    over 2 % of them.
    """
    losses = curve.dev_losses[np.isfinite(curve.dev_losses)]
    if not len(losses):
        raise MissingError("no dev curve")
    final = float(losses[-max(len(losses) // 10, 1) :].mean())
    lowest = float(_trailing_mean(losses, max(len(losses) // 50, 1)).min())
    final_train = _ends(curve)[1]
    return final - lowest, final / final_train if final_train else np.nan


FEATURES_AT_PERCENT: dict[str, Callable[..., tuple[float, ...]]] = {
    "grad": paper_gradient,
    "slope slope_se relative_slope loss_done": window_slope,
}
"""Features at each of `CURVE_PERCENTS`, whose number ends the name, by the function that computes them."""

FEATURES_OF_RUN: dict[str, Callable[..., tuple[float, ...]]] = {
    "init_loss final_loss half_iter": loss_levels,
    "curve_a curve_b curve_c curve_d curve_rmse": fit_paper,
    "log_fit_a log_fit_b log_fit_s log_fit_rmse": fit_log,
    "power_fit_a power_fit_b power_fit_p power_fit_rmse": fit_power,
    "dev_final_score dev_score_gain_late": dev_scores,
    "dev_overfit dev_loss_ratio": dev_losses,
}
"""Features of the whole run, by the function that computes them."""

CURVE_UNITS: dict[str, str] = {
    "grad": "loss per step", "slope": "loss per step", "slope_se": "loss per step", "relative_slope": "1",
    "loss_done": "share", "init_loss": "loss", "final_loss": "loss", "half_iter": "steps", "curve_a": "loss",
    "curve_b": "loss", "curve_c": "1 / step", "curve_d": "1", "curve_rmse": "loss", "log_fit_a": "loss",
    "log_fit_b": "loss", "log_fit_s": "steps", "log_fit_rmse": "loss", "power_fit_a": "loss", "power_fit_b": "loss",
    "power_fit_p": "1", "power_fit_rmse": "loss", "dev_final_score": "0–1", "dev_score_gain_late": "score, 0–1",
    "dev_overfit": "loss", "dev_loss_ratio": "ratio",
}  # fmt: skip
"""Unit or range of each feature; those at a percentage without their number."""


def _train(curve: LearningCurve) -> tuple[FloatArray, FloatArray]:
    if len(curve.steps) < 3:
        raise MissingError("fewer than 3 records")
    return curve.steps, curve.losses


def _ends(curve: LearningCurve) -> tuple[float, float]:
    """Return the initial and the final loss (see `loss_levels`)."""
    steps, losses = _train(curve)
    first = min(10, max(len(losses) // 10, 1))
    return float(losses[:first].mean()), float(losses[steps > 0.95 * steps[-1]].mean())


def _trailing_mean(values: FloatArray, width: int) -> FloatArray:
    """Return the means over windows of `width` values, shape (n - width + 1,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[width:] - sums[:-width]) / width
