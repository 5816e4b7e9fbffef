"""Ridge regression of the standardised gain on within-target features and transfer history."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.grid import OutcomeGrid
from transfer_meta.predictors.history import history_features
from transfer_meta.predictors.relative import RelativePredictor, WithinTarget, group_codes
from transfer_meta.predictors.task_space import TaskSpace, space_state
from transfer_meta.records import FloatArray

PENALTIES = tuple(float(10.0**e) for e in np.arange(0.0, 5.1, 0.5))


class RidgePredictor(RelativePredictor):
    """Linear in features relative to the target's other sources, all settings pooled.

    The features are the transfer history (`history.FEATURES`) and every feature of the source, of the pair and of
    the two tasks' ratio.  The penalty is the one of `PENALTIES` with the least squared error over left-out training
    targets, in closed form.

    Attributes
    ----------
    coef_ : array of shape (p,)
        History first, then the features of the table.
    penalty_ : float
    """

    uses_features: ClassVar[bool] = True

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        grid = OutcomeGrid.fitted(X, z, weight)
        self.space_ = space_state(TaskSpace.fitted(X, list(self.feature_names_in_), grid, z))
        self.grid_ = dict(vars(grid))
        raw = self._raw(X, TaskSpace(**self.space_))
        within = WithinTarget.fitted(raw)
        self.centre_, self.scale_ = within.centre, within.scale
        matrix = within.transform(raw, group_codes(X))
        targets = np.unique(X["target"].to_numpy(dtype=object), return_inverse=True)[1]
        root = np.sqrt(weight)
        # A row of weight w counts as √w times the row with √w times its truth.
        rows, truth = matrix * root[:, None], z * root
        left_out = {p: leave_group_out_ridge(rows, truth, targets, penalty=p) for p in PENALTIES}
        self.penalty_ = min(left_out, key=lambda p: float(((left_out[p] - truth) ** 2).sum()))
        self._left_out = left_out[self.penalty_] / root
        gram = rows.T @ rows + self.penalty_ * np.eye(rows.shape[1])
        self.coef_ = np.linalg.solve(gram, rows.T @ truth)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        raw = self._raw(X, TaskSpace(**self.space_).located(X))
        within = WithinTarget(self.centre_, self.scale_)
        return within.transform(raw, group_codes(X)) @ self.coef_

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._left_out

    def _raw(self, X: pd.DataFrame, space: TaskSpace) -> FloatArray:
        columns = [c for c in self.feature_names_in_ if not c.startswith("target.")]
        values = X[columns].to_numpy(dtype=float)
        values = np.sign(values) * np.log1p(np.abs(values))
        return np.hstack([history_features(OutcomeGrid(**self.grid_), X, space), values])


def leave_group_out_ridge(
    matrix: FloatArray, z: FloatArray, groups: NDArray[np.intp], *, penalty: float
) -> FloatArray:
    """Predictions of every group's rows by a ridge regression on the other groups, without refits.

    With H = X(XᵀX + λI)⁻¹Xᵀ and the residuals e = z − Hz of one fit to all rows, the residuals of a left-out
    group g are (I − H_gg)⁻¹ e_g.

    Parameters
    ----------
    matrix : array of shape (n, p)
    z : array of shape (n,)
    groups : array of shape (n,)
    penalty : float
        λ > 0.

    Returns
    -------
    array of shape (n,)

    Source: Hastie, Tibshirani & Friedman 2009, "The Elements of Statistical Learning", section 7.10, for one row
    at a time.
    """
    gram = matrix.T @ matrix + penalty * np.eye(matrix.shape[1])
    solved = np.linalg.solve(gram, matrix.T)
    residual = z - matrix @ (solved @ z)
    result = np.empty(len(z))
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        hat = matrix[rows] @ solved[:, rows]
        result[rows] = z[rows] - np.linalg.solve(np.eye(len(rows)) - hat, residual[rows])
    return result
