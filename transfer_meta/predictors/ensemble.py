"""Several learners of the standardised gain, weighted by what they reach on left-out training targets."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from sklearn.base import clone

from transfer_meta.errors import unknown
from transfer_meta.predictors.gp import GaussianProcessPredictor
from transfer_meta.predictors.lambdarank import LambdaRankPredictor
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.within_target import RelativePredictor
from transfer_meta.records import FloatArray

MEMBERS = ("gp", "ridge", "trees", "lambdarank")

# How many rows stand behind equal weights: members are so much alike that their least-squares weights are mostly
# noise in a small table.
PRIOR_ROWS = 25.0


class EnsemblePredictor(RelativePredictor):
    """The weighted mean of a Gaussian process, ridge regression, boosted trees and LambdaRank.

    Each member's ranking is brought to unit variance; the weights, not negative, minimise the squared error of
    the standardised gain on training targets that the members did not see, drawn towards equal weights.

    Parameters
    ----------
    members : tuple of str
        Among `MEMBERS`.
    weighted : bool
        False: equal weights.
    random_state : int
        Seed of the members.

    Attributes
    ----------
    gp_, ridge_, trees_, lambdarank_ : RelativePredictor
        Those of the members that were asked for.
    weights_, units_ : array of shape (members,)
        Weight, and standard deviation of the ranking.
    """

    uses_features: ClassVar[bool] = True

    def __init__(
        self, members: tuple[str, ...] = MEMBERS, weighted: bool = True, random_state: int = 0
    ) -> None:
        self.members = members
        self.weighted = weighted
        self.random_state = random_state

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        columns = []
        for name in self.members:
            member = self._new(name)
            member.feature_names_in_ = self.feature_names_in_
            member.fit_ranking(X, z, weight)
            setattr(self, f"{name}_", member)
            columns.append(member.inner_ranking(X, z, weight) if self.weighted else member.ranking(X))
        rankings = np.column_stack(columns)
        spread = rankings.std(axis=0)
        self.units_ = np.where(spread > 0, spread, 1.0)
        self.weights_ = np.full(len(columns), 1 / len(columns))
        if self.weighted:
            self.weights_ = stack_weights(rankings / self.units_, z, weight)
        self._inner = rankings / self.units_ @ self.weights_

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        rankings = [getattr(self, f"{name}_").ranking(X) for name in self.members]
        return np.column_stack(rankings) / self.units_ @ self.weights_

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._inner if self.weighted else super().inner_ranking(X, z, weight)

    def _new(self, name: str) -> RelativePredictor:
        makers = {
            "gp": GaussianProcessPredictor(),
            "ridge": RidgePredictor(),
            "trees": LambdaRankPredictor("regression", random_state=self.random_state),
            "lambdarank": LambdaRankPredictor(random_state=self.random_state),
        }
        if name not in makers:
            raise unknown("member of the ensemble", name, MEMBERS)
        return clone(makers[name])


def stack_weights(rankings: FloatArray, z: FloatArray, weight: FloatArray) -> FloatArray:
    """Weights ≥ 0 of the columns of `rankings` (n, m), shape (m,), that sum to 1.

    They minimise Σ w (z − R a)² + `PRIOR_ROWS` · ‖a − c‖² with c the best equal weights.
    """
    m = rankings.shape[1]
    root = np.sqrt(weight)
    together = rankings.sum(axis=1) * root
    power = float(together @ together)
    equal = max(float(together @ (z * root)) / power, 0.0) if power > 0 else 0.0
    pull = np.sqrt(PRIOR_ROWS)
    design = np.vstack([rankings * root[:, None], pull * np.eye(m)])
    found = nnls(design, np.concatenate([z * root, np.full(m, pull * equal)]))[0]
    return found / found.sum() if found.sum() > 0 else np.full(m, 1 / m)
