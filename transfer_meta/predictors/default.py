"""The predictor to take when one has no reason to take another."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import names
from transfer_meta.predictors.ensemble import stack_weights
from transfer_meta.predictors.gp import GaussianProcessPredictor
from transfer_meta.predictors.new_sources import expectation
from transfer_meta.predictors.outcome_tensor import find
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.within_target import RelativePredictor
from transfer_meta.records import FloatArray

FEW_TARGETS = 6


class DefaultPredictor(RelativePredictor):
    """Gaussian process and ridge regression; with few training targets the former alone.

    ======================  ===================================
    training targets        ranking
    ======================  ===================================
    fewer than 6            Gaussian process
    6 or more               Gaussian process and ridge
    ======================  ===================================

    The rule looks at the number of training targets and at nothing else; settings are pooled by both members, and
    features enter where there are any.  The members are weighted by what they say of left-out training targets
    (`stack_weights`), which the probabilities need anyway; scores without baselines have none, and there both count
    the same.  Boosted trees and LambdaRank as further members cost
    ten times as much and add nothing to the rank correlation at tens of targets.

    A source that no training target has tried gets, beside what the members say of it, what is expected beforehand:
    `new_sources.expectation`.

    Attributes
    ----------
    gp_ : GaussianProcessPredictor
    ridge_ : RidgePredictor or None
    weights_ : array of shape (members,)
    """

    uses_features: ClassVar[bool] = True

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        n_targets = len(np.unique(names(X, "target")))
        self.gp_ = GaussianProcessPredictor()
        self.ridge_ = RidgePredictor() if n_targets >= FEW_TARGETS else None
        members = self._members()
        for member in members:
            member.feature_names_in_ = self.feature_names_in_
            member.fit_ranking(X, z, weight)
        self.weights_ = np.full(len(members), 1 / len(members))
        self._inner = np.zeros(len(z))
        if self.levels_known_:
            inner = np.column_stack([m.inner_ranking(X, z, weight) for m in members])
            self.weights_ = stack_weights(inner, z, weight)
            self._inner = inner @ self.weights_

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        learned = np.column_stack([m.ranking(X) for m in self._members()]) @ self.weights_
        untried = find(self.gp_.sources_, names(X, "source")) < 0
        return learned + np.where(untried, expectation(X, self.feature_names_in_), 0.0)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._inner

    def _members(self) -> list[RelativePredictor]:
        return [m for m in (self.gp_, self.ridge_) if m is not None]
