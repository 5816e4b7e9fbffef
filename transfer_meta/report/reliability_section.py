"""Whether probabilities and intervals can be taken at their word, and what it brings to follow a predictor."""

from __future__ import annotations

from typing import Any

import pandas as pd

from transfer_meta.evaluation.benchmark import BenchmarkResult
from transfer_meta.report.build import reliability_points
from transfer_meta.report.figures import charts
from transfer_meta.report.protocol_section import Results, predictor_label

# Whose probabilities are drawn: the first that there is.
JUDGED = ("default", "logistic")


def reliability_section(results: Results) -> dict[str, Any] | None:
    """Reliability diagram and calibration errors, one line a protocol; None without gains."""
    points, errors = {}, []
    for protocol, result in results.items():
        predictor = next((p for p in JUDGED if (p, "all") in result.predictions), None)
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


def decision_section(result: BenchmarkResult) -> dict[str, Any] | None:
    """Realised gain of following each predictor, and how well its intervals hold; None where unknown."""
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
        "protocol": result.settings.protocol,
        "n_targets": result.n_targets,
        "nominal": 0.9 if trusted["nominal"].isna().all() else trusted["nominal"].max(),
    }


def _dots(trusted: pd.DataFrame) -> str:
    """Realised gain and coverage, one panel each."""
    panels = {"gain": "realised gain", "covered": "pairs inside their interval"}
    rows = pd.concat(
        [
            pd.DataFrame(
                {
                    "protocol": "",
                    "predictor": trusted["name"],
                    "metric": metric,
                    "value": trusted[metric],
                    "ci_low": trusted[low],
                    "ci_high": trusted[high],
                }
            )
            for metric, low, high in (
                ("gain", "ci_low", "ci_high"),
                ("covered", "inside_low", "inside_high"),
            )
        ]
    )
    chance = {"gain": 0.0, "covered": trusted["nominal"].max()}
    return charts.protocol_dots(rows, metrics=panels, chance=chance, name="decisions")
