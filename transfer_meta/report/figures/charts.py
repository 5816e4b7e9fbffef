"""The figures of the report: tables in, inline SVG out, each with a text alternative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from transfer_meta.report.figures.svg import (
    BACKGROUND,
    FAINT,
    GAIN,
    INK,
    LOSS,
    MARKERS,
    SERIES,
    drawing,
    plain,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

# A cell in the full colour would hide its number.
DEEPEST_CELL = 0.75


def gain_heatmap(gains: pd.DataFrame) -> str:
    """Gains of every source on every target (Bingel & Søgaard 2017, Figure 1).

    Parameters
    ----------
    gains : DataFrame
        Gains (fractions), targets as rows and sources as columns; NaN where a pair was not tried.
    """
    values = gains.to_numpy(dtype=float)
    n_targets, n_sources = values.shape
    # One outlier must not pale all the others.
    full = max(float(np.nanquantile(np.abs(values), 0.95)), 1e-9)
    with drawing(1.6 + 0.56 * n_sources, 1.2 + 0.36 * n_targets) as figure:
        axes = figure.add_subplot()
        for row, column in np.argwhere(~np.isnan(values)):
            gain = values[row, column]
            axes.add_patch(
                _cell(column, row, GAIN if gain > 0 else LOSS, DEEPEST_CELL * min(abs(gain) / full, 1))
            )
            axes.text(column, row, f"{100 * gain:+.1f}", ha="center", va="center", fontsize=8)
        axes.set(xlim=(-0.5, n_sources - 0.5), ylim=(n_targets - 0.5, -0.5))
        axes.set_xticks(range(n_sources), [plain(c) for c in gains.columns], rotation=45, ha="left")
        axes.set_yticks(range(n_targets), [plain(r) for r in gains.index])
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
    """Figures of each predictor under each protocol, with their intervals, one panel a metric.

    Parameters
    ----------
    rows : DataFrame
        ``protocol``, ``predictor`` (label), ``metric``, ``value``, ``ci_low``, ``ci_high``.
    metrics : mapping of str to str
        Metric keys of the panels and their titles.
    chance : mapping of str to float or None
        Where each metric's line of reference stands.
    name : str
        Of the figure, unique on its page.
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
                axes.plot(
                    chosen["value"],
                    y,
                    MARKERS[place % len(SERIES)],
                    color=colour,
                    markersize=4,
                    label=protocol,
                )
            axes.set_title(title, fontsize=10)
            axes.set_yticks(range(len(predictors)), [plain(p) for p in predictors])
            axes.set_ylim(len(predictors) - 0.5, -0.5)
            axes.hlines(
                np.arange(1, len(predictors)) - 0.5,
                0,
                1,
                FAINT,
                linewidth=0.4,
                transform=axes.get_yaxis_transform(),
            )
            axes.tick_params(axis="y", length=0)
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
    """The largest coefficients with their spread (Bingel & Søgaard 2017, Table 4).

    Parameters
    ----------
    coefficients : DataFrame
        ``feature``, ``role``, ``value``, ``std``; the largest first.
    top : int
        How many are shown.
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
        axes.set_yticks(place, [plain(label) for label in labels])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
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
    """Predicted probability against observed frequency, one line a protocol.

    Parameters
    ----------
    points : mapping of str to DataFrame
        By label, the table of `evaluation.calibration.reliability`.
    """
    with drawing(5.4, 5.4) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
        for place, (label, table) in enumerate(points.items()):
            colour = SERIES[place % len(SERIES)]
            marker = MARKERS[place % len(SERIES)]
            axes.plot(
                table["predicted"],
                table["observed"],
                color=colour,
                linewidth=1,
                marker=marker,
                markersize=3,
                label=label,
            )
            axes.scatter(
                table["predicted"],
                table["observed"],
                s=240 * table["n"] / table["n"].sum(),
                color=colour,
                edgecolors=BACKGROUND,
                marker=marker,
                zorder=3,
            )
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


def _cell(column: int, row: int, colour: str, depth: float) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (column - 0.48, row - 0.46), 0.96, 0.92, facecolor=colour, alpha=depth, linewidth=0
    )
