"""What all predictors made of LightGBM's trees share: the settings, and training them reproducibly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.records import FloatArray

REPRODUCIBLE = {
    # One thread and a fixed layout: the same numbers on every machine, and folds run side by side.
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "min_data_in_bin": 1,
}


class TreeSettings:
    """The settings of predictors of boosted trees, as parameters of the predictor.

    The defaults of both predictors are for small tables: few leaves, strong shrinkage, half of the features a tree.

    Parameters
    ----------
    n_estimators : int
        Number of trees.
    learning_rate : float
        What each tree adds is multiplied by it.
    num_leaves : int
        Leaves of a tree.
    min_child_samples : int
        Rows of a leaf, at least.
    colsample : float
        Share of the features that a tree is made of, drawn anew for each.
    reg_lambda : float
        L2 penalty on the leaves' values.
    random_state : int
        Seed of what is drawn.
    """

    n_estimators: int
    learning_rate: float
    num_leaves: int
    min_child_samples: int
    colsample: float
    reg_lambda: float
    random_state: int

    def lightgbm_settings(self) -> dict[str, Any]:
        """The settings by LightGBM's names, without the number of trees."""
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
    settings: dict[str, Any],
    n_estimators: int,
    *,
    weight: FloatArray | None = None,
    group: list[int] | None = None,
) -> Any:
    """A booster.

    Parameters
    ----------
    matrix : array of shape (n, p)
    labels, weight : arrays of shape (n,)
    settings : dict
        By LightGBM's names, with ``objective``.
    n_estimators : int
        Number of trees.
    group : list of int
        For rankers: the sizes of the groups, whose rows stand together.
    """
    import lightgbm

    data = lightgbm.Dataset(matrix, labels, weight=weight, group=group, params=settings)
    return lightgbm.train(settings, data, num_boost_round=n_estimators)


def raw_scores(booster: Any, matrix: FloatArray, *, otherwise: float = 0.0) -> FloatArray:
    """Raw scores of the rows, shape (n,); `otherwise` where there is no booster."""
    if booster is None:
        return np.full(len(matrix), otherwise)
    return np.asarray(booster.predict(matrix, raw_score=True, num_threads=1))
