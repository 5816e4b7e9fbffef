"""How far a predictor's probabilities and intervals can be relied on, as rows of the benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.calibration import error_if_calibrated, reliability
from transfer_meta.evaluation.classification import calibration_error
from transfer_meta.evaluation.conformal import COVERAGE, interval_coverage
from transfer_meta.evaluation.metrics import PairTruth
from transfer_meta.predictors import Prediction

FigureRows = list[dict[str, Any]]
# Labels drawn for the error of true probabilities, over all repeats together.
DRAWS = 200


def calibration_rows(
    truth: PairTruth, prediction: Prediction, *, seed: int
) -> tuple[FigureRows, FigureRows]:
    """The calibration error, mean over repeats, and the points of the reliability diagram, all repeats in one.

    Parameters
    ----------
    truth
        With gains, of n pairs.
    prediction
        Arrays of shape (repeats, n).
    seed : int
        Seed of the labels drawn for the error of true probabilities.
    """
    labels = truth.values("label")
    if labels is None:
        raise ValueError("probabilities of a gain need gains to be judged by")
    probability = prediction.probability
    draws = max(1, DRAWS // len(probability))
    if_true = [error_if_calibrated(p, draws=draws, seed=seed + i) for i, p in enumerate(probability)]
    error = calibration_error(labels, probability)
    points = reliability(np.broadcast_to(labels, probability.shape).ravel(), probability.ravel())
    summary = {"ece": float(error.mean()), "ece_if_calibrated": float(np.mean(if_true))}
    return [summary], points.to_dict("records")  # type: ignore[return-value]


def coverage_rows(truth: PairTruth, prediction: Prediction, *, targets: Any, seed: int) -> FigureRows:
    """How often measured gains lie in their intervals, each target's calibrated on the others.

    Of a random control's draws the first is judged.  No row with fewer than two targets.
    """
    found = interval_coverage(prediction.gain[0], truth.gain, targets)  # type: ignore[arg-type]
    if found.empty:
        return []
    low, high = bootstrap_over_targets(found["covered"], seed=seed)
    return [
        {
            "nominal": COVERAGE,
            "covered": float(found["covered"].mean()),
            "ci_low": low,
            "ci_high": high,
            "width": float(found["width"].mean()),
            "n": len(found),
        }
    ]
