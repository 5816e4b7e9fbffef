"""The default predictor: a Gaussian process and ridge regression, stacked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from transfer_meta.predictors.base import Prediction, id_column
from transfer_meta.predictors.feature_groups import column_group
from transfer_meta.predictors.gp import GaussianProcessPredictor
from transfer_meta.predictors.group_ridge import LEADING_GROUP, PRIOR_ROWS, GroupRidgePredictor
from transfer_meta.predictors.logistic_solver import BoolArray
from transfer_meta.predictors.new_sources import expectation
from transfer_meta.predictors.outcome_tensor import index_in
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.state_kinds import InnerPredictor, Kind, Numbers
from transfer_meta.predictors.within_target import WithinTargetPredictor
from transfer_meta.records import FloatArray

MIN_TARGETS_FOR_RIDGE = 6


class DefaultPredictor(WithinTargetPredictor):
    """Gaussian process and ridge regression; the process alone with fewer than 6 training targets.

    The members are weighted by their out-of-fold rankings of the training targets (`stack_weights`), or equally if
    the gains have no level, as for scores without baselines. A source without training outcomes is ranked by
    `group_ridge`, which weighs them against `new_sources.expectation`, if the table has transferability scores;
    otherwise its ranking gets the expectation added. Boosted trees and LambdaRank as further members take ten times
    as long and do not improve the rank correlation on tables of tens of targets.

    Attributes
    ----------
    gp_ : GaussianProcessPredictor
    ridge_ : RidgePredictor or None
    untried_ : GroupRidgePredictor or None
        Ranks sources without training outcomes.
    weights_ : array of shape (members,)
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        **WithinTargetPredictor.stored,
        "gp_": InnerPredictor(GaussianProcessPredictor),
        "ridge_": InnerPredictor(RidgePredictor, may_be_none=True),
        "untried_": InnerPredictor(GroupRidgePredictor, may_be_none=True),
        "weights_": Numbers("members", low=0),
    }

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        n_targets = len(np.unique(id_column(X, "target")))
        self.gp_ = GaussianProcessPredictor()
        self.ridge_ = RidgePredictor() if n_targets >= MIN_TARGETS_FOR_RIDGE else None
        members = self._members()
        for member in members:
            member.feature_names_in_ = self.feature_names_in_
            member.fit_ranking(X, z, weight)
        self.weights_ = np.full(len(members), 1 / len(members))
        self.untried_ = None
        if any(map(_is_score, self.feature_names_in_)):
            self.untried_ = GroupRidgePredictor()
            self.untried_.feature_names_in_ = self.feature_names_in_
            self.untried_.fit_ranking(X, z, weight)
        self._inner = np.zeros(len(z))
        if self.levels_known_:
            inner = np.column_stack([m.inner_ranking(X, z, weight) for m in members])
            self.weights_ = stack_weights(inner, z, weight)
            self._inner = inner @ self.weights_

    def calibrate(self, X: pd.DataFrame, y: FloatArray, z: FloatArray, weight: FloatArray) -> None:
        super().calibrate(X, y, z, weight)
        if self.untried_ is not None:
            self.untried_.levels_known_ = self.levels_known_
            self.untried_.calibrate(X, y, z, weight)

    def predict_pairs(self, X: Any) -> Prediction:
        found = super().predict_pairs(X)
        if self.untried_ is None:
            return found
        untried, alone = self._untried(X), self.untried_.predict_pairs(X)
        return Prediction(*(np.where(untried, *both) for both in zip(alone, found, strict=True)))

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        learned = np.column_stack([m.ranking(X) for m in self._members()]) @ self.weights_
        untried = self._untried(X)
        if self.untried_ is not None:
            return np.where(untried, self.untried_.ranking(X), learned)
        return learned + np.where(untried, expectation(X, self.feature_names_in_), 0.0)

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._inner

    def check_stored(self) -> None:
        super().check_stored()
        if len(self.weights_) != len(self._members()):
            raise ValueError("has another number of weights than of members")
        if (self.untried_ is not None) != any(map(_is_score, self.feature_names_in_)):
            raise ValueError("lacks a predictor of untried sources, or has one without scores")

    def _untried(self, X: pd.DataFrame) -> BoolArray:
        """Return which pairs have a source without training outcomes, shape (n,)."""
        return index_in(self.gp_.sources_, id_column(X, "source")) < 0

    def _members(self) -> list[WithinTargetPredictor]:
        return [m for m in (self.gp_, self.ridge_) if m is not None]


def _is_score(column: str) -> bool:
    return column_group(column) == LEADING_GROUP


def stack_weights(rankings: FloatArray, z: FloatArray, weight: FloatArray) -> FloatArray:
    """Return weights ≥ 0 of the columns of `rankings` (n, m), shape (m,), that sum to 1.

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
