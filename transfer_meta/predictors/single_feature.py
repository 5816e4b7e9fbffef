"""Ranking by one pair feature, such as an embedding similarity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import Prediction, TransferPredictor
from transfer_meta.predictors.logistic import LogisticPredictor
from transfer_meta.predictors.state_kinds import AsMade, InnerPredictor, Kind, Number
from transfer_meta.records import ID_COLUMNS


class SimilarityPredictor(TransferPredictor):
    """Rank sources by a similarity or a transferability score in the table, higher first.

    The probability is a logistic regression on that column; the ranking is the column itself, the median of the
    training pairs where unknown.

    Parameters
    ----------
    feature : str or tuple of str
        Pair feature; of several, the first one in the table is used.

    References
    ----------
    Vu et al. 2020, "Exploring and Predicting Transferability across NLP Tasks".
    """

    uses_features: ClassVar[bool] = False
    stored: ClassVar[Mapping[str, Kind]] = {
        "feature": AsMade("feature"),
        "median_": Number(),
        "calibration_": InnerPredictor(LogisticPredictor),
    }

    def __init__(self, feature: str | tuple[str, ...] = "mean_textemb") -> None:
        self.feature = feature

    def fit(self, X: Any, y: Any) -> Self:
        column = self._column(X)
        values = X[column].to_numpy(dtype=float)
        self.median_ = float(np.nanmedian(values)) if not np.isnan(values).all() else 0.0
        self.calibration_ = LogisticPredictor().fit(X[[*ID_COLUMNS, column]], y)
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        column = self._column(X)
        values = X[column].to_numpy(dtype=float)
        probability, gain, _ = self.calibration_.predict_pairs(X[[*ID_COLUMNS, column]])
        return Prediction(probability, gain, np.where(np.isnan(values), self.median_, values))

    def check(self, X: pd.DataFrame) -> None:
        self._column(X)

    def _column(self, X: Any) -> str:
        features = (self.feature,) if isinstance(self.feature, str) else self.feature
        for feature in features:
            if isinstance(X, pd.DataFrame) and f"pair.{feature}" in X:
                return f"pair.{feature}"
        raise InputError(
            f"this baseline needs the pair feature {' or '.join(features)}, and the table has none"
        )
