"""Rules that compare one feature of source and target, without learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import (
    CLASS_MEANS,
    Prediction,
    TransferPredictor,
    class_means,
    expected_gain,
)
from transfer_meta.predictors.state_kinds import AsMade, Kind
from transfer_meta.records import FloatArray


class RulePredictor(TransferPredictor):
    """Predict a gain from the difference of one feature between source and target.

    Parameters
    ----------
    feature : str or tuple of str
        Task feature; of several, the first one in the table is used.
    flatter_target : bool
        False: the source helps if its value is larger (size rule: more data).
        True: it helps if its absolute value is larger (curve-gradient rule: a target whose learning curve has
        flattened profits from a source that is still learning, Bingel & Søgaard 2017).
    """

    uses_features: ClassVar[bool] = False
    stored: ClassVar[Mapping[str, Kind]] = {
        "feature": AsMade("feature"),
        "flatter_target": AsMade("flatter_target"),
        "means_": CLASS_MEANS,
    }

    def __init__(self, feature: str | tuple[str, ...] = "size", flatter_target: bool = False) -> None:
        self.feature = feature
        self.flatter_target = flatter_target

    def fit(self, X: Any, y: Any) -> Self:
        self.means_ = class_means(np.asarray(y, dtype=float))
        return self

    def check(self, X: pd.DataFrame) -> None:
        self._margin(X)

    def predict_pairs(self, X: Any) -> Prediction:
        margin = self._margin(X)
        probability = (margin > 0).astype(float)
        return Prediction(probability, expected_gain(probability, self.means_), margin)

    def _margin(self, X: Any) -> FloatArray:
        features = (self.feature,) if isinstance(self.feature, str) else self.feature
        for feature in features:
            columns = [f"{role}.{feature}" for role in ("source", "target")]
            if isinstance(X, pd.DataFrame) and set(columns) <= set(X):
                source, target = (X[c].to_numpy(dtype=float) for c in columns)
                if self.flatter_target:
                    source, target = np.abs(source), np.abs(target)
                return np.nan_to_num(source - target, nan=0.0)
        raise InputError(
            f"this rule needs the task feature {' or '.join(features)}, and the table has none"
        )
