"""Heat maps of named rows and columns, and bars of named values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from transfer_meta.figures.axes import new_axes
from transfer_meta.figures.svg import GAIN, LOSS, draw_cell, label_rows, plain
from transfer_meta.results import format_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEEPEST_CELL = 0.75
"""Opacity of the deepest cell: its number stays readable."""


def standardised_heatmap(table: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw the values of a table, coloured by how many standard deviations they are from their column's mean.

    Parameters
    ----------
    table : DataFrame
        Numbers; the index names the rows. Infinite and missing values have no colour.
    axes : Axes, optional
        By default new ones.
    """
    values = table.astype(float).replace([np.inf, -np.inf], np.nan)
    spread = values.std(ddof=0)
    # Values that differ only by rounding are equal.
    scores = (values - values.mean()) / spread.where(spread > 1e-9 * values.abs().max())
    axes = new_axes(axes, width=1.8 + 0.75 * table.shape[1], height=1.6 + 0.36 * len(table))
    draw_heatmap(axes, scores.fillna(0.0), table.map(format_value))
    return axes


def value_bars(
    values: Mapping[str, float], axes: Axes | None = None, *, logarithmic: bool = False
) -> Axes:
    """Draw a bar per name with its value; `logarithmic` means beyond ± 1."""
    axes = new_axes(axes, width=7.0, height=0.8 + 0.25 * len(values))
    place = np.arange(len(values))
    numbers = list(values.values())
    axes.barh(place, numbers, color=[GAIN if n > 0 else LOSS for n in numbers], height=0.62)
    if logarithmic:
        axes.set_xscale("symlog", linthresh=1.0)
    axes.margins(x=0.15)
    for row, number in enumerate(numbers):
        axes.annotate(
            format_value(number), (max(number, 0.0), row), (3, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    label_rows(axes, values)
    return axes


def draw_heatmap(
    axes: Axes, depths: pd.DataFrame, texts: pd.DataFrame, *, full: float | None = None
) -> None:
    """Draw a cell for every value: one colour above 0, another below, the deeper the larger.

    Parameters
    ----------
    axes : Axes
    depths : DataFrame
        Numbers that the colours stand for; NaN leaves a place empty.
    texts : DataFrame of str
        Written into the cells, of the same shape.
    full : float, optional
        Absolute value of the deepest colour; by default the largest one.
    """
    values = depths.to_numpy(dtype=float)
    full = max(float(np.nanmax(np.abs(values))) if full is None else full, 1e-9)
    for row, column in np.argwhere(~np.isnan(values)):
        depth = values[row, column]
        colour = GAIN if depth > 0 else LOSS
        draw_cell(
            axes, column, row, colour=colour, alpha=DEEPEST_CELL * min(abs(depth) / full, 1), width=0.96
        )
        text = plain(texts.iat[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=8)
    axes.set_xlim(-0.5, values.shape[1] - 0.5)
    axes.set_xticks(range(values.shape[1]), [plain(c) for c in depths.columns], rotation=45, ha="left")
    label_rows(axes, depths.index)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
