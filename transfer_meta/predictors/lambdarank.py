"""LightGBM on features relative to the target: LambdaRank, regression, and LangRank's settings."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from transfer_meta.errors import InputError
from transfer_meta.predictors.history import history_features
from transfer_meta.predictors.outcome_tensor import OutcomeTensor
from transfer_meta.predictors.task_kernel import TaskKernel, space_state
from transfer_meta.predictors.trees import REPRODUCIBLE, TreeSettings, raw_scores, train_trees
from transfer_meta.predictors.within_target import (
    Codes,
    RelativePredictor,
    WithinTarget,
    group_codes,
    group_rows,
    setting_column,
)
from transfer_meta.records import FloatArray

TOP_RANKS = 31
"""Ranks below this one have no relevance."""


class LambdaRankPredictor(TreeSettings, RelativePredictor):
    """Small gradient-boosted trees that order the sources of each target and setting.

    The features are the transfer history, and every feature of the table three times: as it is, relative to the
    target's other sources, and as its rank among them.

    Parameters
    ----------
    objective : {"lambdarank", "regression"}
        ``lambdarank``: relevance exp(−(rank − 1) / 5) of the ranks within a target and setting.
        ``regression``: the standardised gain itself.
    subsample : float
        Share of the rows that a tree is made of, drawn anew for each.
    n_estimators, learning_rate, num_leaves, min_child_samples, colsample, reg_lambda, random_state
        See `TreeSettings`.

    Attributes
    ----------
    booster_ : lightgbm.Booster or None
        None where all training pairs are equal.
    unit_ : float
        Standard deviation of its raw scores within the training targets.
    """

    uses_features: ClassVar[bool] = True

    def __init__(
        self,
        objective: str = "lambdarank",
        n_estimators: int = 150,
        learning_rate: float = 0.05,
        num_leaves: int = 8,
        min_child_samples: int = 10,
        colsample: float = 0.5,
        subsample: float = 0.7,
        reg_lambda: float = 5.0,
        random_state: int = 0,
    ) -> None:
        self.objective = objective
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample = colsample
        self.subsample = subsample
        self.reg_lambda = reg_lambda
        self.random_state = random_state

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        grid = OutcomeTensor.fitted(X, z, weight)
        self.space_ = space_state(TaskKernel.fitted(X, list(self.feature_names_in_), grid, z))
        self.grid_ = dict(vars(grid))
        self.settings_ = np.unique(setting_column(X))
        within = WithinTarget.fitted(self._raw(X, TaskKernel(**self.space_)))
        self.centre_, self.scale_ = within.centre, within.scale
        matrix = self._matrix(X, TaskKernel(**self.space_))
        settings = self.lightgbm_settings() | {"bagging_fraction": self.subsample, "bagging_freq": 1}
        groups = group_codes(X)
        if self.objective == "lambdarank":
            labels = rank_labels(z, groups, TOP_RANKS)
            gains = np.exp(-np.arange(TOP_RANKS)[::-1] / 5)
            settings |= {
                "lambdarank_norm": False,
                "label_gain": [0.0, *gains.tolist()],
                "lambdarank_truncation_level": TOP_RANKS,
            }
            self.booster_ = train_ranker(matrix, labels, groups, weight, settings, self.n_estimators)
        elif np.ptp(z) == 0:
            self.booster_ = None
        else:
            settings |= {"objective": "regression"}
            self.booster_ = train_trees(matrix, z, settings, self.n_estimators, weight=weight)
        raw = self._scores(matrix)
        self.unit_ = _unit(raw, groups)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        return self._scores(self._matrix(X, TaskKernel(**self.space_).located(X))) / self.unit_

    def _raw(self, X: pd.DataFrame, space: TaskKernel) -> FloatArray:
        return np.hstack([history_features(OutcomeTensor(**self.grid_), X, space), self.values(X)])

    def _matrix(self, X: pd.DataFrame, space: TaskKernel) -> FloatArray:
        raw, groups = self._raw(X, space), group_codes(X)
        relative = WithinTarget(self.centre_, self.scale_).transform(raw, groups)
        setting = setting_column(X)[:, None] == self.settings_[None, :]
        return np.hstack([raw, relative, within_ranks(raw, groups), setting.astype(float)])

    def _scores(self, matrix: FloatArray) -> FloatArray:
        return raw_scores(self.booster_, matrix)


class LangRankPredictor(RelativePredictor):
    """LightGBM LambdaRank with the settings and the plain features of LangRank.

    16 leaves, learning rate 0.1, 100 trees, at least 5 rows a leaf; relevance 10 to 1 for the ten best sources of a
    target, else 0, with gain 2^relevance − 1.

    Source: Lin et al. 2019, "Choosing Transfer Languages for Cross-Lingual Learning".
    """

    uses_features: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        if not len(self.feature_names_in_):
            raise InputError("lambdarank-langrank needs features, and the table has none")
        settings = REPRODUCIBLE | {
            "learning_rate": 0.1,
            "num_leaves": 16,
            "min_data_in_leaf": 5,
            "seed": 0,
        }
        groups = group_codes(X)
        self.booster_ = train_ranker(
            self.values(X), rank_labels(z, groups, 10), groups, None, settings, 100
        )
        self.unit_ = _unit(raw_scores(self.booster_, self.values(X)), groups)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        return raw_scores(self.booster_, self.values(X)) / self.unit_


def rank_labels(z: FloatArray, groups: Codes, top: int) -> Codes:
    """Labels top, top − 1, …, 1 of the best sources of each group, 0 for the others; ties share the worse rank.

    Examples
    --------
    >>> rank_labels(np.array([0.3, 0.1, 0.2, 0.9]), np.array([0, 0, 0, 1]), 2).tolist()
    [2, 0, 1, 2]
    """
    ranks = np.empty(len(z))
    for rows in group_rows(groups):
        ranks[rows] = rankdata(-z[rows], method="max")
    return np.maximum(top + 1 - ranks, 0).astype(np.intp)


def within_ranks(values: FloatArray, groups: Codes) -> FloatArray:
    """Rank of each value in its group, as a fraction from 0 to 1; NaN where unknown."""
    ranks = np.full(values.shape, np.nan)
    for rows in group_rows(groups):
        block = values[rows]
        count = np.maximum((~np.isnan(block)).sum(axis=0), 1)
        ranks[rows] = (rankdata(block, axis=0, nan_policy="omit") - 0.5) / count
    return ranks


def train_ranker(
    matrix: FloatArray,
    labels: Codes,
    groups: Codes,
    weight: FloatArray | None,
    settings: dict[str, Any],
    n_estimators: int,
) -> Any:
    """A LambdaRank booster, or None where no group has two different labels."""
    parts = group_rows(groups)
    if not any(np.ptp(labels[rows]) for rows in parts) or not matrix.shape[1]:
        return None
    order = np.concatenate(parts)
    return train_trees(
        matrix[order],
        labels[order],
        settings | {"objective": "lambdarank"},
        n_estimators,
        weight=None if weight is None else weight[order],
        group=[len(rows) for rows in parts],
    )


def _unit(scores: FloatArray, groups: Codes) -> float:
    spread = float(np.sqrt(np.mean([np.var(scores[rows]) for rows in group_rows(groups)])))
    return spread if spread > 0 else 1.0
