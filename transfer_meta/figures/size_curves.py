"""Scores by number of training examples: runs, predicted scores, and the score with a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from transfer_meta.figures.svg import FAINT, GAIN, INK, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_size_curve(
    axes: Axes, sizes: Sequence[int], scores: Sequence[Sequence[float]], ways: pd.DataFrame
) -> None:
    """Draw the runs of each seed, predicted scores with their intervals, and the first source's.

    Parameters
    ----------
    axes : Axes
    sizes : sequence of int
        Numbers of training examples.
    scores : sequence of sequences of float
        By seed and size.
    ways : DataFrame
        ``way``, ``kind`` (``alone``, ``labels`` or ``source``), ``examples``, ``score``, ``low``, ``high``.
    """
    for of_seed in scores:
        axes.plot(sizes, of_seed, color=FAINT, linewidth=0.8, marker="o", markersize=3)
    alone = ways[ways["kind"].isin(["alone", "labels"])]
    axes.plot(alone["examples"], alone["score"], color=INK, linewidth=1.4, linestyle="--")
    axes.fill_between(
        alone["examples"], alone["low"], alone["high"], color=INK, alpha=0.12, linewidth=0
    )
    best = ways[ways["kind"] == "source"].head(1)
    if len(best):
        spread = [best["score"] - best["low"], best["high"] - best["score"]]
        label = plain(str(best["way"].iloc[0]))
        axes.errorbar(
            best["examples"], best["score"], yerr=spread, color=GAIN, marker="s", capsize=3, label=label
        )
        axes.legend(frameon=False, loc="lower right")
    axes.set_xscale("log", base=2)
    ticks = [*sizes, *alone["examples"].iloc[1:]]
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.set_xlabel("training examples")
