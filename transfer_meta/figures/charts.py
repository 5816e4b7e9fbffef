"""Figures of the report as inline SVG: heatmap, dot plots, coefficients and reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transfer_meta.figures.heatmap import draw_heatmap
from transfer_meta.figures.svg import (
    BACKGROUND,
    FAINT,
    GAIN,
    INK,
    LOSS,
    MARKERS,
    SERIES,
    drawing,
    label_rows,
    to_svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COEFFICIENT_LABEL = "coefficient on scaled features (above 0: speaks for a gain)"


def gain_heatmap(gains: pd.DataFrame) -> str:
    """Plot the gains of every source on every target (Bingel & Søgaard 2017, Figure 1).

    Parameters
    ----------
    gains : DataFrame
        Gains (fractions), targets as rows and sources as columns; NaN for a missing pair.
    """
    values = gains.to_numpy(dtype=float)
    n_targets, n_sources = values.shape
    with drawing(*heatmap_size(gains)) as figure:
        draw_gains(figure.add_subplot(), gains)
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


def heatmap_size(gains: pd.DataFrame) -> tuple[float, float]:
    """Return width and height in inches for `draw_gains`."""
    n_targets, n_sources = gains.shape
    return 1.6 + 0.56 * n_sources, 1.2 + 0.36 * n_targets


def draw_gains(axes: Axes, gains: pd.DataFrame) -> None:
    """Draw a cell for every pair, with its gain in percent; see `gain_heatmap`."""
    # A quantile, so that one outlier does not make all others pale.
    full = float(np.nanquantile(np.abs(gains.to_numpy(dtype=float)), 0.95))
    draw_heatmap(axes, gains, gains.map(lambda gain: f"{100 * gain:+.1f}"), full=full)
    axes.set(xlabel="source", ylabel="target")
    axes.xaxis.set_label_position("top")


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
    with drawing(8, dots_height(predictors, protocols)) as figure:
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, (metric, title) in zip(panels, metrics.items(), strict=True):
            by_protocol = {
                p: rows[(rows["protocol"] == p) & (rows["metric"] == metric)] for p in protocols
            }
            draw_dots(axes, by_protocol, predictors, chance=chance[metric])
            axes.set_title(title, fontsize=10)
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


def dots_height(predictors: Sequence[str], protocols: Sequence[str]) -> float:
    """Return the height in inches for `draw_dots`."""
    return 1.2 + (0.42 if len(protocols) > 1 else 0.27) * len(predictors)


def draw_dots(
    axes: Axes,
    by_protocol: Mapping[str, pd.DataFrame],
    predictors: Sequence[str],
    *,
    chance: float | None = None,
) -> None:
    """Draw a value of each predictor with its interval, in one colour per protocol.

    Parameters
    ----------
    by_protocol : mapping of str to DataFrame
        ``predictor`` (label), ``value``, ``ci_low``, ``ci_high``.
    predictors : sequence of str
        From the top down.
    chance : float, optional
        Place of a reference line.
    """
    if chance is not None:
        axes.axvline(chance, color=FAINT, linewidth=1, linestyle="--")
    for place, (protocol, rows) in enumerate(by_protocol.items()):
        chosen = rows.set_index("predictor").reindex(list(predictors))
        y = np.arange(len(predictors)) + 0.18 * (place - (len(by_protocol) - 1) / 2)
        colour = SERIES[place % len(SERIES)]
        axes.hlines(y, chosen["ci_low"], chosen["ci_high"], color=colour, linewidth=1)
        marker = MARKERS[place % len(SERIES)]
        axes.plot(chosen["value"], y, marker, color=colour, markersize=4, label=protocol)
    label_rows(axes, predictors)
    between, across = np.arange(1, len(predictors)) - 0.5, axes.get_yaxis_transform()
    axes.hlines(between, 0, 1, FAINT, linewidth=0.4, transform=across)


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
    with drawing(7.5, bars_height(labels)) as figure:
        axes = figure.add_subplot()
        draw_bars(axes, labels, shown["value"], spread=shown["std"])
        axes.set_xlabel(COEFFICIENT_LABEL)
        listed = ", ".join(
            f"{label} {value:+.2f}" for label, value in zip(labels[:5], shown["value"][:5], strict=True)
        )
        return to_svg(
            figure,
            name="coefficients",
            title=f"Bar chart of the {len(shown)} largest coefficients with their standard deviation: "
            f"{listed}" + (", …" if len(shown) > 5 else ""),
        )


def bars_height(labels: Sequence[str]) -> float:
    """Return the height in inches for `draw_bars`."""
    return 0.8 + 0.3 * len(labels)


def draw_bars(axes: Axes, labels: Sequence[str], values: Any, *, spread: Any = None) -> None:
    """Draw a horizontal bar per label from the top down, coloured by its sign, with ± `spread` if given."""
    place = np.arange(len(labels))
    axes.barh(place, values, color=[GAIN if value > 0 else LOSS for value in values], height=0.62)
    if spread is not None:
        axes.errorbar(values, place, xerr=spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.axvline(0, color=INK, linewidth=0.8)
    label_rows(axes, labels)
    axes.grid(axis="x", alpha=0.5)


def interval_plot(frame: pd.DataFrame, *, title: str) -> str:
    """Plot the expected gain of every source with its interval; see `draw_intervals`.

    Parameters
    ----------
    frame : DataFrame
        ``source`` (label), ``expected_gain``, ``low``, ``high`` (fractions).
    title : str
        Text alternative.
    """
    with drawing(7.0, intervals_height(frame)) as figure:
        draw_intervals(figure.add_subplot(), frame)
        return to_svg(figure, name="intervals", title=title)


def intervals_height(frame: pd.DataFrame) -> float:
    """Return the height in inches for `draw_intervals`."""
    return 0.9 + 0.34 * len(frame)


def draw_intervals(axes: Axes, frame: pd.DataFrame) -> None:
    """Draw expected gains in percent with their intervals, from the top down, and a line at 0."""
    for row, source in enumerate(frame.to_dict("records")):
        low, high, gain = (100 * source[name] for name in ("low", "high", "expected_gain"))
        axes.plot([low, high], [row, row], color=FAINT, linewidth=5, solid_capstyle="round")
        axes.plot([gain], [row], "o", color=GAIN if gain > 0 else LOSS, markersize=8)
    axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    label_rows(axes, frame["source"])
    axes.set_xlabel("expected gain in percent")
    axes.spines["left"].set_visible(False)


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
