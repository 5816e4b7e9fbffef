"""Report sections on calibration and on the decisions that predictors lead to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkResult
from transfer_meta.evaluation.benchmark_text import predictor_label
from transfer_meta.evaluation.calibration import reliability
from transfer_meta.figures import charts
from transfer_meta.pages.protocol_section import Results

RELIABILITY_PREDICTORS = ("default", "logistic")
"""The reliability diagram shows the first of these that was run."""


def reliability_section(results: Results) -> dict[str, Any] | None:
    """Return the reliability diagram and calibration errors, one line per protocol; None without gains."""
    points, errors = {}, []
    for protocol, result in results.items():
        predictor = next((p for p in RELIABILITY_PREDICTORS if (p, "all") in result.predictions), None)
        if predictor is None or result.calibration.empty:
            continue
        name = f"{protocol} ({predictor})"
        points[name] = reliability_points(result, predictor, "all")
        rows = result.calibration
        row = rows[(rows["predictor"] == predictor) & (rows["features"] == "all")].iloc[0]
        errors.append({"name": name, "ece": row["ece"], "if_calibrated": row["ece_if_calibrated"]})
    if not points:
        return None
    return {"figure": charts.reliability_diagram(points), "errors": errors}


def reliability_points(result: BenchmarkResult, predictor: str, features: str) -> pd.DataFrame:
    """Return the reliability table of out-of-fold probabilities over all repeats.

    Five bins, or ten for at least 500 pairs, so that every bin has enough pairs.
    """
    probability = result.predictions[predictor, features].probability
    truth = result.truth.values("label")
    if truth is None:
        raise InputError(f"'{result.dataset}' has no gains: there is no probability to check")
    n_bins = 10 if len(truth) >= 500 else 5
    return reliability(
        np.broadcast_to(truth, probability.shape).ravel(), probability.ravel(), n_bins=n_bins
    )


def decision_section(result: BenchmarkResult) -> dict[str, Any] | None:
    """Return the realised gain and interval coverage of each predictor; None without decisions."""
    if result.decisions.empty:
        return None
    trusted = result.decisions
    for frame, columns in (
        (result.coverage, {"covered": "covered", "ci_low": "inside_low", "ci_high": "inside_high",
                           "width": "width", "nominal": "nominal"}),
        (result.calibration, {"ece": "ece", "ece_if_calibrated": "ece_if_calibrated"}),
    ):  # fmt: skip
        key = ["predictor", "features"]
        frame = frame.reindex(columns=[*key, *columns]).rename(columns=columns)
        trusted = trusted.merge(frame, on=key, how="left")
    trusted = trusted.assign(
        name=[
            predictor_label(p, f)
            for p, f in zip(trusted["predictor"], trusted["features"], strict=True)
        ]
    )
    trusted = trusted.sort_values("gain", ascending=False, kind="stable")
    return {
        "figure": _dots(trusted),
        "rows": trusted.to_dict("records"),
        "protocol": result.settings.protocol.name,
        "n_targets": result.n_targets,
        "nominal": 0.9 if trusted["nominal"].isna().all() else trusted["nominal"].max(),
    }


def _dots(trusted: pd.DataFrame) -> str:
    """Plot realised gain and coverage, one panel each."""
    panels = {"gain": "realised gain", "covered": "pairs inside their interval"}
    intervals = {"gain": ("ci_low", "ci_high"), "covered": ("inside_low", "inside_high")}
    rows = pd.concat(
        trusted[["name", metric, *interval]]
        .set_axis(["predictor", "value", "ci_low", "ci_high"], axis=1)
        .assign(protocol="", metric=metric)
        for metric, interval in intervals.items()
    )
    chance = {"gain": 0.0, "covered": trusted["nominal"].max()}
    return charts.protocol_dots(rows, metrics=panels, chance=chance, name="decisions")
