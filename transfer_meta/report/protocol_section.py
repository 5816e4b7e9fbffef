"""The page's main part: how well predictors do under each protocol, beside controls, the paper and the ceiling."""

from __future__ import annotations

from typing import Any

import pandas as pd

from transfer_meta.evaluation.benchmark import BenchmarkResult
from transfer_meta.evaluation.ceiling import SPLIT_HALF
from transfer_meta.evaluation.comparisons import NOT_SEPARABLE
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.predictors import make_predictor
from transfer_meta.report.build import REPORT_METRICS, figure_of
from transfer_meta.report.figures import charts
from transfer_meta.report.figures.comparison_charts import ceiling_chart, comparison_matrix
from transfer_meta.report.published_figures import Published
from transfer_meta.report.templates import number

Results = dict[str, BenchmarkResult]

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
PANELS = {"accuracy": "accuracy", "auroc_within_target": "AUROC within target"}
# What is drawn beside the noise ceiling, as far as the table has it.
BESIDE_CEILING = ("default", "source-popularity", "textemb", "taskemb")


def protocol_section(result: BenchmarkResult) -> dict[str, Any]:
    """One protocol: what it asks, what was found, and its table, the noise ceiling at the bottom."""
    metrics = [m for m in REPORT_METRICS if m in set(result.rows["metric"])]
    keys = result.rows[["predictor", "features"]].drop_duplicates().itertuples(index=False, name=None)
    name = result.settings.protocol
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
                "control": is_control(predictor),
                "optimistic": make_predictor(predictor).optimistic,
                "cells": [figure_of(result, predictor, features, m) for m in metrics],
            }
            for predictor, features in keys
        ],
        "ceilings": [] if PROTOCOLS[name].repeated else _ceiling_rows(result.ceiling, metrics),
        "skipped": result.skipped,
    }


def protocol_panels(results: Results) -> str | None:
    """Accuracy and AUROC of every predictor under every protocol; None without gains."""
    parts = [
        result.rows[result.rows["metric"].isin(PANELS)].assign(protocol=protocol)
        for protocol, result in results.items()
    ]
    rows = pd.concat(parts)
    if rows.empty:
        return None
    rows["predictor"] = [
        predictor_label(p, f) for p, f in zip(rows["predictor"], rows["features"], strict=True)
    ]
    rate = next(iter(results.values())).positive_rate
    chance = {"accuracy": max(rate, 1 - rate), "auroc_within_target": 0.5}
    return charts.protocol_dots(rows, metrics=PANELS, chance=chance)


def beside_the_paper(results: Results, published: Published | None) -> list[dict[str, Any]] | None:
    """Rows of the paper's table with our figures; None where no paper has the table."""
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
    """The comparison matrix of one protocol, if there is more than one predictor to compare."""
    metric = result.settings.compared
    if metric is None or result.comparisons.empty:
        return None
    figure = comparison_matrix(result.comparisons, metric=metric)
    return figure and {  # type: ignore[return-value]
        "figure": figure,
        "metric": METRICS[metric].title,
        "protocol": result.settings.protocol,
        "n_targets": int(result.comparisons["n"].max()),
        "n_comparisons": len(result.comparisons),
    }


def ceiling_section(result: BenchmarkResult) -> dict[str, Any] | None:
    """The noise ceiling in Spearman's correlation beside some predictors; None without repeated runs."""
    if result.ceiling.empty:
        return None
    ceiling = result.ceiling[result.ceiling["metric"] == "spearman"].dropna(subset=["value"])
    if ceiling.empty:
        return None
    rows = result.rows[
        (result.rows["metric"] == "spearman")
        & result.rows["predictor"].isin(BESIDE_CEILING)
        & result.rows["features"].isin(("–", "all"))
    ].dropna(subset=["value"])
    rows = rows.sort_values("value", ascending=False, kind="stable")
    return {
        "figure": ceiling_chart(ceiling, rows),
        "last": ceiling.iloc[-1],
        "best": None if rows.empty else rows.iloc[0],
        "distance": None if rows.empty else ceiling["value"].iloc[-1] - rows["value"].iloc[0],
        "protocol": result.settings.protocol,
    }


def is_control(predictor: str) -> bool:
    """Whether it sees no learned features."""
    return not make_predictor(predictor).uses_features


def predictor_label(predictor: str, features: str) -> str:
    """A predictor's name, with its features where they are not all.

    Examples
    --------
    >>> predictor_label("logistic", "all"), predictor_label("logistic", "curve")
    ('logistic', 'logistic (curve)')
    """
    return predictor if features in ("–", "all") else f"{predictor} ({features})"


def _finding(result: BenchmarkResult) -> str:
    """What the figures say of the features, in a sentence or two."""
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
        f"Best of the predictors that learn from features: {names[0]}, {METRICS[metric].title}"
        f" {number(best['value'])}. Best of the controls: {names[1]}, {number(other['value'])}."
    )
    if result.comparisons.empty:
        if best["value"] > other["value"]:
            ahead = best["value"] - other["value"]
            return f"{said} Features add {number(ahead)} to what is to be had without them."
        return f"{said} What features reach here is to be had without them."
    return said + _compared(result.comparisons, best, other)


def _compared(comparisons: pd.DataFrame, best: pd.Series, other: pd.Series) -> str:
    """The difference of two predictors over targets, and whether it is one."""
    keys = comparisons[["predictor", "features", "other", "other_features"]].agg(tuple, axis=1)
    one, two = (best["predictor"], best["features"]), (other["predictor"], other["features"])
    for key, sign in (((*one, *two), 1), ((*two, *one), -1)):
        for _, row in comparisons[keys == key].iterrows():
            ends = sorted((sign * row["ci_low"], sign * row["ci_high"]))
            if row["verdict"] == NOT_SEPARABLE:
                verdict = "no difference is shown"
            elif (row["verdict"] == "better") == (sign > 0):
                verdict = "the features add to what the controls know"
            else:
                verdict = "the controls are ahead"
            return (
                f" Difference {number(sign * row['difference'], sign=True)}"
                f" [{number(ends[0], sign=True)}, {number(ends[1], sign=True)}] over targets,"
                f" p {number(row['p_holm'], 3)} after Holm's correction for {len(comparisons)} comparisons:"
                f" {verdict}."
            )
    return ""


def _ceiling_rows(ceiling: pd.DataFrame, metrics: list[str]) -> list[dict[str, Any]]:
    """The last row of each kind of ceiling: that of the most seeds."""
    rows = []
    for how, of_kind in ceiling.groupby("how", sort=False) if len(ceiling) else ():
        seeds = int(of_kind["n_seeds"].max())
        last = of_kind[of_kind["n_seeds"] == seeds].assign(std=float("nan")).set_index("metric")
        cells = [last.loc[m] if m in last.index else None for m in metrics]
        if any(cell is not None for cell in cells):
            note = "" if how == SPLIT_HALF else f", {how}"
            rows.append({"label": f"{seeds} + {seeds} seeds{note}", "cells": cells})
    return rows
