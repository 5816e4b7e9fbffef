"""How far predicted probabilities can be taken at their word."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def reliability(truth: ArrayLike, probability: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """The points of a reliability diagram: predicted against observed frequency, in bins of equal width.

    Parameters
    ----------
    truth : array of shape (n,)
        Labels, 0 or 1.
    probability : array of shape (n,)
        Probability of 1.
    n_bins : int
        Bins of width 1/n_bins, closed below; the last one holds 1 as well.

    Returns
    -------
    DataFrame
        A row for each bin that is not empty: ``predicted`` (mean probability in it), ``observed`` (share of
        ones) and ``n``.

    Examples
    --------
    >>> reliability([0, 1, 1, 1], [0.1, 0.1, 0.9, 1.0], n_bins=2)
       predicted  observed  n
    0       0.10       0.5  2
    1       0.95       1.0  2
    """
    p, y = np.asarray(probability, dtype=float), np.asarray(truth, dtype=float)
    position = np.minimum((p * n_bins).astype(int), n_bins - 1)
    groups = pd.DataFrame({"predicted": p, "observed": y}).groupby(position)
    return groups.mean().assign(n=groups.size()).reset_index(drop=True)


def expected_calibration_error(points: pd.DataFrame) -> float:
    """Σ n/N · |predicted − observed| over the points of `reliability`; 0 is perfect.

    Source: Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
    binning".
    """
    off = (points["predicted"] - points["observed"]).abs()
    return float((off * points["n"]).sum() / points["n"].sum())
