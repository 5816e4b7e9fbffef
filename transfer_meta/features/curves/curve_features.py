"""Features of a learning curve, from arrays of steps and losses.

Percentages are of the run, from step 0 to its last step.  Slopes and gradients are in loss per step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transfer_meta.features.curves.curve_fits import fit_log, fit_paper, fit_power
from transfer_meta.features.curves.curve_log import CurveLog, clean
from transfer_meta.features.missing import Group, MissingError, collect
from transfer_meta.records import FloatArray, LearningCurve

#: Where gradients and slopes are taken, percent of the run.
PERCENTS = (10, 20, 30, 50, 70)

# Slopes come from the records within this share of the run, to both sides.
HALF_WINDOW = 0.05


@dataclass(frozen=True)
class CurveFeatures:
    """What `curve_features` found.

    Parameters
    ----------
    values : dict of str to float
        NaN where a feature could not be computed.
    missing : dict of str to str
        For each NaN the reason.
    notes : tuple of str
        What was wrong with the log, and mended.
    """

    values: dict[str, float]
    missing: dict[str, str]
    notes: tuple[str, ...]


def curve_features(log: CurveLog | LearningCurve, *, total_steps: float | None = None) -> CurveFeatures:
    """All features of a learning curve.

    Parameters
    ----------
    log : CurveLog or LearningCurve
        The paper's features (`paper_gradient`, `curve_*`) see a log as it was written, the others without
        aborted starts and records that are not finite (see `transfer_meta.features.curves.curve_log.clean`).
    total_steps : float or None
        Cut the run there; None takes the whole.

    Examples
    --------
    >>> steps = np.arange(10.0, 50_001, 10)
    >>> found = curve_features(CurveLog(steps, 3 - 0.25 * np.log(steps + 40)))
    >>> round(found.values["log_fit_b"], 6), round(found.values["log_fit_s"], 2)
    (-0.25, 50.0)
    >>> found.missing["dev_overfit"]
    'no dev curve'
    """
    if isinstance(log, LearningCurve):
        log = CurveLog(log.steps, log.losses, log.dev_steps, log.dev_losses, log.dev_scores)
    if total_steps is not None:
        log = log.up_to(total_steps)
    curve, notes = clean(log)
    values, missing = collect(_groups(log, curve))
    return CurveFeatures(values, missing, notes)


def _groups(log: CurveLog, curve: LearningCurve) -> list[Group]:
    groups: list[Group] = []
    for percent in PERCENTS:
        names = [f"{name}_{percent}" for name in ("slope", "slope_se", "relative_slope", "loss_done")]
        groups.append(([f"grad_{percent}"], functools.partial(paper_gradient, log, percent)))
        groups.append((names, functools.partial(window_slope, curve, percent)))
    functions: list[tuple[str, Callable[[], tuple[float, ...]]]] = [
        ("init_loss final_loss half_iter", lambda: loss_levels(curve)),
        ("curve_a curve_b curve_c curve_d curve_rmse", lambda: fit_paper(log.steps, log.losses)),
        (
            "log_fit_a log_fit_b log_fit_s log_fit_rmse",
            lambda: fit_log(*_train(curve)),
        ),
        (
            "power_fit_a power_fit_b power_fit_p power_fit_rmse",
            lambda: fit_power(*_train(curve)),
        ),
        ("dev_final_score dev_score_gain_late", lambda: dev_scores(curve)),
        ("dev_overfit dev_loss_ratio", lambda: dev_losses(curve)),
    ]
    return groups + [(names.split(), function) for names, function in functions]


def paper_gradient(log: CurveLog, percent: int) -> tuple[float]:
    """Central difference of the raw loss around one record (Bingel & Søgaard 2017).

    (L[k + 1] - L[k - 1]) / (i[k + 1] - i[k - 1]) with k = n · percent / 100 rounded down, counting the n
    records from 0 as they were logged, aborted starts and all.  Mostly noise: see `window_slope`.
    """
    k = len(log.steps) * percent // 100
    if not 0 < k < len(log.steps) - 1:
        raise MissingError("fewer than 3 records around it")
    change = log.steps[k + 1] - log.steps[k - 1]
    if change == 0:
        raise MissingError("the records beside it have the same step")
    return (float((log.losses[k + 1] - log.losses[k - 1]) / change),)


def window_slope(curve: LearningCurve, percent: int) -> tuple[float, float, float, float]:
    """Least squares of the loss on the step within 5 % of the run to both sides of a point.

    Returns
    -------
    slope
        Loss per step.
    standard error
        √(Σ r² / (n - 2) / Σ (i - ī)²) over the n residuals r.
    relative slope
        slope · run / mean loss of the window.
    loss done
        Share of the whole decrease that has been made: (initial - mean of the window) / (initial - final),
        with the levels of `loss_levels`.
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
    """Initial loss, final loss, and the step at which half of the way between them is made.

    The mean of the first 10 records (of a tenth, where there are fewer than 100), the mean of the last 5 %
    of the run, and the first step at which the mean of the last 51 records (1 % of the records and one)
    is below the middle.
    """
    steps, losses = _train(curve)
    initial, final = _ends(curve)
    width = max(len(losses) // 100, 0) + 1
    smooth = _trailing_mean(losses, width)
    below = np.flatnonzero(smooth < (initial + final) / 2)
    return initial, final, float(steps[width - 1 + below[0]]) if len(below) else np.nan


def dev_scores(curve: LearningCurve) -> tuple[float, float]:
    """Final dev score, 0-1, and what the second half of the run gained.

    The mean of the last tenth of the dev records, and that less the mean of the fifth tenth.
    """
    scores = curve.dev_scores[np.isfinite(curve.dev_scores)]
    if not len(scores):
        raise MissingError("no dev curve")
    tenth = max(len(scores) // 10, 1)
    final = float(scores[-tenth:].mean())
    start = 4 * len(scores) // 10
    return final, final - float(scores[start : start + tenth].mean())


def dev_losses(curve: LearningCurve) -> tuple[float, float]:
    """Overfit: final dev loss less the lowest; and final dev loss / final training loss.

    The final dev loss is the mean of the last tenth of the dev records, the lowest the least mean of
    2 % of them in a row.
    """
    losses = curve.dev_losses[np.isfinite(curve.dev_losses)]
    if not len(losses):
        raise MissingError("no dev curve")
    final = float(losses[-max(len(losses) // 10, 1) :].mean())
    lowest = float(_trailing_mean(losses, max(len(losses) // 50, 1)).min())
    final_train = _ends(curve)[1]
    return final - lowest, final / final_train if final_train else np.nan


def _train(curve: LearningCurve) -> tuple[FloatArray, FloatArray]:
    if len(curve.steps) < 3:
        raise MissingError("fewer than 3 records")
    return curve.steps, curve.losses


def _ends(curve: LearningCurve) -> tuple[float, float]:
    """Initial and final loss (see `loss_levels`)."""
    steps, losses = _train(curve)
    first = min(10, max(len(losses) // 10, 1))
    return float(losses[:first].mean()), float(losses[steps > 0.95 * steps[-1]].mean())


def _trailing_mean(values: FloatArray, width: int) -> FloatArray:
    """Means of `width` values in a row, shape (n - width + 1,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[width:] - sums[:-width]) / width
