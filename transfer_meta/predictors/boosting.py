"""LightGBM on the features of pairs, for tables of tens to hundreds of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, ndtr

from transfer_meta.predictors.base import (
    CLASS_MEANS,
    VALIDATED_COLUMNS,
    Prediction,
    TransferPredictor,
    class_means,
    expected_gain,
)
from transfer_meta.predictors.state_kinds import AsMade, Kind, Number
from transfer_meta.predictors.tree_text import Trees
from transfer_meta.predictors.trees import TREE_PARAMETERS, TreeSettings, raw_scores, train_trees
from transfer_meta.records import FloatArray


@dataclass(repr=False, eq=False)
class LightGBMPredictor(TreeSettings, TransferPredictor):
    """Gradient-boosted trees on the sign or the size of the gain.

    Parameters
    ----------
    **settings
        See `TreeSettings`.
    objective : {"binary", "regression"}
        ``binary``: probability of gain.  ``regression``: expected gain; the probability of gain follows from a
        normal distribution around it with the standard deviation of the training residuals.

    Attributes
    ----------
    booster_ : lightgbm.Booster or None
        None if the training pairs have one class or one value only.
    """

    n_estimators: int = 60
    learning_rate: float = 0.08
    num_leaves: int = 4
    min_child_samples: int = 5
    reg_lambda: float = 1.0
    objective: str = "binary"

    stored: ClassVar[Mapping[str, Kind]] = {
        **TREE_PARAMETERS,
        "objective": AsMade("objective"),
        **VALIDATED_COLUMNS,
        "means_": CLASS_MEANS,
        "constant_": Number(),
        "booster_": Trees("features"),
        "spread_": Number(low=0),
    }

    def fit(self, X: Any, y: Any) -> Self:
        matrix, y = self.matrix_and_gain(X, y)
        self.means_ = class_means(y)
        # Prediction without a booster: the mean, or the log odds with half a pair added to each class.
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
        # Without residual spread the sign is certain; a gain of zero is no gain.
        probability = ndtr(raw / self.spread_) if self.spread_ > 0 else (raw > 0).astype(float)
        return Prediction(probability, raw, raw)

    def _train(self, matrix: FloatArray, y: FloatArray) -> Any:
        if np.ptp(y) == 0:
            return None
        parameters = self.lightgbm_parameters() | {"objective": self.objective}
        return train_trees(matrix, y, parameters, self.n_estimators)

    def _raw(self, matrix: FloatArray) -> FloatArray:
        return raw_scores(self.booster_, matrix, otherwise=self.constant_)
