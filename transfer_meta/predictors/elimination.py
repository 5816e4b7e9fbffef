"""Logistic regression with recursive feature elimination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import Fold, Prediction
from transfer_meta.predictors.logistic import LogisticPredictor
from transfer_meta.predictors.logistic_solver import (
    BoolArray,
    eliminate,
    scale_and_fill,
    solve,
    with_intercept,
)
from transfer_meta.predictors.state_kinds import Kind, Number
from transfer_meta.records import FloatArray


class EliminationPredictor(LogisticPredictor):
    """Logistic regression on features selected by recursive elimination inside the training rows.

    The number of features is the smallest one with the highest accuracy in an inner cross-validation, in which
    scaling and elimination are repeated in every fold.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    n_splits, n_repeats : int
        Number of inner folds, and of repeats with new folds.
    random_state : int
        Seed of the inner folds.
    """

    stored: ClassVar[Mapping[str, Kind]] = {
        **LogisticPredictor.stored,
        "n_splits": Number(whole=True),
        "n_repeats": Number(whole=True),
        "random_state": Number(whole=True),
    }

    def __init__(
        self, C: float = 1.0, n_splits: int = 3, n_repeats: int = 1, random_state: int = 0
    ) -> None:
        super().__init__(C)
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.random_state = random_state

    def solve_folds(self, scaled: FloatArray, y: BoolArray, train: BoolArray) -> FloatArray:
        kept = self.select(scaled, y, train)
        # A dropped feature is zero in all rows, and so is its penalised coefficient.
        return solve(with_intercept(scaled * kept[..., None]), y, train, C=self.C)

    def select(self, scaled: FloatArray, y: BoolArray, train: BoolArray) -> BoolArray:
        """Return the mask of the selected features of each training set, shape (b, p)."""
        correct = np.zeros((scaled.shape[1], len(train)))
        for repeat in range(self.n_repeats):
            part = _inner_parts(train, self.n_splits, [self.random_state, repeat])
            for inner in range(self.n_splits):
                test = train & (part == inner)
                learn = train & ~test
                # The features are scaled by the outer training rows; min-max scaling can be composed.
                rescaled = _rescale(scaled, learn)
                margin = eliminate(rescaled, y, learn, C=self.C)[1]
                correct += (((margin > 0) == y) & test).sum(axis=-1)
        size = correct.argmax(axis=0) + 1  # the first maximum: the smallest number of features
        order = eliminate(scaled, y, train, C=self.C)[0]
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], axis=1)
        return rank >= order.shape[1] - size[:, None]


class OptimisticElimination(EliminationPredictor):
    """Logistic regression on features eliminated on *all* pairs, test folds included, as in Bingel & Søgaard 2017.

    Its figures are too good; it exists to reproduce the published ones.  Outside `predict_folds` it is
    `EliminationPredictor` with more inner repeats.
    """

    optimistic: ClassVar[bool] = True

    def __init__(
        self, C: float = 1.0, n_splits: int = 5, n_repeats: int = 20, random_state: int = 0
    ) -> None:
        super().__init__(C, n_splits, n_repeats, random_state)

    def predict_folds(
        self,
        X: pd.DataFrame,
        y: FloatArray,
        folds: Sequence[Fold],
        sample_weight: FloatArray | None = None,
    ) -> list[Prediction]:
        matrix = self.matrix(X, reset=True)
        everything = np.ones((1, len(y)), dtype=bool)
        scaled = scale_and_fill(matrix, everything)[0]
        order = eliminate(scaled, y > 0, everything, C=self.C)[0][0]
        size = self._best_size(matrix, order, y)
        chosen = X[list(self.feature_names_in_[order[-size:]])]
        return LogisticPredictor(self.C).predict_folds(chosen, y, folds)

    def _best_size(self, matrix: FloatArray, order: np.ndarray, y: FloatArray) -> int:
        everything = np.ones((1, len(y)), dtype=bool)
        parts = np.concatenate(
            [
                _inner_parts(everything, self.n_splits, [self.random_state, r])
                for r in range(self.n_repeats)
            ]
        )
        test = np.concatenate([parts == inner for inner in range(self.n_splits)])
        scaled = scale_and_fill(matrix, ~test)[0]
        accuracy = []
        for size in range(1, len(order) + 1):
            X = with_intercept(scaled[:, order[-size:]])
            w = solve(X, y > 0, ~test, C=self.C)
            margin = np.matmul(w[:, None, :], X)[:, 0]
            accuracy.append((((margin > 0) == (y > 0)) & test).sum())
        return int(np.argmax(accuracy)) + 1


def _inner_parts(train: BoolArray, n_splits: int, seed: list[int]) -> np.ndarray:
    """Return the number of a random equal part for each row of a training set, -1 outside it; shape (b, n).

    Each training set is shuffled by its own generator, so that its parts do not depend on the others.
    """
    parts = np.full(train.shape, -1)
    for row, mask in zip(parts, train, strict=True):
        n = int(mask.sum())
        row[mask] = np.random.default_rng(seed).permutation(n) * n_splits // n
    return parts


def _rescale(scaled: FloatArray, train: BoolArray) -> FloatArray:
    rows = train[:, None, :]
    low = np.where(rows, scaled, np.inf).min(axis=-1, keepdims=True)
    high = np.where(rows, scaled, -np.inf).max(axis=-1, keepdims=True)
    return (scaled - low) / np.where(high > low, high - low, 1.0)
