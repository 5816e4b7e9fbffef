"""The predictor to take when one has no reason to take another."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import names
from transfer_meta.predictors.ensemble import EnsemblePredictor
from transfer_meta.predictors.relative import RelativePredictor
from transfer_meta.records import FloatArray

FEW_TARGETS = 6
MANY_PAIRS = 20_000


class DefaultPredictor(RelativePredictor):
    """An ensemble whose members depend on the training pairs at hand, and on nothing else.

    ======================  =======================================================
    training pairs          members
    ======================  =======================================================
    fewer than 6 targets    Gaussian process
    up to 20,000 pairs      Gaussian process, ridge
    more                    ridge, boosted trees (cost linear in the pairs)
    ======================  =======================================================

    Both members of the middle row have closed forms, with which their weights and the calibration cost next to
    nothing; boosted trees and LambdaRank in the ensemble cost ten times as much and add nothing at tens of
    targets.

    Parameters
    ----------
    random_state : int
        Seed of the members.

    Attributes
    ----------
    predictor_ : EnsemblePredictor
    """

    uses_features: ClassVar[bool] = True

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        self.predictor_ = EnsemblePredictor(self.choose(X), random_state=self.random_state)
        self.predictor_.feature_names_in_ = self.feature_names_in_
        self.predictor_.fit_ranking(X, z, weight)

    def choose(self, X: pd.DataFrame) -> tuple[str, ...]:
        """Members for these training pairs."""
        if len(X) > MANY_PAIRS:
            return ("ridge", "trees")
        n_targets = len(np.unique(names(X, "target")))
        return ("gp",) if n_targets < FEW_TARGETS else ("gp", "ridge")

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        return self.predictor_.ranking(X)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self.predictor_.inner_ranking(X, z, weight)
