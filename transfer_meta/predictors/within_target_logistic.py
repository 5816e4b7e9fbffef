"""Logistic regression on within-target features: whether a source is among the better half of its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.logistic_solver import solve, with_intercept
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.state_kinds import Kind, Number
from transfer_meta.predictors.within_target import WithinTargetPredictor
from transfer_meta.records import FloatArray


class RelativeLogisticPredictor(RidgePredictor):
    """L2-regularised logistic regression of [standardised gain > 0] on the features of `RidgePredictor`.

    Weights of the pairs are ignored.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty on coefficients and intercept.

    Attributes
    ----------
    coef_ : array of shape (p,)
        Transfer history first, then the features of the table.
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        "C": Number(),
        **{k: v for k, v in RidgePredictor.stored.items() if k not in ("history", "penalty_")},
    }

    def __init__(self, C: float = 0.03) -> None:
        super().__init__()
        self.C = C

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        matrix, share = self._fit_features(X, z, weight), self._share()
        everything = np.ones((1, len(z)), dtype=bool)
        columns = with_intercept((matrix * share).T[None])
        self.coef_ = share * solve(columns, z > 0, everything, C=self.C)[0, :-1]

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return WithinTargetPredictor.inner_ranking(self, X, z, weight)
