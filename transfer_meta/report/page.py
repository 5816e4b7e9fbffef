"""A report as one self-contained HTML page."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from transfer_meta import __version__
from transfer_meta.evaluation.benchmark import BenchmarkResult
from transfer_meta.evaluation.calibration import expected_calibration_error
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.files import atomic_file
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import make_predictor
from transfer_meta.report import figures
from transfer_meta.report.build import (
    Report,
    difference_within_targets,
    figure_of,
    reliability_points,
)
from transfer_meta.report.published import PUBLISHED, Published
from transfer_meta.report.task_map import task_map

MEANINGS = {
    "pairs-5fold": (
        "What the names of the tasks give away is not what features explain: read it beside the controls."
    ),
    "leave-one-target-out": (
        "The question of somebody with a new target and known sources; the target may still be a source in"
        " training."
    ),
    "leave-one-task-out": "The question of somebody with a task that nobody has seen, and known sources.",
    "leave-two-tasks-out": "Only features can carry over.",
}
CONTROLS = {
    "always-gain": "every source helps",
    "always-loss": "no source helps",
    "random": "a random number for each pair",
    "target-identity": "knows the target's name and nothing else",
    "target-gain-rate": "how often the other sources helped this target",
    "source-popularity": "how much the source helped the other targets",
    "size-rule": "the source has more data than the target",
    "curve-gradient-rule": "the target's learning curve is flatter than the source's",
    "random-fingerprints": "logistic regression on random numbers in place of features",
    "textemb": "cosine of the mean token vectors of the tasks' texts",
    "taskemb": "fused ranks of the cosines of the components of the Fisher information",
    "taskemb-centred": "the same cosines with what all tasks have in common taken off",
    "text+task": "fused ranks of textemb and taskemb",
}
SHOWN_METRICS = (
    "accuracy", "f1", "auroc", "auroc_within_target", "brier",
    "spearman", "ndcg", "ndcg_exp", "regret@1", "regret@3", "mean_rank", "hit@1",
)  # fmt: skip
PANELS = {"accuracy": "accuracy", "auroc_within_target": "AUROC within target"}
# A matrix with more tasks on a side could not be read.
LARGEST_HEATMAP = 40
IMPORTANCES_SHOWN = 12


def write_report(report: Report, path: Path | str) -> Path:
    """Write the page, whole or not at all; an InputError where `path` cannot be written."""
    text = render(report)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def render(report: Report) -> str:
    """The page as text.  Everything that comes from the table is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    template = environment.from_string(
        files("transfer_meta.report").joinpath("template.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(_context(report))


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number for reading; a dash where there is none.

    Examples
    --------
    >>> number(0.7491), number(-1.5, 2, sign=True), number(float("nan"))
    ('0.749', '−1.50', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def _context(report: Report) -> dict[str, Any]:
    table = report.table
    results = {result.settings.protocol: result for result in report.benchmarks}
    published = PUBLISHED.get(table.name)
    return {
        "version": __version__,
        "table": table,
        "first": report.benchmarks[0],
        "seconds": report.seconds,
        "skipped": report.skipped,
        "n_settings": table.pairs["setting"].nunique(),
        "n_features": len(build_metadataset(table).features),
        "heatmap": _heatmap(table),
        "published": published,
        "comparison": _comparison(results, published),
        "dots": _dots(results),
        "protocols": [_protocol(name, result) for name, result in results.items()],
        "controls": {
            n: m for n, m in CONTROLS.items() if n in set(report.benchmarks[0].rows["predictor"])
        },
        "task_map": task_map(report.vectors, report.types) if len(report.vectors) > 2 else None,
        "coefficients": _coefficients(report, published),
        "importances": _importances(report),
        "reliability": _reliability(results) if table.has_gain else None,
        "metrics": {key: METRICS[key] for key in SHOWN_METRICS},
    }


def _heatmap(table: OutcomeTable) -> str | None:
    if not table.has_gain:
        return None
    gains = table.pairs.pivot_table(index="target", columns="source", values="gain", aggfunc="mean")
    if max(gains.shape) > LARGEST_HEATMAP:
        return None
    return figures.gain_heatmap(gains)


def _comparison(
    results: dict[str, BenchmarkResult], published: Published | None
) -> list[dict[str, Any]] | None:
    if published is None or published.protocol not in results:
        return None
    result = results[published.protocol]
    rows = []
    for row in published.results:
        of_f1 = (row.f1_predictor or row.predictor, row.features)
        rows.append(
            {
                "row": row,
                "accuracy": figure_of(result, row.predictor, row.features, "accuracy"),
                "f1": figure_of(result, *of_f1, "f1"),
            }
        )
    return rows


def _dots(results: dict[str, BenchmarkResult]) -> str | None:
    parts = []
    for protocol, result in results.items():
        rows = result.rows[result.rows["metric"].isin(PANELS)].copy()
        rows["predictor"] = [
            _label(p, f) for p, f in zip(rows["predictor"], rows["features"], strict=True)
        ]
        parts.append(rows.assign(protocol=protocol))
    together = pd.concat(parts)
    if together.empty:
        return None
    rate = next(iter(results.values())).positive_rate
    chance = {"accuracy": max(rate, 1 - rate), "auroc_within_target": 0.5}
    return figures.protocol_dots(together, metrics=PANELS, chance=chance)


def _protocol(name: str, result: BenchmarkResult) -> dict[str, Any]:
    metrics = [m for m in SHOWN_METRICS if m in set(result.rows["metric"])]
    keys = result.rows[["predictor", "features"]].drop_duplicates().itertuples(index=False, name=None)
    return {
        "name": name,
        "title": PROTOCOLS[name].title,
        "meaning": MEANINGS.get(name, ""),
        "finding": _finding(result),
        "result": result,
        "metrics": metrics,
        "rows": [
            {
                "predictor": predictor,
                "features": features,
                "control": _is_control(predictor),
                "optimistic": make_predictor(predictor).optimistic,
                "cells": [figure_of(result, predictor, features, m) for m in metrics],
            }
            for predictor, features in keys
        ],
        "skipped": result.skipped,
    }


def _finding(result: BenchmarkResult) -> str:
    """What the figures say of the features, in a sentence or two."""
    metric = "accuracy" if PROTOCOLS[result.settings.protocol].repeated else "auroc_within_target"
    if metric not in set(result.rows["metric"]):
        metric = "spearman"
    rows = result.rows[result.rows["metric"] == metric].dropna(subset="value")
    rows = rows[[not make_predictor(p).optimistic for p in rows["predictor"]]]
    control = rows["predictor"].map(_is_control)
    if control.all() or not control.any():
        return ""
    best, other = (
        rows[kind].iloc[int(rows.loc[kind, "value"].argmax())] for kind in (~control, control)
    )
    names = [_label(row["predictor"], row["features"]) for row in (best, other)]
    title = PANELS.get(metric, METRICS[metric].title)
    figures_said = (
        f"Best of the predictors that learn from features: {names[0]}, {title} {number(best['value'])}."
        f" Best of the controls: {names[1]}, {number(other['value'])}."
    )
    if metric == "accuracy":
        if best["value"] > other["value"]:
            ahead = best["value"] - other["value"]
            return f"{figures_said} Features add {number(ahead)} to what is to be had without them."
        return f"{figures_said} What features reach here is to be had without them."
    difference, low, high = difference_within_targets(
        result, (best["predictor"], best["features"]), (other["predictor"], other["features"]), metric
    )
    verdict = (
        "the features add to what the controls know"
        if low > 0
        else "the controls are ahead"
        if high < 0
        else "the interval includes zero: no difference is shown"
    )
    return (
        f"{figures_said} Difference {number(difference, sign=True)}"
        f" [{number(low, sign=True)}, {number(high, sign=True)}] over targets: {verdict}."
    )


def _is_control(predictor: str) -> bool:
    return not make_predictor(predictor).uses_features


def _label(predictor: str, features: str) -> str:
    return predictor if features in ("–", "all") else f"{predictor} ({features})"


def _coefficients(report: Report, published: Published | None) -> dict[str, Any] | None:
    table = report.importances.get(("coefficients", "feature"))
    if table is None:
        return None
    rows = []
    for rank, (role, feature, sign) in enumerate(published.coefficients if published else (), start=1):
        match = table[(table["role"] == role) & (table["feature"] == feature)]
        ours = None if match.empty else match.iloc[0]
        rows.append(
            {
                "rank": rank,
                "name": f"{role} {feature}",
                "sign": sign,
                "our_rank": None if ours is None else int(match.index[0]) + 1,
                "ours": ours,
            }
        )
    return {"figure": figures.coefficient_bars(table), "beside": rows, "n": len(table)}


def _importances(report: Report) -> dict[str, pd.DataFrame]:
    titles = {
        ("permutation", "group"): "AUROC lost without a group of features (logistic)",
        ("permutation", "role"): "AUROC lost without the features of one role (logistic)",
        ("permutation", "feature"): "AUROC lost without one feature (logistic)",
        ("shap", "feature"): "Mean |SHAP value|, log-odds (lightgbm)",
    }
    return {
        title: report.importances[key].head(IMPORTANCES_SHOWN)
        for key, title in titles.items()
        if key in report.importances
    }


def _reliability(results: dict[str, BenchmarkResult]) -> dict[str, Any] | None:
    points = {
        protocol: reliability_points(result, "logistic", "all")
        for protocol, result in results.items()
        if ("logistic", "all") in result.predictions
    }
    if not points:
        return None
    return {
        "figure": figures.reliability_diagram(points),
        "errors": {protocol: expected_calibration_error(table) for protocol, table in points.items()},
    }
