"""Calibration of probabilities and coverage of intervals, as rows of the benchmark."""

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
N_LABEL_DRAWS = 200
"""Draws of labels, over all repeats together, for `error_if_calibrated`."""


def calibration_rows(
    truth: PairTruth, prediction: Prediction, *, seed: int
) -> tuple[FigureRows, FigureRows]:
    """Return the calibration error, mean over repeats, and the points of the reliability diagram of all repeats.

    Parameters
    ----------
    truth : PairTruth
        With gains, of n pairs.
    prediction : Prediction
        Arrays of shape (repeats, n).
    seed : int
        Seed of the labels drawn for `error_if_calibrated`.
    """
    labels = truth.values("label")
    if labels is None:
        raise ValueError("calibration of probabilities needs gains")
    probability = prediction.probability
    draws = max(1, N_LABEL_DRAWS // len(probability))
    if_true = [error_if_calibrated(p, draws=draws, seed=seed + i) for i, p in enumerate(probability)]
    error = calibration_error(labels, probability)
    points = reliability(np.broadcast_to(labels, probability.shape).ravel(), probability.ravel())
    summary = {"ece": float(error.mean()), "ece_if_calibrated": float(np.mean(if_true))}
    return [summary], points.to_dict("records")  # type: ignore[return-value]


def coverage_rows(truth: PairTruth, prediction: Prediction, *, targets: Any, seed: int) -> FigureRows:
    """Return how often measured gains lie in their intervals, each target's calibrated on the others.

    Of a random control the first draw is used.  No row with fewer than two targets.
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
