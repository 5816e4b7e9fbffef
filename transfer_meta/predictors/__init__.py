"""Predictors of transfer gains, scikit-learn style; `PREDICTORS` has them by name."""

from transfer_meta.predictors.base import Prediction, TransferPredictor
from transfer_meta.predictors.registry import (
    BY_TARGET,
    OF_SETS,
    PREDICTORS,
    TUNED,
    UNTUNED,
    make_predictor,
)

__all__ = [
    "BY_TARGET",
    "OF_SETS",
    "PREDICTORS",
    "TUNED",
    "UNTUNED",
    "Prediction",
    "TransferPredictor",
    "make_predictor",
]
