"""Reliability diagrams and calibration errors of predicted probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from transfer_meta.evaluation.classification import calibration_error, probability_bins


def reliability(truth: ArrayLike, probability: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """Return the points of a reliability diagram: predicted and observed frequency in bins of equal width.

    Parameters
    ----------
    truth : array of shape (n,)
        Labels, 0 or 1.
    probability : array of shape (n,)
        Probability of 1.
    n_bins : int
        Number of bins, closed below; the last one contains 1 as well.

    Returns
    -------
    DataFrame
        One row per non-empty bin: ``predicted`` (mean probability), ``observed`` (share of ones) and ``n``.

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
    """Return Σ n/N · |predicted − observed| over the points of `reliability`; 0 is perfect.

    References
    ----------
    Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    off = (points["predicted"] - points["observed"]).abs()
    return float((off * points["n"]).sum() / points["n"].sum())


def error_if_calibrated(
    probability: ArrayLike, *, n_bins: int = 10, draws: int = 200, seed: int = 0
) -> float:
    """Return the expected `calibration_error` if every probability were true.

    The mean over labels drawn from the probabilities, which is due to the number of pairs alone: the reference
    for a measured error.  A lower bound, since labels are drawn independently and pairs of a target are not
    independent.

    Parameters
    ----------
    probability : array of shape (n,)

    References
    ----------
    Vaicenavicius et al. 2019, "Evaluating model calibration in classification".
    """
    p = np.asarray(probability, dtype=float)
    labels = np.random.default_rng(seed).random((draws, len(p))) < p
    return float(calibration_error(labels, p, n_bins=n_bins).mean())
