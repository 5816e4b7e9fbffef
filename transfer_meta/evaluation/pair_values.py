"""What a table of outcomes says about its pairs: what to learn, within which groups, and how sure it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.evaluation.metrics import PairTruth
from transfer_meta.metadataset import MetaDataset
from transfer_meta.records import FloatArray

UNEXPLAINED = 0.4
"""Share of a standardised gain's variance that remains when the seeds' noise is gone."""


def training_values(data: MetaDataset) -> FloatArray:
    """What predictors learn: the gain, or the score less its mean within the target and setting."""
    if data.has_gain:
        return data.value
    scores = pd.Series(data.value)
    return (scores - scores.groupby(ranking_groups(data)).transform("mean")).to_numpy()


def pair_truth(data: MetaDataset, pairs: pd.DataFrame) -> PairTruth:
    """What predictions are scored against."""
    return PairTruth(
        target=ranking_groups(data),
        gain=data.value if data.has_gain else None,
        score=pairs["score"].to_numpy(dtype=float) if "score" in pairs else None,
    )


def ranking_groups(data: MetaDataset) -> Any:
    """What sources are ranked within: the target, or the target in one setting where there are several."""
    if not data.X["setting"].astype(bool).any():
        return data.target
    return (data.X["target"] + " | " + data.X["setting"]).to_numpy(dtype=object)


def seed_weights(pairs: pd.DataFrame, groups: Any) -> FloatArray | None:
    """How far the mean over a pair's seeds is to be trusted, shape (n,): 1 without noise, towards 0 with much.

    v / (v + e² / s²) with the standard error e of the pair's mean gain (or score), the standard deviation s of
    the means within the group (the pair's target and setting), and v = `UNEXPLAINED`, the variance that a perfect
    measurement leaves unexplained.  A pair with one seed has the mean error of its group's others; None where no
    pair has two.
    """
    column = "gain_std" if "gain_std" in pairs else "score_std"
    square = (pairs[column] ** 2 / pairs["n_seeds"]).astype(float)
    if square.isna().all():
        return None
    within = square.groupby(groups)
    square = square.fillna(within.transform("mean")).fillna(square.mean())
    spread = pairs[column.removesuffix("_std")].groupby(groups).transform("var")
    noise = (square / spread.where(spread > 0)).fillna(1.0)
    return np.asarray(UNEXPLAINED / (UNEXPLAINED + noise), dtype=float)
