"""LightGBM settings that the predictors share, and reproducible training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.predictors.state_kinds import Kind, Number
from transfer_meta.records import FloatArray

REPRODUCIBLE = {
    # One thread and a fixed layout give the same numbers on every machine.
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "min_data_in_bin": 1,
}

TREE_PARAMETERS: Mapping[str, Kind] = {
    "n_estimators": Number(low=0, whole=True),
    "learning_rate": Number(),
    "num_leaves": Number(low=0, whole=True),
    "min_child_samples": Number(low=0, whole=True),
    "colsample": Number(),
    "reg_lambda": Number(),
    "random_state": Number(whole=True),
}
"""Kinds of the stored `TreeSettings`."""


@dataclass(repr=False, eq=False)
class TreeSettings:
    """Constructor parameters of the predictors made of LightGBM trees; each has its own defaults.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    learning_rate : float
        Factor on the output of each tree.
    num_leaves : int
        Maximum number of leaves of a tree.
    min_child_samples : int
        Minimum number of rows in a leaf.
    colsample : float
        Share of the features drawn for each tree.
    reg_lambda : float
        L2 penalty on the values of the leaves.
    random_state : int
        Seed of the draws.
    """

    n_estimators: int = 100
    learning_rate: float = 0.1
    num_leaves: int = 31
    min_child_samples: int = 20
    colsample: float = 0.5
    reg_lambda: float = 0.0
    random_state: int = 0

    def lightgbm_parameters(self) -> dict[str, Any]:
        """Return the parameters under LightGBM's names, without the number of trees."""
        return REPRODUCIBLE | {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.colsample,
            "lambda_l2": self.reg_lambda,
            "seed": self.random_state,
        }


def train_trees(
    matrix: FloatArray,
    labels: NDArray[Any],
    parameters: dict[str, Any],
    n_estimators: int,
    *,
    weight: FloatArray | None = None,
    group: list[int] | None = None,
) -> Any:
    """Train a LightGBM booster.

    Parameters
    ----------
    matrix : array of shape (n, p)
    labels, weight : arrays of shape (n,)
    parameters : dict
        Under LightGBM's names, with ``objective``.
    n_estimators : int
        Number of trees.
    group : list of int
        For rankers: the sizes of the groups, whose rows are adjacent.
    """
    import lightgbm

    data = lightgbm.Dataset(matrix, labels, weight=weight, group=group, params=parameters)
    return lightgbm.train(parameters, data, num_boost_round=n_estimators)


def raw_scores(booster: Any, matrix: FloatArray, *, otherwise: float = 0.0) -> FloatArray:
    """Return the raw scores of the rows, shape (n,); `otherwise` if `booster` is None."""
    if booster is None:
        return np.full(len(matrix), otherwise)
    return np.asarray(booster.predict(matrix, raw_score=True, num_threads=1))
