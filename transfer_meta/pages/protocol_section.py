"""Report sections on the protocols: results, controls, published figures, comparisons and noise ceiling."""

from __future__ import annotations

from typing import Any

import pandas as pd

from transfer_meta.evaluation.benchmark import BenchmarkResult
from transfer_meta.evaluation.benchmark_text import predictor_label
from transfer_meta.evaluation.ceiling import SPLIT_HALF
from transfer_meta.evaluation.comparisons import NOT_SEPARABLE
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.figures import charts
from transfer_meta.figures.comparison_charts import ceiling_chart, comparison_matrix
from transfer_meta.pages.published_figures import Published
from transfer_meta.pages.templates import number
from transfer_meta.predictors import make_predictor

Results = dict[str, BenchmarkResult]

PROTOCOL_REMARKS = {
    "pairs-5fold": "The names of the tasks predict much by themselves: compare with the controls.",
    "leave-one-target-out": (
        "For a user with a new target and known sources; the target may still be a source in training."
    ),
    "leave-one-task-out": "For a user with a new task and known sources.",
    "leave-one-source-out": "For a new source beside known ones, on targets with outcomes.",
    "leave-two-tasks-out": "Only features carry over to the test pairs.",
}
CONTROLS = {
    "always-gain": "every source helps",
    "always-loss": "no source helps",
    "random": "a random number per pair",
    "target-identity": "knows the target's name and nothing else",
    "target-gain-rate": "how often the other sources helped this target",
    "source-popularity": "how much the source helped the other targets",
    "size-rule": "the source has more data than the target",
    "curve-gradient-rule": "the target's learning curve is flatter than the source's",
    "random-fingerprints": "logistic regression on random numbers in place of features",
    "textemb": "cosine of the mean token vectors of the tasks' texts",
    "taskemb": "fused ranks of the cosines of the components of the Fisher information",
    "taskemb-centred": "the same cosines after subtracting the mean over tasks",
    "text+task": "fused ranks of textemb and taskemb",
}
REPORT_METRICS = (
    "accuracy", "f1", "auroc", "auroc_within_target", "brier",
    "spearman", "ndcg", "ndcg_exp", "regret@1", "regret@3", "mean_rank", "hit@1",
)  # fmt: skip
PANEL_METRICS = {"accuracy": "accuracy", "auroc_within_target": "AUROC within target"}
CEILING_PREDICTORS = ("default", "source-popularity", "textemb", "taskemb")
"""Predictors shown with the noise ceiling."""


def protocol_section(result: BenchmarkResult) -> dict[str, Any]:
    """Return the table of one protocol with a remark and the main finding; the noise ceiling comes last."""
    known = set(result.rows["metric"])
    metrics = [m for m in result.settings.metrics or REPORT_METRICS if m in known]
    keys = result.rows[["predictor", "features"]].drop_duplicates().itertuples(index=False, name=None)
    protocol = result.settings.protocol
    return {
        "name": protocol.name,
        "title": protocol.title,
        "meaning": PROTOCOL_REMARKS.get(protocol.name, ""),
        "finding": _finding(result),
        "result": result,
        "metrics": metrics,
        "rows": [
            {
                "predictor": predictor,
                "features": features,
                "control": is_control(predictor),
                "optimistic": make_predictor(predictor).optimistic,
                "cells": [figure_of(result, predictor, features, m) for m in metrics],
            }
            for predictor, features in keys
        ],
        "ceilings": [] if protocol.is_shuffled else _ceiling_rows(result.ceiling, metrics),
        "skipped": result.skipped,
    }


def protocol_panels(results: Results) -> str | None:
    """Plot accuracy and AUROC of every predictor under every protocol; None without gains."""
    parts = [
        result.rows[result.rows["metric"].isin(PANEL_METRICS)].assign(protocol=protocol)
        for protocol, result in results.items()
    ]
    rows = pd.concat(parts)
    if rows.empty:
        return None
    rows["predictor"] = [
        predictor_label(p, f) for p, f in zip(rows["predictor"], rows["features"], strict=True)
    ]
    first = next(iter(results.values()))
    chance = {metric: first.chance_level(metric) for metric in PANEL_METRICS}
    return charts.protocol_dots(rows, metrics=PANEL_METRICS, chance=chance)


def published_comparison(results: Results, published: Published | None) -> list[dict[str, Any]] | None:
    """Return the published rows with our figures; None for a table without published results."""
    if published is None or published.protocol not in results:
        return None
    result = results[published.protocol]
    return [
        {
            "row": row,
            "accuracy": figure_of(result, row.predictor, row.features, "accuracy"),
            "f1": figure_of(result, row.f1_predictor or row.predictor, row.features, "f1"),
        }
        for row in published.results
    ]


def matrix_section(result: BenchmarkResult) -> dict[str, Any] | None:
    """Return the comparison matrix of one protocol; None for fewer than two predictors."""
    metric = result.settings.compared
    if metric is None or result.comparisons.empty:
        return None
    better = METRICS[metric].higher_is_better
    figure = comparison_matrix(result.comparisons, metric=metric, higher_is_better=better)
    return figure and {  # type: ignore[return-value]
        "figure": figure,
        "metric": METRICS[metric].title,
        "protocol": result.settings.protocol.name,
        "n_targets": int(result.comparisons["n"].max()),
        "n_comparisons": len(result.comparisons),
    }


def ceiling_section(result: BenchmarkResult) -> dict[str, Any] | None:
    """Return noise ceiling and predictors in Spearman's correlation; None without repeated runs."""
    if result.ceiling.empty:
        return None
    ceiling = result.ceiling[result.ceiling["metric"] == "spearman"].dropna(subset=["value"])
    if ceiling.empty:
        return None
    rows = result.rows[
        (result.rows["metric"] == "spearman")
        & result.rows["predictor"].isin(CEILING_PREDICTORS)
        & result.rows["features"].isin(("–", "all"))
    ].dropna(subset=["value"])
    rows = rows.sort_values("value", ascending=False, kind="stable")
    return {
        "figure": ceiling_chart(ceiling, rows),
        "last": ceiling.iloc[-1],
        "best": None if rows.empty else rows.iloc[0],
        "distance": None if rows.empty else ceiling["value"].iloc[-1] - rows["value"].iloc[0],
        "protocol": result.settings.protocol.name,
    }


def figure_of(result: BenchmarkResult, predictor: str, features: str, metric: str) -> pd.Series | None:
    """Return one row of a benchmark, or None if it has no such row."""
    rows = result.rows
    found = rows[
        (rows["predictor"] == predictor) & (rows["features"] == features) & (rows["metric"] == metric)
    ]
    return None if found.empty else found.iloc[0]


def is_control(predictor: str) -> bool:
    """Whether a predictor uses no features."""
    return not make_predictor(predictor).uses_features


def _finding(result: BenchmarkResult) -> str:
    """Compare the best predictor that uses features with the best control, in a sentence or two."""
    metric = result.settings.compared or "accuracy"
    rows = result.rows[result.rows["metric"] == metric].dropna(subset="value")
    rows = rows[[not make_predictor(p).optimistic for p in rows["predictor"]]]
    control = rows["predictor"].map(is_control)
    if control.all() or not control.any():
        return ""
    sign = 1 if METRICS[metric].higher_is_better else -1
    best, other = (
        rows[kind].iloc[int((sign * rows.loc[kind, "value"]).argmax())] for kind in (~control, control)
    )
    names = [predictor_label(row["predictor"], row["features"]) for row in (best, other)]
    said = (
        f"Best predictor with features: {names[0]}, {METRICS[metric].title}"
        f" {number(best['value'])}. Best control: {names[1]}, {number(other['value'])}."
    )
    if result.comparisons.empty:
        added = max(best["value"] - other["value"], 0.0)
        return f"{said} Features add {number(added)}."
    return said + _compared(result.comparisons, best, other)


def _compared(comparisons: pd.DataFrame, best: pd.Series, other: pd.Series) -> str:
    """Describe the difference of two predictors over targets and its significance."""
    keys = ("predictor", "features", "other", "other_features")
    rows = {tuple(row[key] for key in keys): row for row in comparisons.to_dict("records")}
    one, two = (best["predictor"], best["features"]), (other["predictor"], other["features"])
    key, sign = ((*one, *two), 1) if (*one, *two) in rows else ((*two, *one), -1)
    if key not in rows:
        return ""
    row = rows[key]
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    if row["verdict"] == NOT_SEPARABLE:
        verdict = "not significant"
    else:
        ahead = (row["verdict"] == "better") == (sign > 0)
        verdict = f"the {'features are' if ahead else 'control is'} better"
    return (
        f" Difference {number(sign * row['difference'], sign=True)}"
        f" [{number(low, sign=True)}, {number(high, sign=True)}] over targets,"
        f" p {number(row['p_holm'], 3)} after Holm's correction for {len(comparisons)} comparisons: {verdict}."
    )


def _ceiling_rows(ceiling: pd.DataFrame, metrics: list[str]) -> list[dict[str, Any]]:
    """Return the ceilings with the most seeds, one row per kind."""
    rows = []
    for how, of_kind in ceiling.groupby("how", sort=False) if len(ceiling) else ():
        seeds = int(of_kind["n_seeds"].max())
        last = of_kind[of_kind["n_seeds"] == seeds].assign(std=float("nan")).set_index("metric")
        cells = [last.loc[m] if m in last.index else None for m in metrics]
        if any(cell is not None for cell in cells):
            note = "" if how == SPLIT_HALF else f", {how}"
            rows.append({"label": f"{seeds} + {seeds} seeds{note}", "cells": cells})
    return rows
