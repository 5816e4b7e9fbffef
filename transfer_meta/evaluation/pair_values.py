"""Values of pairs for training and evaluation: targets of learning, groups to rank within, and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.evaluation.metrics import PairTruth
from transfer_meta.metadataset import MetaDataset
from transfer_meta.records import FloatArray

UNEXPLAINED_VARIANCE = 0.4
"""Share of the variance of a standardised gain that predictors leave unexplained without noise of the seeds."""


def training_values(data: MetaDataset) -> FloatArray:
    """Return the gains, or the scores less their mean within the target and setting, shape (n,)."""
    if data.has_gain:
        return data.value
    scores = pd.Series(data.value)
    return (scores - scores.groupby(ranking_groups(data)).transform("mean")).to_numpy()


def pair_truth(data: MetaDataset, pairs: pd.DataFrame) -> PairTruth:
    """Return the measured values to evaluate predictions against."""
    return PairTruth(
        target=ranking_groups(data),
        gain=data.value if data.has_gain else None,
        score=pairs["score"].to_numpy(dtype=float) if "score" in pairs else None,
    )


def ranking_groups(data: MetaDataset) -> Any:
    """Return the groups in which sources are ranked, shape (n,): target, or target and setting if named."""
    if not data.X["setting"].astype(bool).any():
        return data.target
    return (data.X["target"] + " | " + data.X["setting"]).to_numpy(dtype=object)


def seed_weights(pairs: pd.DataFrame, groups: Any) -> FloatArray | None:
    """Return the reliability of each pair's mean over seeds, shape (n,), in (0, 1]: 1 without noise.

    v / (v + e² / s²) with the standard error e of the pair's mean gain (or score), the standard deviation s of
    the means within the group, and v = `UNEXPLAINED_VARIANCE`.  The runs of a pair with one seed get the mean
    variance of its group; None if no pair has two seeds.
    """
    column = "gain_std" if "gain_std" in pairs else "score_std"
    variance = (pairs[column] ** 2).astype(float)
    if variance.isna().all():
        return None
    within = variance.groupby(groups)
    square = variance.fillna(within.transform("mean")).fillna(variance.mean()) / pairs["n_seeds"]
    spread = pairs[column.removesuffix("_std")].groupby(groups).transform("var")
    noise = (square / spread.where(spread > 0)).fillna(1.0)
    return np.asarray(UNEXPLAINED_VARIANCE / (UNEXPLAINED_VARIANCE + noise), dtype=float)
