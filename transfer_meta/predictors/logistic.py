"""Logistic regression on the sign of the gain, as in Bingel & Søgaard 2017."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy.special import expit

from transfer_meta.predictors.base import (
    CLASS_MEANS,
    VALIDATED_COLUMNS,
    Fold,
    Prediction,
    TransferPredictor,
    class_means,
    expected_gain,
)
from transfer_meta.predictors.logistic_solver import BoolArray, scale_and_fill, solve, with_intercept
from transfer_meta.predictors.state_kinds import POSITIVE, Kind, Number, Numbers
from transfer_meta.records import FloatArray

STACK_SIZE = 200_000
"""Approximate number of values in a stack of folds that are solved together; fits the CPU cache."""
COEFFICIENTS: Mapping[str, Kind] = {
    "coef_": Numbers("inputs+1"),
    "low_": Numbers("inputs"),
    "width_": Numbers("inputs", low=POSITIVE),
    "fill_": Numbers("inputs"),
    "means_": CLASS_MEANS,
}
"""What is stored of a fit, whose inputs need not be the columns of the table."""


class LogisticPredictor(TransferPredictor):
    """P(gain > 0) by L2-regularised logistic regression on min-max scaled features.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty on coefficients and intercept.

    Attributes
    ----------
    coef_ : array of shape (p + 1,)
        Coefficients in units of the scaled features, the intercept last.
    low_, width_, fill_ : arrays of shape (p,)
        Minimum, range and median of the training rows.
    means_ : array of shape (2,)
        Mean gain of the training pairs without and with gain.
    """

    stored: ClassVar[Mapping[str, Kind]] = {"C": Number(), **VALIDATED_COLUMNS, **COEFFICIENTS}

    def __init__(self, C: float = 1.0) -> None:
        self.C = C

    def fit(self, X: Any, y: Any) -> Self:
        matrix, y = self.matrix_and_gain(X, y)
        train = np.ones((1, len(y)), dtype=bool)
        scaled, low, width, fill = scale_and_fill(matrix, train)
        self.coef_ = self.solve_folds(scaled, y > 0, train)[0]
        self.low_, self.width_, self.fill_ = low[0], width[0], fill[0]
        self.means_ = class_means(y)
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        matrix = self.matrix(X, reset=False)
        matrix = np.where(np.isnan(matrix), self.fill_, matrix)
        margin = (matrix - self.low_) / self.width_ @ self.coef_[:-1] + self.coef_[-1]
        return _prediction(margin, self.means_)

    def solve_folds(self, scaled: FloatArray, y: BoolArray, train: BoolArray) -> FloatArray:
        """Return the coefficients for each training set, intercept last, shape (b, p + 1)."""
        return solve(with_intercept(scaled), y, train, C=self.C)

    def fold_coefficients(self, X: pd.DataFrame, y: FloatArray, folds: Sequence[Fold]) -> FloatArray:
        """Return coefficients on scaled features of a fit to the training rows of each fold, shape (b, p)."""
        return np.concatenate([w for _, w, _ in self._stacks(self.matrix(X, reset=True), y, folds)])[
            :, :-1
        ]

    def predict_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[Prediction]:
        predictions = []
        for scaled, w, part in self._stacks(self.matrix(X, reset=True), y, folds):
            margin = np.matmul(w[:, None, :-1], scaled)[:, 0] + w[:, -1:]
            predictions += [
                _prediction(margin[i, test], class_means(y[train]))
                for i, (train, test) in enumerate(part)
            ]
        return predictions

    def stored_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {"inputs": sizes["features"]} if "features" in sizes else {}

    def _stacks(self, matrix: FloatArray, y: FloatArray, folds: Sequence[Fold]) -> Any:
        size = max(1, STACK_SIZE // matrix.size)
        for first in range(0, len(folds), size):
            part = folds[first : first + size]
            train = np.zeros((len(part), len(y)), dtype=bool)
            for problem, (rows, _) in enumerate(part):
                train[problem, rows] = True
            scaled = scale_and_fill(matrix, train)[0]
            yield scaled, self.solve_folds(scaled, y > 0, train), part


def _prediction(margin: FloatArray, means: FloatArray) -> Prediction:
    probability = expit(margin)
    return Prediction(probability, expected_gain(probability, means), margin)
