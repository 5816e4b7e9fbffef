"""Ridge regression of the standardised gain on within-target features and transfer history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.base import names
from transfer_meta.predictors.history import FEATURES as HISTORY
from transfer_meta.predictors.history import history_features
from transfer_meta.predictors.outcome_tensor import OutcomeTensor
from transfer_meta.predictors.task_kernel import TaskKernel, space_state
from transfer_meta.predictors.within_target import (
    RelativePredictor,
    WithinTarget,
    group_codes,
    group_rows,
)
from transfer_meta.records import FloatArray

RIDGE_PENALTIES = tuple(float(10.0**e) for e in np.arange(0.0, 5.1, 0.5))


class RidgePredictor(RelativePredictor):
    """Linear in features relative to the target's other sources, all settings pooled.

    The features are the transfer history (`history.FEATURES`) and every feature of the source, of the pair and of
    the two tasks' ratio; where the table's are the more, they are scaled down to weigh as much together as the
    history.  The penalty is the one of `RIDGE_PENALTIES` with the least squared error over left-out training
    targets, in closed form.

    Parameters
    ----------
    history : bool
        Whether the outcomes of other targets count as features; without them, only the table's own do.

    Attributes
    ----------
    coef_ : array of shape (p,)
        History first, then the features of the table.
    penalty_ : float
    """

    uses_features: ClassVar[bool] = True

    def __init__(self, history: bool = True) -> None:
        self.history = history

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        matrix = self._fit_features(X, z, weight)
        share = self._share()
        targets = np.unique(names(X, "target"), return_inverse=True)[1]
        root = np.sqrt(weight)
        # A row of weight w counts as √w times the row with √w times its truth.
        rows, truth = matrix * share * root[:, None], z * root
        left_out = leave_group_out_ridge(rows, truth, targets, penalties=RIDGE_PENALTIES)
        best = int(np.argmin(((left_out - truth) ** 2).sum(axis=1)))
        self.penalty_ = RIDGE_PENALTIES[best]
        self._left_out = left_out[best] / root
        gram = rows.T @ rows + self.penalty_ * np.eye(rows.shape[1])
        self.coef_ = share * np.linalg.solve(gram, rows.T @ truth)

    def _fit_features(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        """Learn the scales, and give the training rows' relative features, shape (n, p)."""
        grid = OutcomeTensor.fitted(X, z, weight)
        self.space_ = space_state(TaskKernel.fitted(X, list(self.feature_names_in_), grid, z))
        self.grid_ = dict(vars(grid))
        raw = self.raw_features(X)
        within = WithinTarget.fitted(raw)
        self.centre_, self.scale_ = within.centre, within.scale
        return within.transform(raw, group_codes(X))

    def _share(self) -> FloatArray:
        """Scale of each column, so that a hundred features of the table do not drown the history."""
        n_history = len(HISTORY) if self.history else 0
        varied = int((self.scale_[n_history:] > 0).sum())
        of_table = np.sqrt(min(1.0, len(HISTORY) / max(1, varied)))
        return np.where(np.arange(len(self.scale_)) < n_history, 1.0, of_table)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        raw = self.raw_features(X)
        within = WithinTarget(self.centre_, self.scale_)
        return within.transform(raw, group_codes(X)) @ self.coef_

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._left_out

    def raw_features(self, X: pd.DataFrame) -> FloatArray:
        """What `coef_` weighs, before it is made relative to the target's other sources.

        Parameters
        ----------
        X : DataFrame
            n pairs, with the columns seen in `fit`.

        Returns
        -------
        array of shape (n, p)
            The transfer history (`history.FEATURES`, where it counts), then the table's features but those of the
            target, each as sign(x)·ln(1 + |x|), NaN where unknown.
        """
        columns = [c for c in self.feature_names_in_ if not c.startswith("target.")]
        values = X[columns].to_numpy(dtype=float)
        values = np.sign(values) * np.log1p(np.abs(values))
        if not self.history:
            return values
        space = TaskKernel(**self.space_).located(X)
        return np.hstack([history_features(OutcomeTensor(**self.grid_), X, space), values])


def leave_group_out_ridge(
    matrix: FloatArray, z: FloatArray, groups: NDArray[np.intp], *, penalties: Sequence[float]
) -> FloatArray:
    """Predictions of every group's rows by ridge regressions on the other groups, without refits.

    The moments of the other groups are those of all rows less the group's own, so that the predictions are
    X_g (XᵀX − X_gᵀX_g + λI)⁻¹ (Xᵀz − X_gᵀz_g).

    Parameters
    ----------
    matrix : array of shape (n, p)
    z : array of shape (n,)
    groups : array of shape (n,)
        Codes from 0.
    penalties : sequence of float
        λ > 0, m of them.

    Returns
    -------
    array of shape (m, n)
    """
    gram, moment = matrix.T @ matrix, matrix.T @ z
    penalty = np.multiply.outer(np.asarray(penalties), np.eye(matrix.shape[1]))
    result = np.empty((len(penalty), len(z)))
    for rows in group_rows(groups):
        own = matrix[rows]
        others = moment - own.T @ z[rows]
        coefficients = np.linalg.solve(gram - own.T @ own + penalty, others[:, None])[..., 0]
        result[:, rows] = coefficients @ own.T
    return result
