"""Bars of numbers by status, gains along the rungs of a search, and scores by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from transfer_meta.figures.svg import (
    FAINT,
    FOURTH,
    GAIN,
    LOSS,
    MARKERS,
    SERIES,
    THIRD,
    label_rows,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATUS_COLOURS = {
    "done": GAIN,
    "running": THIRD,
    "pending": FAINT,
    "new": FAINT,
    "left": FAINT,
    "skipped": FOURTH,
    "failed": LOSS,
    "ok": GAIN,
    "missing": FAINT,
    "broken": LOSS,
}


def draw_status_bars(axes: Axes, counts: pd.DataFrame, *, unit: str = "runs") -> None:
    """Draw a bar for each row of counts, divided by status.

    Parameters
    ----------
    counts : DataFrame
        A row for each bar (its index is the label), a column for each status.
    unit : str
        What is counted.
    """
    from matplotlib.ticker import MaxNLocator

    place = range(len(counts))
    left = pd.Series(0, index=counts.index)
    for status in [s for s in STATUS_COLOURS if s in counts]:
        width = counts[status]
        if width.sum():
            axes.barh(place, width, left=left, height=0.62, color=STATUS_COLOURS[status], label=status)
            left = left + width
    label_rows(axes, counts.index)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", alpha=0.5)
    axes.legend(frameon=False, ncols=3, fontsize=9)


def draw_rungs(axes: Axes, gains: Mapping[str, Sequence[float]], rungs: Sequence[str]) -> None:
    """Draw the gains of each source along the rungs, one line for each source that was run.

    Parameters
    ----------
    gains : mapping of str to sequence of float
        Gains (fractions) on the first rungs, by source; NaN for a failed run.
    rungs : sequence of str
        Names of the rungs, from the shortest runs to the longest.
    """
    axes.axhline(0, color=FAINT, linewidth=0.8)
    for number, (source, found) in enumerate(gains.items()):
        colour = SERIES[number % len(SERIES)]
        marker = MARKERS[number // len(SERIES) % len(MARKERS)]
        percent = [100 * gain for gain in found]
        axes.plot(range(len(percent)), percent, color=colour, marker=marker, label=plain(source))
    axes.set_xticks(range(len(rungs)), rungs)
    axes.set_xlim(-0.2, len(rungs) - 0.8)
    axes.set(xlabel="length of the run", ylabel="gain in percent")
    axes.grid(axis="y", alpha=0.5)
    if gains:
        axes.legend(frameon=False, fontsize=9)


def draw_seeds(axes: Axes, scores: Mapping[str, Sequence[float]]) -> None:
    """Draw the score of every run as a dot, and the mean as a line, one row for each way to train.

    Parameters
    ----------
    scores : mapping of str to sequence of float
        By the label of the row, the first one on top; one score for each seed.
    """
    for row, found in enumerate(scores.values()):
        colour = SERIES[row % len(SERIES)]
        axes.plot(found, [row] * len(found), "o", color=colour, alpha=0.8, clip_on=False)
        mean = sum(found) / len(found)
        axes.plot([mean, mean], [row - 0.25, row + 0.25], color=colour, linewidth=2)
    if scores:
        label_rows(axes, list(scores))
    axes.grid(axis="x", alpha=0.5)
