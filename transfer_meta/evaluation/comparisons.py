"""Does A beat B?  Paired over targets, and corrected for how many times the question is asked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from transfer_meta.evaluation.bootstrap import target_draws
from transfer_meta.evaluation.fold_jobs import PredictionKey
from transfer_meta.records import FloatArray

LEVEL = 0.05
NOT_SEPARABLE = "not separable"
# The smallest p-value that draws can show is 1 / (draws + 1): it has to survive the correction.
LEAST_DRAWS = 2000
DRAWS_A_COMPARISON = 40
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
    """All pairs of predictors by one metric.

    Parameters
    ----------
    values : mapping
        By predictor and feature set: the metric of each target, NaN where it is undefined.
    higher_is_better : bool
        Of the metric.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        A row for each pair of predictors that share two targets: ``predictor``, ``features``, ``other``,
        ``other_features``; ``difference`` of the means over targets, ``ci_low`` and ``ci_high`` (95 %, percentiles
        of the paired bootstrap over targets, not corrected); ``p`` (two-sided) and ``p_holm`` (corrected for all
        rows); ``verdict``: ``better`` or ``worse`` than the other, or ``not separable`` where ``p_holm`` is above
        0.05; ``n`` targets.

    Notes
    -----
    With the mean d̄ of the targets' differences and its standard error s, p is the share of draws with
    |d̄* − d̄| / s* ≥ |d̄| / s: the studentised bootstrap, since at ten targets percentiles alone are too narrow
    and name winners too easily.  Holm's correction makes the chance of *any* false winner at most 0.05.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 12 and 16; Holm 1979, "A simple
    sequentially rejective multiple test procedure".
    """
    pairs = list(combinations(values, 2))
    draws = max(LEAST_DRAWS, DRAWS_A_COMPARISON * len(pairs))
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
    verdict[corrected > LEVEL] = NOT_SEPARABLE
    return table.assign(p_holm=corrected, verdict=verdict)[list(COMPARISON_COLUMNS)]


def holm(p: FloatArray) -> FloatArray:
    """p-values corrected for being many: the i-th smallest of m times m − i + 1, not falling, 1 at most.

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
    """Interval of the mean difference and its two-sided p; `share` of each target in each draw."""
    mean = difference.mean()
    drawn = share @ difference
    low, high = np.quantile(drawn[:LEAST_DRAWS], [0.025, 0.975])
    # Rounding must not make a spread out of equal differences.
    tiny = 1e-12 * float(np.abs(difference).max())
    spread = np.sqrt(np.maximum(share @ (difference - mean) ** 2 - (drawn - mean) ** 2, 0.0))
    own = float(difference.std())
    if own <= tiny:
        # The same difference everywhere has no spread to be judged by.
        return float(low), float(high), 1.0
    flat = spread <= tiny
    t = np.abs(drawn - mean) / np.where(flat, 1.0, spread)
    # A draw of a single target has no spread: it speaks for chance.
    extreme = np.count_nonzero(flat | (t >= abs(mean) / own))
    return float(low), float(high), (extreme + 1) / (len(share) + 1)
