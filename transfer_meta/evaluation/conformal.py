"""Intervals of expected gains that hold for a target nobody has seen.

The pairs of one target share its baseline, its noise and its ceiling: a residual says much about the target's
other residuals and little about another target's.  Targets, not pairs, are therefore what is exchangeable, and
what the intervals are calibrated on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError
from transfer_meta.records import FloatArray

COVERAGE = 0.9


@dataclass(frozen=True)
class Conformal:
    """Offsets from the expected gain between which a new target's gains lie.

    Parameters
    ----------
    coverage : float
        Share of a new target's pairs that should lie inside, 0-1, on average over targets.
    low_offset, high_offset : float
        What is added to the expected gain, fractions; the low one is not positive, the high one not negative.
    n_targets : int
        Targets that the offsets were calibrated on.
    """

    coverage: float
    low_offset: float
    high_offset: float
    n_targets: int

    def interval(self, expected: ArrayLike, widen: float = 1.0) -> tuple[FloatArray, FloatArray]:
        """Lower and upper end for each expected gain, arrays of its shape.

        `widen` multiplies both offsets, for a target that is unlike those calibrated on.
        """
        gain = np.asarray(expected, dtype=float)
        return gain + widen * self.low_offset, gain + widen * self.high_offset


def fit_conformal(
    expected: ArrayLike, truth: ArrayLike, targets: ArrayLike, *, coverage: float = COVERAGE
) -> Conformal:
    """Calibrate an interval on predictions for targets that were held out.

    Parameters
    ----------
    expected, truth : array of shape (n,)
        Out-of-fold expected gains, each predicted without its target's outcomes, and the measured gains; fractions.
        Pairs in which either is NaN are left out.
    targets : array of shape (n,)
        Target of each pair: its pairs, in whatever setting, are one group.
    coverage : float
        Wanted chance that a pair of a new target lies inside, 0-1, exclusive.

    Raises
    ------
    InputError
        No pair is left, or a coverage that is no share.

    Notes
    -----
    The offsets are ±q, with q a quantile of the absolute residuals in which every target weighs the same.  Its
    level is not `coverage` itself: the level of a residual is the share of the *other* targets' residuals below it,
    and the `coverage` quantile of these levels is what the other targets' residuals have to reach to cover each
    left-out target as often as promised.  With many targets the two coincide; at ten the level is a bit higher.

    Exchangeable targets make that approximately right whatever the predictor, and exactly in the limit of many
    targets.  The finite-sample guarantee of Lee, Barber & Willett 2023, which counts the new target in as an
    infinite residual, costs too much here: with 10 targets it takes the largest residual of all, two to three
    times as wide an interval, and covers 98-100 % of the pairs where 90 % were asked for.

    Source: Dunn, Wasserman & Ramdas 2022, "Distribution-free prediction sets for two-layer hierarchical models"
    (pooled distribution of the groups); Lee, Barber & Willett 2023, "Distribution-free inference with hierarchical
    data"; Barber, Candès, Ramdas & Tibshirani 2021, "Predictive inference with the jackknife+", for leaving out.

    Examples
    --------
    >>> truth = np.array([0.1, -0.2, 0.3, 0.0])
    >>> fit_conformal(np.zeros(4), truth, ["a", "b", "c", "d"], coverage=0.75)
    Conformal(coverage=0.75, low_offset=-0.2, high_offset=0.2, n_targets=4)
    """
    if not 0 < coverage < 1:
        raise InputError(f"coverage must lie between 0 and 1, got {coverage:g}")
    residual, group = _residuals(expected, truth, targets)
    if not len(residual):
        raise InputError("no pair with an expected and a measured gain to calibrate intervals on")
    return _calibrated(residual, group, coverage)


def interval_coverage(
    expected: ArrayLike, truth: ArrayLike, targets: ArrayLike, *, coverage: float = COVERAGE
) -> pd.DataFrame:
    """How well the intervals hold: each target against those calibrated on all others.

    Parameters
    ----------
    expected, truth, targets, coverage
        As in `fit_conformal`.

    Returns
    -------
    DataFrame
        A row a target: ``target``, ``covered`` (share of its pairs inside), ``width`` of the interval (a
        fraction) and ``n`` (pairs).  Empty with fewer than two targets.  The mean of ``covered`` is what `coverage`
        promises; single targets lie above and below it.

    Notes
    -----
    The residuals of the other targets come from predictors that learned from this one, which the guarantee does not
    allow for (it is that of the jackknife, not of splitting): hence the measurement.
    """
    residual, group = _residuals(expected, truth, targets)
    rows = []
    for name in np.unique(group):
        own = group == name
        if own.all():
            break
        fitted = _calibrated(residual[~own], group[~own], coverage)
        inside = (residual[own] >= fitted.low_offset) & (residual[own] <= fitted.high_offset)
        width = fitted.high_offset - fitted.low_offset
        rows.append((name, float(inside.mean()), width, int(own.sum())))
    return pd.DataFrame(rows, columns=["target", "covered", "width", "n"])


def _residuals(
    expected: ArrayLike, truth: ArrayLike, targets: ArrayLike
) -> tuple[FloatArray, NDArray[np.object_]]:
    residual = np.asarray(truth, dtype=float) - np.asarray(expected, dtype=float)
    known = np.isfinite(residual)
    return residual[known], np.asarray(targets, dtype=object)[known]


def _calibrated(residual: FloatArray, group: NDArray[np.object_], coverage: float) -> Conformal:
    _, member, sizes = np.unique(group, return_inverse=True, return_counts=True)
    n_targets = len(sizes)
    order = np.argsort(np.abs(residual), kind="stable")
    target = member[order]
    share = 1 / (n_targets * sizes[target])
    level = coverage
    if n_targets > 1:
        # Of everybody's residuals up to each one, those of its own target do not count.
        own = pd.Series(share).groupby(target).cumsum().to_numpy()
        levels = (np.cumsum(share) - own) * n_targets / (n_targets - 1)
        level = _quantile(levels, share, coverage)
    offset = _quantile(np.abs(residual[order]), share, level)
    return Conformal(coverage, -offset, offset, n_targets)


def _quantile(values: FloatArray, share: FloatArray, level: float) -> float:
    """The smallest value that values with at least `level` of the shares, which sum to 1, do not exceed."""
    order = np.argsort(values, kind="stable")
    # The tolerance is for the sum's rounding.
    place = np.searchsorted(np.cumsum(share[order]), level - 1e-9)
    return float(values[order[min(int(place), len(order) - 1)]])
