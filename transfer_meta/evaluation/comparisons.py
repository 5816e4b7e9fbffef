"""Pairwise comparisons of predictors, paired over targets and corrected for multiple testing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from transfer_meta.evaluation.bootstrap import target_draws
from transfer_meta.evaluation.fold_jobs import PredictionKey
from transfer_meta.records import FloatArray

SIGNIFICANCE_LEVEL = 0.05
NOT_SEPARABLE = "not separable"
MIN_RESAMPLES = 2000
RESAMPLES_PER_COMPARISON = 40
"""Makes the smallest possible p-value, 1 / (resamples + 1), small enough to survive the correction."""
COMPARISON_COLUMNS = (
    "predictor", "features", "other", "other_features", "difference", "ci_low", "ci_high", "p", "p_holm",
    "verdict", "n",
)  # fmt: skip


def compare(
    values: Mapping[PredictionKey, Mapping[str, float]],
    *,
    higher_is_better: bool = True,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare all pairs of predictors by one metric.

    Parameters
    ----------
    values : mapping
        Metric of each target by predictor and feature set; NaN where undefined.
    higher_is_better : bool
        Of the metric.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per pair of predictors with at least two targets in common: ``predictor``, ``features``, ``other``,
        ``other_features``; ``difference`` of the means over targets, ``ci_low`` and ``ci_high`` (95 %, percentiles
        of the paired bootstrap over targets, not corrected); ``p`` (two-sided) and ``p_holm`` (corrected for all
        rows); ``verdict``: ``better``, ``worse``, or ``not separable`` if ``p_holm`` > 0.05; ``n`` targets.

    Notes
    -----
    With the mean d̄ of the targets' differences and its standard error s, p is the share of resamples with |d̄* −
    d̄| / s* ≥ |d̄| / s (studentised bootstrap: with ten targets, percentile intervals are too narrow).  Holm's
    correction bounds the probability of *any* false winner by 0.05.

    References
    ----------
    Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 12 and 16.
    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    pairs = list(combinations(values, 2))
    draws = max(MIN_RESAMPLES, RESAMPLES_PER_COMPARISON * len(pairs))
    weights: dict[int, FloatArray] = {}
    rows = []
    for a, b in pairs:
        shared = [t for t in values[a] if t in values[b]]
        difference = np.array([values[a][t] - values[b][t] for t in shared])
        difference = difference[~np.isnan(difference)]
        n = len(difference)
        if n < 2:
            continue
        if n not in weights:
            weights[n] = target_draws(n, draws, seed) / n
        low, high, p = _paired(difference, weights[n])
        rows.append((*a, *b, float(difference.mean()), low, high, p, n))
    table = pd.DataFrame(
        rows, columns=[c for c in COMPARISON_COLUMNS if c not in ("p_holm", "verdict")]
    )
    corrected = holm(table["p"].to_numpy(dtype=float))
    ahead = (table["difference"] > 0).to_numpy() == higher_is_better
    verdict = np.where(ahead, "better", "worse").astype(object)
    verdict[corrected > SIGNIFICANCE_LEVEL] = NOT_SEPARABLE
    return table.assign(p_holm=corrected, verdict=verdict)[list(COMPARISON_COLUMNS)]


def holm(p: FloatArray) -> FloatArray:
    """Return Holm-corrected p-values: the i-th smallest of m times m − i + 1, non-decreasing, at most 1.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def _paired(difference: FloatArray, share: FloatArray) -> tuple[float, float, float]:
    """Return the interval of the mean difference and its two-sided p; `share` of each target in each resample."""
    mean = difference.mean()
    drawn = share @ difference
    low, high = np.quantile(drawn[:MIN_RESAMPLES], [0.025, 0.975])
    # Spread below this value is rounding of equal differences.
    tiny = 1e-12 * float(np.abs(difference).max())
    spread = np.sqrt(np.maximum(share @ (difference - mean) ** 2 - (drawn - mean) ** 2, 0.0))
    own = float(difference.std())
    if own <= tiny:
        return float(low), float(high), 1.0
    flat = spread <= tiny
    t = np.abs(drawn - mean) / np.where(flat, 1.0, spread)
    # A resample of a single target has no spread and counts as extreme.
    extreme = np.count_nonzero(flat | (t >= abs(mean) / own))
    return float(low), float(high), (extreme + 1) / (len(share) + 1)
