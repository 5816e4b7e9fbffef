"""Figures of the report as inline SVG: heatmap, dot plots, coefficients and reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.figures.svg import (
    BACKGROUND,
    FAINT,
    GAIN,
    INK,
    LOSS,
    MARKERS,
    SERIES,
    draw_cell,
    drawing,
    label_rows,
    plain,
    to_svg,
)

MAX_CELL_ALPHA = 0.75
"""Opacity of the deepest cell of the heatmap: its number stays readable."""


def gain_heatmap(gains: pd.DataFrame) -> str:
    """Plot the gains of every source on every target (Bingel & Søgaard 2017, Figure 1).

    Parameters
    ----------
    gains : DataFrame
        Gains (fractions), targets as rows and sources as columns; NaN for a missing pair.
    """
    values = gains.to_numpy(dtype=float)
    n_targets, n_sources = values.shape
    # A quantile, so that one outlier does not make all others pale.
    full = max(float(np.nanquantile(np.abs(values), 0.95)), 1e-9)
    with drawing(1.6 + 0.56 * n_sources, 1.2 + 0.36 * n_targets) as figure:
        axes = figure.add_subplot()
        for row, column in np.argwhere(~np.isnan(values)):
            gain = values[row, column]
            alpha = MAX_CELL_ALPHA * min(abs(gain) / full, 1)
            draw_cell(axes, column, row, colour=GAIN if gain > 0 else LOSS, alpha=alpha, width=0.96)
            axes.text(column, row, f"{100 * gain:+.1f}", ha="center", va="center", fontsize=8)
        axes.set_xlim(-0.5, n_sources - 0.5)
        axes.set_xticks(range(n_sources), [plain(c) for c in gains.columns], rotation=45, ha="left")
        label_rows(axes, gains.index)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.set(xlabel="source", ylabel="target")
        axes.xaxis.set_label_position("top")
        axes.spines[:].set_visible(False)
        best, worst = (divmod(int(find(values)), n_sources) for find in (np.nanargmax, np.nanargmin))
        return to_svg(
            figure,
            name="heatmap",
            title=(
                f"Heatmap of relative gains in percent, {n_targets} targets by {n_sources} sources."
                f" {int((values > 0).sum())} of {int((~np.isnan(values)).sum())} pairs gain."
                f" Largest gain {100 * values[best]:+.1f} for {gains.columns[best[1]]} on"
                f" {gains.index[best[0]]}, largest loss {100 * values[worst]:+.1f} for"
                f" {gains.columns[worst[1]]} on {gains.index[worst[0]]}."
            ),
        )


def protocol_dots(
    rows: pd.DataFrame,
    *,
    metrics: Mapping[str, str],
    chance: Mapping[str, float | None],
    name: str = "protocols",
) -> str:
    """Plot a metric of each predictor under each protocol with its interval, one panel per metric.

    Parameters
    ----------
    rows : DataFrame
        ``protocol``, ``predictor`` (label), ``metric``, ``value``, ``ci_low``, ``ci_high``.
    metrics : mapping of str to str
        Titles of the panels by metric key.
    chance : mapping of str to float or None
        Reference line of each metric.
    name : str
        Name of the figure, unique on its page.
    """
    predictors = list(rows["predictor"].drop_duplicates())
    protocols = list(rows["protocol"].drop_duplicates())
    with drawing(8, 1.2 + (0.42 if len(protocols) > 1 else 0.27) * len(predictors)) as figure:
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, (metric, title) in zip(panels, metrics.items(), strict=True):
            if chance[metric] is not None:
                axes.axvline(chance[metric], color=FAINT, linewidth=1, linestyle="--")
            for place, protocol in enumerate(protocols):
                chosen = rows[(rows["protocol"] == protocol) & (rows["metric"] == metric)]
                chosen = chosen.set_index("predictor").reindex(predictors)
                y = np.arange(len(predictors)) + 0.18 * (place - (len(protocols) - 1) / 2)
                colour = SERIES[place % len(SERIES)]
                axes.hlines(y, chosen["ci_low"], chosen["ci_high"], color=colour, linewidth=1)
                marker = MARKERS[place % len(SERIES)]
                axes.plot(chosen["value"], y, marker, color=colour, markersize=4, label=protocol)
            axes.set_title(title, fontsize=10)
            label_rows(axes, predictors)
            between, across = np.arange(1, len(predictors)) - 0.5, axes.get_yaxis_transform()
            axes.hlines(between, 0, 1, FAINT, linewidth=0.4, transform=across)
        if len(protocols) > 1:
            handles = panels[0].get_legend_handles_labels()
            figure.legend(*handles, loc="outside lower center", ncols=2)
        return to_svg(
            figure,
            name=name,
            title=(
                f"Dot plot of {' and '.join(metrics.values())} for {len(predictors)} predictors"
                + (f" under {', '.join(protocols)}" if len(protocols) > 1 else "")
                + "; the numbers are in the table below it."
            ),
        )


def coefficient_bars(coefficients: pd.DataFrame, *, top: int = 15) -> str:
    """Plot the largest coefficients with standard deviations (Bingel & Søgaard 2017, Table 4).

    Parameters
    ----------
    coefficients : DataFrame
        ``feature``, ``role``, ``value``, ``std``; the largest first.
    top : int
        Number of coefficients shown.
    """
    shown = coefficients.head(top)
    labels = [
        f"{role} {feature}" for role, feature in zip(shown["role"], shown["feature"], strict=True)
    ]
    with drawing(7.5, 0.8 + 0.3 * len(shown)) as figure:
        axes = figure.add_subplot()
        place = np.arange(len(shown))
        colours = [GAIN if value > 0 else LOSS for value in shown["value"]]
        axes.barh(place, shown["value"], color=colours, height=0.62)
        axes.errorbar(
            shown["value"], place, xerr=shown["std"], fmt="none", ecolor=INK, elinewidth=1, capsize=2
        )
        axes.axvline(0, color=INK, linewidth=0.8)
        label_rows(axes, labels)
        axes.set_xlabel("coefficient on scaled features (above 0: speaks for a gain)")
        axes.grid(axis="x", alpha=0.5)
        listed = ", ".join(
            f"{label} {value:+.2f}" for label, value in zip(labels[:5], shown["value"][:5], strict=True)
        )
        return to_svg(
            figure,
            name="coefficients",
            title=f"Bar chart of the {len(shown)} largest coefficients with their standard deviation: "
            f"{listed}" + (", …" if len(shown) > 5 else ""),
        )


def reliability_diagram(points: Mapping[str, pd.DataFrame]) -> str:
    """Plot observed frequency against predicted probability, one line per protocol.

    Parameters
    ----------
    points : mapping of str to DataFrame
        Tables of `evaluation.calibration.reliability` by label.
    """
    with drawing(5.4, 5.4) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
        for place, (label, table) in enumerate(points.items()):
            colour = SERIES[place % len(SERIES)]
            marker = MARKERS[place % len(SERIES)]
            x, y, size = table["predicted"], table["observed"], 240 * table["n"] / table["n"].sum()
            style: dict[str, Any] = {"color": colour, "marker": marker}
            axes.plot(x, y, linewidth=1, markersize=3, label=label, **style)
            axes.scatter(x, y, s=size, edgecolors=BACKGROUND, zorder=3, **style)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel="predicted probability of a gain", ylabel="share of pairs that gained")
        axes.grid(alpha=0.5)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        return to_svg(
            figure,
            name="reliability",
            title="Reliability diagram: "
            + " ".join(
                f"{label}: "
                + ", ".join(
                    f"{100 * p:.0f} % predicted {100 * o:.0f} % gained"
                    for p, o in zip(table["predicted"], table["observed"], strict=True)
                )
                + "."
                for label, table in points.items()
            ),
        )
