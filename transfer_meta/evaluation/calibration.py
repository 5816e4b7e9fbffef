"""How far predicted probabilities can be taken at their word."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from transfer_meta.evaluation.classification import calibration_error, probability_bins


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
    groups = pd.DataFrame({"predicted": p, "observed": y}).groupby(probability_bins(p, n_bins))
    return groups.mean().assign(n=groups.size()).reset_index(drop=True)


def expected_calibration_error(points: pd.DataFrame) -> float:
    """Σ n/N · |predicted − observed| over the points of `reliability`; 0 is perfect.

    Source: Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
    binning".
    """
    off = (points["predicted"] - points["observed"]).abs()
    return float((off * points["n"]).sum() / points["n"].sum())


def error_if_calibrated(
    probability: ArrayLike, *, n_bins: int = 10, draws: int = 200, seed: int = 0
) -> float:
    """The calibration error that these very probabilities would show if each were true.

    The mean of `calibration_error` over labels drawn from the probabilities: what the number of pairs alone
    causes, and therefore what a measured error is to be compared with.  Pairs are drawn independently, which
    those of one target are not: the figure is a lower limit.

    Parameters
    ----------
    probability : array of shape (n,)

    Source: Vaicenavicius et al. 2019, "Evaluating model calibration in classification".
    """
    p = np.asarray(probability, dtype=float)
    labels = np.random.default_rng(seed).random((draws, len(p))) < p
    return float(calibration_error(labels, p, n_bins=n_bins).mean())
