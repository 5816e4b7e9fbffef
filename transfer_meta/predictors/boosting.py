"""LightGBM on the features of pairs, with settings for tables of tens to hundreds of rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import expit, ndtr

from transfer_meta.predictors.base import Prediction, TransferPredictor, class_means, expected_gain
from transfer_meta.predictors.trees import TreeSettings, raw_scores, train_trees
from transfer_meta.records import FloatArray


class LightGBMPredictor(TreeSettings, TransferPredictor):
    """Gradient-boosted trees on the sign or the size of the gain.

    Parameters
    ----------
    objective : {"binary", "regression"}
        ``binary``: probability of gain.  ``regression``: expected gain; its probability of gain is that of a normal
        distribution about it with the spread of the training residuals.
    n_estimators, learning_rate, num_leaves, min_child_samples, colsample, reg_lambda, random_state
        See `TreeSettings`.

    Attributes
    ----------
    booster_ : lightgbm.Booster or None
        None where the training pairs leave nothing to learn (one class, or one value).
    """

    def __init__(
        self,
        objective: str = "binary",
        n_estimators: int = 60,
        learning_rate: float = 0.08,
        num_leaves: int = 4,
        min_child_samples: int = 5,
        colsample: float = 0.5,
        reg_lambda: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.objective = objective
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample = colsample
        self.reg_lambda = reg_lambda
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        matrix, y = self.matrix_and_gain(X, y)
        self.means_ = class_means(y)
        # What is left to say where there is nothing to learn: the mean, or the log odds with half a pair added.
        odds = ((y > 0).sum() + 0.5) / ((y <= 0).sum() + 0.5)
        self.constant_ = float(np.log(odds) if self.objective == "binary" else y.mean())
        self.booster_ = self._train(matrix, (y > 0).astype(float) if self.objective == "binary" else y)
        self.spread_ = 0.0
        if self.objective == "regression":
            self.spread_ = float(np.std(y - self._raw(matrix)))
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        raw = self._raw(self.matrix(X, reset=False))
        if self.objective == "binary":
            probability = expit(raw)
            return Prediction(probability, expected_gain(probability, self.means_), raw)
        # With no spread the sign is certain; zero gain is no gain.
        probability = ndtr(raw / self.spread_) if self.spread_ > 0 else (raw > 0).astype(float)
        return Prediction(probability, raw, raw)

    def _train(self, matrix: FloatArray, y: FloatArray) -> Any:
        if np.ptp(y) == 0:
            return None
        settings = self.lightgbm_settings() | {"objective": self.objective}
        return train_trees(matrix, y, settings, self.n_estimators)

    def _raw(self, matrix: FloatArray) -> FloatArray:
        return raw_scores(self.booster_, matrix, otherwise=self.constant_)
