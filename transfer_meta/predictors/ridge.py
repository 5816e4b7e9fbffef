"""Ridge regression of the standardised gain on within-target features and transfer history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import IntArray, id_column
from transfer_meta.predictors.history import HISTORY_FEATURES, history_features
from transfer_meta.predictors.outcome_tensor import STORED_TENSOR, OutcomeTensor
from transfer_meta.predictors.state_kinds import AsMade, Kind, Number, Numbers, scales
from transfer_meta.predictors.task_kernel import STORED_KERNEL, TaskKernel, kernel_columns
from transfer_meta.predictors.within_target import (
    WithinTarget,
    WithinTargetPredictor,
    group_codes,
    group_rows,
)
from transfer_meta.records import FloatArray, signed_log

RIDGE_PENALTIES = tuple(float(10.0**e) for e in np.arange(0.0, 5.1, 0.5))
"""Candidate penalties, of which `RidgePredictor` chooses one."""


class RidgePredictor(WithinTargetPredictor):
    """Ridge regression on features relative to the target's other sources, all settings pooled.

    The features are `HISTORY_FEATURES` and the table's features of the source, the pair and the ratio; if the
    latter are more numerous, they are scaled down to the total weight of the history.  The penalty of
    `RIDGE_PENALTIES` with the smallest squared error on left-out training targets is chosen, in closed form.

    Parameters
    ----------
    history : bool
        Whether the transfer history is used; otherwise the table's features only.

    Attributes
    ----------
    coef_ : array of shape (p,)
        Transfer history first, then the features of the table.
    penalty_ : float
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        "history": AsMade("history"),
        **WithinTargetPredictor.stored,
        "space_": STORED_KERNEL,
        "grid_": STORED_TENSOR,
        "centre_": Numbers("history+not_of_target"),
        "scale_": scales("history+not_of_target"),
        "penalty_": Number(),
        "coef_": Numbers("history+not_of_target"),
    }

    def __init__(self, history: bool = True) -> None:
        self.history = history

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        matrix = self._fit_features(X, z, weight)
        share = self._share()
        targets = np.unique(id_column(X, "target"), return_inverse=True)[1]
        root = np.sqrt(weight)
        # Weighted least squares: rows and gains times √weight.
        rows, scaled_z = matrix * share * root[:, None], z * root
        left_out = leave_group_out_ridge(rows, scaled_z, targets, penalties=RIDGE_PENALTIES)
        best = int(np.argmin(((left_out - scaled_z) ** 2).sum(axis=1)))
        self.penalty_ = RIDGE_PENALTIES[best]
        self._left_out = left_out[best] / root
        gram = rows.T @ rows + self.penalty_ * np.eye(rows.shape[1])
        self.coef_ = share * np.linalg.solve(gram, rows.T @ scaled_z)

    def _fit_features(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        """Fit the scales and return the relative features of the training rows, shape (n, p)."""
        outcomes = OutcomeTensor.from_pairs(X, z, weight)
        self.space_ = dict(vars(TaskKernel.fit(X, list(self.feature_names_in_), outcomes, z)))
        self.grid_ = dict(vars(outcomes))
        raw = self.raw_features(X)
        within = WithinTarget.fit(raw)
        self.centre_, self.scale_ = within.centre, within.scale
        return within.transform(raw, group_codes(X))

    def _share(self) -> FloatArray:
        """Return the scale of each column, which limits the total weight of the table's features."""
        n_history = len(HISTORY_FEATURES) if self.history else 0
        varied = int((self.scale_[n_history:] > 0).sum())
        of_table = np.sqrt(min(1.0, len(HISTORY_FEATURES) / max(1, varied)))
        return np.where(np.arange(len(self.scale_)) < n_history, 1.0, of_table)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        raw = self.raw_features(X)
        within = WithinTarget(self.centre_, self.scale_)
        return within.transform(raw, group_codes(X)) @ self.coef_

    def stored_names(self, features: Sequence[str]) -> dict[str, Sequence[str]]:
        return super().stored_names(features) | kernel_columns(features)

    def stored_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {"history": len(HISTORY_FEATURES) if self.history else 0}

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._left_out

    def raw_features(self, X: pd.DataFrame) -> FloatArray:
        """Return the features before they are made relative to the target's other sources.

        Parameters
        ----------
        X : DataFrame
            n pairs, with the columns seen in `fit`.

        Returns
        -------
        array of shape (n, p)
            `HISTORY_FEATURES`, if used, then `signed_log` of the table's features except those of the target; NaN
            where unknown.
        """
        columns = [c for c in self.feature_names_in_ if not c.startswith("target.")]
        values = signed_log(X[columns].to_numpy(dtype=float))
        if not self.history:
            return values
        kernel = TaskKernel(**self.space_).extended(X)
        return np.hstack([history_features(OutcomeTensor(**self.grid_), X, kernel), values])


def leave_group_out_ridge(
    matrix: FloatArray, z: FloatArray, groups: IntArray, *, penalties: Sequence[float]
) -> FloatArray:
    """Return predictions of every group's rows by ridge regressions on the other groups, in closed form.

    The predictions are X_g (XᵀX − X_gᵀX_g + λI)⁻¹ (Xᵀz − X_gᵀz_g).

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
