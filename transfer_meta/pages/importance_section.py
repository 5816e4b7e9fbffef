"""Report section on feature importance: coefficients, permutation importance and SHAP values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.figures import charts
from transfer_meta.pages.published_figures import Published

if TYPE_CHECKING:
    from transfer_meta.pages.build import Report

MAX_IMPORTANCES = 12
TITLES = {
    ("permutation", "group"): "AUROC lost without a group of features (logistic)",
    ("permutation", "role"): "AUROC lost without the features of one role (logistic)",
    ("permutation", "feature"): "AUROC lost without one feature (logistic)",
    ("shap", "feature"): "Mean |SHAP value|, log-odds (lightgbm)",
}


def coefficient_section(report: Report, published: Published | None) -> dict[str, Any] | None:
    """Return the largest coefficients, and the ranks of the published ones."""
    table = report.importances.get(("coefficients", "feature"))
    if table is None:
        return None
    rows = []
    for rank, (role, feature, sign) in enumerate(published.coefficients if published else (), start=1):
        match = table[(table["role"] == role) & (table["feature"] == feature)]
        rows.append(
            {
                "rank": rank,
                "name": f"{role} {feature}",
                "sign": sign,
                "our_rank": None if match.empty else int(match.index[0]) + 1,
                "ours": None if match.empty else match.iloc[0],
            }
        )
    return {"figure": charts.coefficient_bars(table), "beside": rows, "n": len(table)}


def importance_tables(report: Report) -> dict[str, pd.DataFrame]:
    """Return by title the first rows of each table of importances: name, ``value`` and ``std``."""
    tables = {}
    for (method, level), title in TITLES.items():
        found = report.importances.get((method, level))
        if found is not None:
            shown = found.head(MAX_IMPORTANCES)
            named = shown["role"] + " " + shown["feature"] if level == "feature" else shown[level]
            tables[title] = shown[["value", "std"]].assign(**{level: named})[[level, "value", "std"]]
    return tables
