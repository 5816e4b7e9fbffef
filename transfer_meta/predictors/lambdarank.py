"""LambdaRank with LightGBM on features relative to the target, and with LangRank's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import IntArray
from transfer_meta.predictors.history import HISTORY_FEATURES, history_features
from transfer_meta.predictors.outcome_tensor import STORED_TENSOR, OutcomeTensor
from transfer_meta.predictors.state_kinds import POSITIVE, Kind, Names, Number, Numbers, scales
from transfer_meta.predictors.task_kernel import STORED_KERNEL, TaskKernel, kernel_columns
from transfer_meta.predictors.tree_text import Trees
from transfer_meta.predictors.trees import (
    REPRODUCIBLE,
    TREE_PARAMETERS,
    TreeSettings,
    raw_scores,
    train_trees,
)
from transfer_meta.predictors.within_target import (
    WithinTarget,
    WithinTargetPredictor,
    group_codes,
    group_rows,
    setting_column,
)
from transfer_meta.records import FloatArray

N_RELEVANT_RANKS = 31
"""Ranks below this one have relevance 0."""


@dataclass(repr=False, eq=False)
class LambdaRankPredictor(TreeSettings, WithinTargetPredictor):
    """LambdaRank over the sources of each target and setting, with relevance exp(−(rank − 1) / 5).

    The features are the transfer history and three versions of every feature of the table: the value, the value
    relative to the target's other sources, and its rank among them.

    Parameters
    ----------
    **settings
        See `TreeSettings`.
    subsample : float
        Share of the rows drawn for each tree.

    Attributes
    ----------
    booster_ : lightgbm.Booster or None
        None if all training pairs are equal.
    unit_ : float
        Standard deviation of the raw scores within the training targets.
    """

    n_estimators: int = 150
    learning_rate: float = 0.05
    num_leaves: int = 8
    min_child_samples: int = 10
    reg_lambda: float = 5.0
    subsample: float = 0.7

    stored: ClassVar[Mapping[str, Kind]] = {
        **TREE_PARAMETERS,
        "subsample": Number(),
        **WithinTargetPredictor.stored,
        "space_": STORED_KERNEL,
        "grid_": STORED_TENSOR,
        "settings_": Names("settings", ordered=True),
        "centre_": Numbers("raw"),
        "scale_": scales("raw"),
        "booster_": Trees("raw+raw+raw+settings"),
        "unit_": Number(low=POSITIVE),
    }

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        outcomes = OutcomeTensor.from_pairs(X, z, weight)
        kernel = TaskKernel.fit(X, list(self.feature_names_in_), outcomes, z)
        self.space_, self.grid_ = dict(vars(kernel)), dict(vars(outcomes))
        self.settings_ = np.unique(setting_column(X))
        within = WithinTarget.fit(self._raw(X, kernel))
        self.centre_, self.scale_ = within.centre, within.scale
        matrix, groups = self._matrix(X, kernel), group_codes(X)
        gains = np.exp(-np.arange(N_RELEVANT_RANKS)[::-1] / 5)
        parameters = self.lightgbm_parameters() | {
            "bagging_fraction": self.subsample,
            "bagging_freq": 1,
            "lambdarank_norm": False,
            "label_gain": [0.0, *gains.tolist()],
            "lambdarank_truncation_level": N_RELEVANT_RANKS,
        }
        labels = rank_labels(z, groups, N_RELEVANT_RANKS)
        self.booster_ = train_ranker(matrix, labels, groups, weight, parameters, self.n_estimators)
        self.unit_ = _score_unit(raw_scores(self.booster_, matrix), groups)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        matrix = self._matrix(X, TaskKernel(**self.space_).extended(X))
        return raw_scores(self.booster_, matrix) / self.unit_

    def stored_names(self, features: Sequence[str]) -> dict[str, Sequence[str]]:
        return super().stored_names(features) | kernel_columns(features)

    def stored_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {"raw": len(HISTORY_FEATURES) + sizes["features"]}

    def _raw(self, X: pd.DataFrame, kernel: TaskKernel) -> FloatArray:
        return np.hstack([history_features(OutcomeTensor(**self.grid_), X, kernel), self.values(X)])

    def _matrix(self, X: pd.DataFrame, kernel: TaskKernel) -> FloatArray:
        raw, groups = self._raw(X, kernel), group_codes(X)
        relative = WithinTarget(self.centre_, self.scale_).transform(raw, groups)
        setting = setting_column(X)[:, None] == self.settings_[None, :]
        return np.hstack([raw, relative, within_ranks(raw, groups), setting.astype(float)])


class LangRankPredictor(WithinTargetPredictor):
    """LightGBM LambdaRank with the settings and the plain features of LangRank.

    16 leaves, learning rate 0.1, 100 trees, at least 5 rows per leaf; relevance 10 to 1 for the ten best sources of
    a target, else 0, with gain 2^relevance − 1.

    References
    ----------
    Lin et al. 2019, "Choosing Transfer Languages for Cross-Lingual Learning".
    """

    needs_features: ClassVar[bool] = True
    stored: ClassVar[Mapping[str, Kind]] = {
        **WithinTargetPredictor.stored,
        "booster_": Trees("features"),
        "unit_": Number(low=POSITIVE),
    }

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        if not len(self.feature_names_in_):
            raise InputError("lambdarank-langrank needs features, and the table has none")
        parameters = REPRODUCIBLE | {
            "learning_rate": 0.1,
            "num_leaves": 16,
            "min_data_in_leaf": 5,
            "seed": 0,
        }
        groups = group_codes(X)
        self.booster_ = train_ranker(
            self.values(X), rank_labels(z, groups, 10), groups, None, parameters, 100
        )
        self.unit_ = _score_unit(raw_scores(self.booster_, self.values(X)), groups)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        return raw_scores(self.booster_, self.values(X)) / self.unit_


def rank_labels(z: FloatArray, groups: IntArray, top: int) -> IntArray:
    """Return labels top, top − 1, …, 1 for the best sources of each group, else 0; ties share the worse rank.

    Examples
    --------
    >>> rank_labels(np.array([0.3, 0.1, 0.2, 0.9]), np.array([0, 0, 0, 1]), 2).tolist()
    [2, 0, 1, 2]
    """
    ranks = np.empty(len(z))
    for rows in group_rows(groups):
        ranks[rows] = rankdata(-z[rows], method="max")
    return np.maximum(top + 1 - ranks, 0).astype(np.intp)


def within_ranks(values: FloatArray, groups: IntArray) -> FloatArray:
    """Return the rank of each value in its group and column, scaled to 0-1; NaN where unknown."""
    ranks = np.full(values.shape, np.nan)
    for rows in group_rows(groups):
        block = values[rows]
        count = np.maximum((~np.isnan(block)).sum(axis=0), 1)
        ranks[rows] = (rankdata(block, axis=0, nan_policy="omit") - 0.5) / count
    return ranks


def train_ranker(
    matrix: FloatArray,
    labels: IntArray,
    groups: IntArray,
    weight: FloatArray | None,
    parameters: dict[str, Any],
    n_estimators: int,
) -> Any:
    """Train a LambdaRank booster; None if no group has two different labels."""
    parts = group_rows(groups)
    if not any(np.ptp(labels[rows]) for rows in parts) or not matrix.shape[1]:
        return None
    order = np.concatenate(parts)
    return train_trees(
        matrix[order],
        labels[order],
        parameters | {"objective": "lambdarank"},
        n_estimators,
        weight=None if weight is None else weight[order],
        group=[len(rows) for rows in parts],
    )


def _score_unit(scores: FloatArray, groups: IntArray) -> float:
    spread = float(np.sqrt(np.mean([np.var(scores[rows]) for rows in group_rows(groups)])))
    return spread if spread > 0 else 1.0
