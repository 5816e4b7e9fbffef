"""Jobs on how well gains are predicted from a table: benchmarks, and importance of features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkResult, benchmark
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.evaluation.benchmark_text import predictor_label
from transfer_meta.evaluation.metric_rows import target_values
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.result_file import RESULT_METRICS
from transfer_meta.feature_importance import Importance, ImportanceSettings, importance
from transfer_meta.figures import charts
from transfer_meta.figures.svg import drawing, to_svg
from transfer_meta.files import save_table
from transfer_meta.outcomes.gain_definition import apply_gain_definition
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.pages.protocol_section import ceiling_section, matrix_section, protocol_section
from transfer_meta.pages.reliability_section import decision_section, reliability_section
from transfer_meta.predictors import make_predictor
from transfer_meta.records import OnProgress, Tell
from transfer_meta.results import plain_values
from transfer_meta.web.outcome_commands import equivalents
from transfer_meta.web.outcome_work import open_outcomes, write_section, write_values

PANELS = ("spearman", "auroc_within_target", "accuracy", "regret@1", "ndcg")
"""Metrics of the dot plot, of which the first two that are known are shown."""
MAX_IMPORTANCES_SHOWN = 20


def benchmark_table(
    folder: Path, parameters: Mapping[str, Any], tell: Tell, on_progress: OnProgress
) -> dict[str, Any]:
    """Evaluate predictors on a table and draw the figures of the report."""
    given = effective(parameters["settings"])
    settings = BenchmarkSettings(**given)
    table = open_outcomes(parameters["table"])
    tell(f"{table.name}: {len(table.pairs)} pairs under {settings.protocol.name}")
    result = benchmark(table, settings, on_progress=on_progress)
    if result.rows.empty:
        raise InputError("none of these predictors and metrics apply to the table")
    section = protocol_section(result)
    shown = {
        "protocol": section,
        "metrics": METRICS,
        "result": result,
        "dots": _dots(result),
    }
    write_section(folder / "results.html", "benchmark_results", shown)
    strict = not settings.protocol.is_shuffled
    more = {
        "n_pairs": result.n_pairs,
        "matrix": matrix_section(result),
        "ceiling": ceiling_section(result) if strict else None,
        "decisions": decision_section(result) if strict else None,
        "reliability": reliability_section({settings.protocol.name: result}),
    }
    write_section(folder / "more.html", "benchmark_more", more)
    compared = _compared(table, result)
    (folder / "comparisons.json").write_text(json.dumps(compared), encoding="utf-8")
    save_table(result.to_frame(), folder / "benchmark.csv")
    files = ["benchmark.csv", "benchmark.json"]
    write_values(folder / "benchmark.json", result.to_dict())
    if "path" not in parameters["table"] and set(result.rows["metric"]) & set(RESULT_METRICS):
        result.save(folder / "results.json")
        files.append("results.json")
    return {
        "name": table.name,
        "caption": result.caption,
        "seconds": result.seconds,
        "finding": section["finding"],
        "notes": list(result.notes),
        "compared": list(compared["values"]),
        "equivalents": equivalents("benchmark", parameters["table"], given),
        "files": files,
    }


def effective(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a benchmark without those that have no effect, which the command refuses.

    Examples
    --------
    >>> effective({"predictors": ["source-popularity"], "features": ["all"], "repeats": 3, "compare": "ndcg"})
    {'predictors': ['source-popularity']}
    """
    checked = BenchmarkSettings(**settings)
    chosen = [make_predictor(name) for name in checked.predictors]
    without = set()
    if chosen and not any(predictor.uses_features for predictor in chosen):
        without.add("features")
    if chosen and not (checked.protocol.is_shuffled or any(p.stochastic for p in chosen)):
        without.add("repeats")
    if len(chosen) == 1 and (len(checked.features) == 1 or not chosen[0].uses_features):
        without.add("compare")
    return {name: value for name, value in settings.items() if name not in without}


def _dots(result: BenchmarkResult) -> str:
    """Return the dot plot of the first metrics of `PANELS` that are known, the best predictor on top."""
    known = set(result.rows.dropna(subset=["value"])["metric"])
    panels = [name for name in dict.fromkeys((*PANELS, *METRICS)) if name in known][:2]
    if not panels:
        return ""
    dots = [
        result.dots(name).assign(metric=name, protocol=result.settings.protocol.name) for name in panels
    ]
    return charts.protocol_dots(
        pd.concat(dots),
        metrics={name: METRICS[name].title for name in panels},
        chance={name: result.chance_level(name) for name in panels},
    )


def _compared(table: OutcomeTable, result: BenchmarkResult) -> dict[str, Any]:
    """Return what a comparison of two predictors shows: differences, and the metric of each target."""
    metric = result.settings.compared
    if metric is None or result.comparisons.empty:
        return {"metric": metric, "values": {}, "rows": []}
    targets = apply_gain_definition(table, result.settings.gain_definition).pairs["target"].to_numpy()
    by_label = {predictor_label(*key): found for key, found in result.predictions.items()}
    values = {
        name: target_values(result.truth, by_label[name], metric, targets=targets)
        for name in result.dots(metric)["predictor"]
    }
    rows = [
        {
            "one": predictor_label(row["predictor"], row["features"]),
            "other": predictor_label(row["other"], row["other_features"]),
            **{
                name: row[name]
                for name in ("difference", "ci_low", "ci_high", "p_holm", "verdict", "n")
            },
        }
        for row in result.comparisons.to_dict("records")
    ]
    known = {name for row in rows for name in (row["one"], row["other"])}
    found: dict[str, Any] = plain_values(
        {
            "metric": metric,
            "title": METRICS[metric].title,
            "higher_is_better": METRICS[metric].higher_is_better,
            "values": {name: by_target for name, by_target in values.items() if name in known},
            "rows": rows,
        }
    )
    return found


def explain_table(
    folder: Path, parameters: Mapping[str, Any], tell: Tell, on_progress: OnProgress
) -> dict[str, Any]:
    """Compute which features predictions depend on."""
    settings = ImportanceSettings(**parameters["settings"])
    table = open_outcomes(parameters["table"])
    tell(f"{table.name}: {settings.method} of {settings.explained}")
    found = importance(table, settings, on_progress=on_progress)
    shown = {"figure": _importance_figure(found), "found": found, "settings": settings}
    write_section(folder / "importance.html", "importance_results", shown)
    save_table(found.to_frame(), folder / "importance.csv")
    write_values(folder / "importance.json", found.to_dict())
    return {
        "name": table.name,
        "caption": found.caption,
        "equivalents": equivalents("importance", parameters["table"], parameters["settings"]),
        "files": ["importance.csv", "importance.json"],
    }


def _importance_figure(found: Importance) -> str:
    if found.settings.method == "coefficients" and found.settings.by == "feature":
        return charts.coefficient_bars(found.rows, top=MAX_IMPORTANCES_SHOWN)
    rows = min(len(found.rows), MAX_IMPORTANCES_SHOWN)
    with drawing(7.5, charts.bars_height([""] * rows)) as figure:
        found.plot(figure.add_subplot())
        return to_svg(figure, name="importance", title=f"Bar chart of {found.caption}")
