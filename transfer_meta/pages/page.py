"""Report of a table of outcomes as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.evaluation.benchmark import BenchmarkResult
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.figures import charts
from transfer_meta.figures.learning_curves import learning_curves
from transfer_meta.figures.task_map import task_map
from transfer_meta.figures.violins import score_violins, target_scores
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.pages.importance_section import coefficient_section, importance_tables
from transfer_meta.pages.protocol_section import (
    CONTROLS,
    REPORT_METRICS,
    ceiling_section,
    matrix_section,
    protocol_panels,
    protocol_section,
    published_comparison,
)
from transfer_meta.pages.published_figures import PUBLISHED
from transfer_meta.pages.reliability_section import decision_section, reliability_section
from transfer_meta.pages.templates import render_template

if TYPE_CHECKING:
    from transfer_meta.pages.build import Report

MAX_TASKS_SHOWN = 40
"""Figures with one row or picture per task are left out for more tasks."""


def render(report: Report) -> str:
    """Return the page as HTML; everything from the table is escaped."""
    table = report.table
    results = {result.settings.protocol.name: result for result in report.benchmarks}
    # Sections on one protocol show the first that holds out targets: shuffled pairs leak.
    strict = next((r for r in report.benchmarks if not r.settings.protocol.is_shuffled), None)
    first = report.benchmarks[0]
    published = PUBLISHED.get(table.name)
    return render_template(
        "report.html.jinja",
        {
            "version": __version__,
            "table": table,
            "first": first,
            "seconds": report.seconds,
            "skipped": report.skipped,
            "n_settings": table.pairs["setting"].nunique(),
            "seeds": seed_span(table),
            "n_features": len(build_metadataset(table).features),
            "heatmap": gain_section(table),
            "violins": None if strict is None else violin_section(table, strict),
            "published": published,
            "comparison": published_comparison(results, published),
            "dots": protocol_panels(results),
            "protocols": [protocol_section(result) for result in report.benchmarks],
            "matrix": None if strict is None else matrix_section(strict),
            "ceiling": None if strict is None else ceiling_section(strict),
            "decisions": None if strict is None else decision_section(strict),
            "controls": {n: m for n, m in CONTROLS.items() if n in set(first.rows["predictor"])},
            "curves": curve_section(report.curves),
            "task_map": task_map(report.vectors, report.types) if len(report.vectors) > 2 else None,
            "coefficients": coefficient_section(report, published),
            "importances": importance_tables(report),
            "reliability": reliability_section(results),
            "metrics": {key: METRICS[key] for key in REPORT_METRICS},
        },
    )


def gain_section(table: OutcomeTable) -> str | None:
    """Return the heat map of the gains; None without gains, or with too many tasks."""
    if not table.has_gain:
        return None
    gains = table.pairs.pivot_table(index="target", columns="source", values="gain", aggfunc="mean")
    if max(gains.shape) > MAX_TASKS_SHOWN:
        return None
    return charts.gain_heatmap(gains)


def violin_section(table: OutcomeTable, result: BenchmarkResult) -> dict[str, Any] | None:
    """Return the scores or gains of each target with the picks of predictors; None with too many targets."""
    rows = target_scores(table, result)
    if len(rows) > MAX_TASKS_SHOWN:
        return None
    unit = "score" if "score" in table.pairs else "gain"
    return {
        "figure": score_violins(rows, unit=unit),
        "unit": unit,
        "n_targets": len(rows),
        "n_sources": _span(len(row.scores) for row in rows),
        "protocol": result.settings.protocol.name,
        "baseline": any(row.baseline is not None for row in rows),
    }


def curve_section(curves: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return the learning curves of single-task runs; None without any, or with too many tasks."""
    if curves is None or curves.empty or curves["task"].nunique() > MAX_TASKS_SHOWN:
        return None
    seeds = curves.groupby("task")["seed"].nunique()
    return {"figure": learning_curves(curves), "n_tasks": len(seeds), "n_seeds": int(seeds.max())}


def seed_span(table: OutcomeTable) -> str:
    """Return the range of the numbers of seeds of a pair; empty if all pairs have one."""
    seeds = table.pairs["n_seeds"]
    return _span(seeds) if seeds.max() > 1 else ""


def _span(numbers: Iterable[int]) -> str:
    """Return the range of numbers as text, ``3`` or ``3 to 4``."""
    ordered = sorted(numbers)
    few, many = ordered[0], ordered[-1]
    return str(few) if few == many else f"{few} to {many}"
