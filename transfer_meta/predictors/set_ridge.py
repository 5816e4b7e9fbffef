"""Ridge regression of the standardised gain on the features of sets of sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import id_column
from transfer_meta.predictors.ridge import RIDGE_PENALTIES, leave_group_out_ridge
from transfer_meta.predictors.state_kinds import Kind, Number, Numbers, scales
from transfer_meta.predictors.within_target import WithinTarget, WithinTargetPredictor, group_codes
from transfer_meta.records import FloatArray, signed_log

SET_PREFIXES = ("pair.set_", "pair.chain_")
"""Beginnings of the columns that describe a set of sources."""
GAIN_COLUMNS = ("pair.set_mean", "pair.set_max", "pair.set_sum", "pair.set_size", "pair.set_second")
"""Columns that follow from the number of sources and their expected gains alone."""


class SetRidgePredictor(WithinTargetPredictor):
    """Ridge regression on the features of a set of sources, relative to the target's other sets.

    Either all features of the set are used, or those alone that follow from the number and the expected gains of
    its sources.  This and the penalty of `ridge.RIDGE_PENALTIES` are those with the smallest squared error on
    left-out training targets, in closed form.

    Attributes
    ----------
    coef_ : array of shape (p,)
        Of the features of the pair; 0 for those that are not used.
    penalty_ : float
    """

    needs_features: ClassVar[bool] = True
    stored: ClassVar[Mapping[str, Kind]] = {
        **WithinTargetPredictor.stored,
        "centre_": Numbers("pairs"),
        "scale_": scales("pairs"),
        "penalty_": Number(),
        "coef_": Numbers("pairs"),
    }

    def check(self, X: pd.DataFrame) -> None:
        if not any(str(column).startswith(SET_PREFIXES) for column in X):
            raise InputError(
                "this predictor needs the features of sets of sources (set_sum, …), and the table has none"
            )

    def fit_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> None:
        self.check(X)
        raw = self._raw(X)
        within = WithinTarget.fit(raw)
        self.centre_, self.scale_ = within.centre, within.scale
        matrix = within.transform(raw, group_codes(X))
        targets = np.unique(id_column(X, "target"), return_inverse=True)[1]
        root = np.sqrt(weight)
        best = np.inf
        for used in self._choices():
            rows, scaled_z = matrix * used * root[:, None], z * root
            left_out = leave_group_out_ridge(rows, scaled_z, targets, penalties=RIDGE_PENALTIES)
            errors = ((left_out - scaled_z) ** 2).sum(axis=1)
            if errors.min() < best:
                best, at = errors.min(), int(np.argmin(errors))
                self.penalty_ = RIDGE_PENALTIES[at]
                self._left_out = left_out[at] / root
                gram = rows.T @ rows + self.penalty_ * np.eye(rows.shape[1])
                self.coef_ = used * np.linalg.solve(gram, rows.T @ scaled_z)

    def ranking(self, X: pd.DataFrame) -> FloatArray:
        within = WithinTarget(self.centre_, self.scale_)
        return within.transform(self._raw(X), group_codes(X)) @ self.coef_

    def inner_ranking(self, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> FloatArray:
        return self._left_out

    def _columns(self) -> list[str]:
        return [c for c in self.feature_names_in_ if c.startswith("pair.")]

    def _raw(self, X: pd.DataFrame) -> FloatArray:
        return signed_log(X[self._columns()].to_numpy(dtype=float))

    def _choices(self) -> list[FloatArray]:
        """Return masks of the features of the pair: the gains and the number alone, and all of the set."""
        columns = self._columns()
        of_gains = np.array([float(c in GAIN_COLUMNS) for c in columns])
        of_set = np.array([float(c.startswith(SET_PREFIXES)) for c in columns])
        return [mask for mask in (of_gains, of_set) if mask.any()]
