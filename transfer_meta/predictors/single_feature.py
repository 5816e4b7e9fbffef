"""The embedding baseline: sources ranked by one similarity, with nothing learned but its calibration."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.predictors.base import Prediction, TransferPredictor
from transfer_meta.predictors.logistic import LogisticPredictor
from transfer_meta.records import ID_COLUMNS


class SimilarityPredictor(TransferPredictor):
    """Ranks sources by a similarity or a transferability score that the table has, higher first.

    The probability is a logistic regression on that one column, fitted on the training pairs; the ranking is the
    column itself, untouched by them.  A pair whose value is unknown stands at the training pairs' median.

    Parameters
    ----------
    feature : str or tuple of str
        Name of the pair feature, or several of which the first that the table has is used.

    Notes
    -----
    Vu et al. 2020, "Exploring and Predicting Transferability across NLP Tasks".
    """

    uses_features: ClassVar[bool] = False

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
        calibrated = self.calibration_.predict_pairs(X[[*ID_COLUMNS, column]])
        return Prediction(
            calibrated.probability, calibrated.gain, np.where(np.isnan(values), self.median_, values)
        )

    def check(self, X: pd.DataFrame) -> None:
        self._column(X)

    def _column(self, X: Any) -> str:
        names = (self.feature,) if isinstance(self.feature, str) else self.feature
        for name in names:
            if isinstance(X, pd.DataFrame) and f"pair.{name}" in X:
                return f"pair.{name}"
        raise InputError(
            f"this baseline needs the pair feature {' or '.join(names)}, and the table has none"
        )
