"""Violin plots of each target's scores over sources, with the predictors' picks (Vu et al. 2020, Figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from transfer_meta.figures.svg import FAINT, INK, SERIES, drawing, plain, to_svg
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.records import FloatArray

if TYPE_CHECKING:
    from transfer_meta.evaluation.benchmark import BenchmarkResult

PICKING_PREDICTORS = ("source-popularity", "textemb", "taskemb", "default")
"""Predictors whose picks are starred, if they were run."""


@dataclass(frozen=True)
class TargetScores:
    """One row of the figure.

    Parameters
    ----------
    target : str
    scores : array of shape (n,)
        Mean over seeds, by source.
    baseline : float or None
        Score without a source.
    picks : dict of str to float
        By predictor, the score with the source that it ranks first; the mean if it ranks several first.
    """

    target: str
    scores: FloatArray
    baseline: float | None
    picks: dict[str, float]


def target_scores(table: OutcomeTable, result: BenchmarkResult) -> list[TargetScores]:
    """Return the rows sorted by target: scores, or gains with baseline 0 if the table has no scores.

    Parameters
    ----------
    table : OutcomeTable
    result : BenchmarkResult
        Of the table, under a protocol that holds out targets.
    """
    pairs = table.pairs
    values = pairs["score" if "score" in pairs else "gain"].to_numpy(dtype=float)
    rows = []
    for name in np.unique(result.truth.target):
        own = result.truth.target == name
        if "baseline" in pairs:
            baseline: float | None = float(pairs["baseline"][own].mean())
        else:
            baseline = None if "score" in pairs else 0.0
        picks = {}
        for predictor in PICKING_PREDICTORS:
            prediction = result.predictions.get(
                (predictor, "all"), result.predictions.get((predictor, "–"))
            )
            if prediction is not None:
                ranking = prediction.ranking[0, own]
                picks[predictor] = float(values[own][ranking == ranking.max()].mean())
        rows.append(TargetScores(str(name), values[own], baseline, picks))
    return rows


def score_violins(rows: list[TargetScores], *, unit: str) -> str:
    """Plot one violin per target, each with its own scale: baseline dashed, picks starred.

    Parameters
    ----------
    rows : list of TargetScores
    unit : str
        Label of the horizontal axis.
    """
    from matplotlib.ticker import MaxNLocator

    methods = list(dict.fromkeys(method for row in rows for method in row.picks))
    with drawing(4.5, 1.1 + 0.58 * len(rows)) as figure:
        for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
            _violin(axes, row.scores)
            if row.baseline is not None:
                axes.axvline(row.baseline, color=INK, linewidth=1, linestyle=(0, (3, 2)), zorder=2)
            for place, method in enumerate(methods):
                if method in row.picks:
                    # One lane per method, since picks of the same source would hide each other.
                    lane = 0.6 * ((len(methods) - 1) / 2 - place) / max(len(methods) - 1, 1)
                    axes.plot(
                        row.picks[method], lane, "*", color=SERIES[place % len(SERIES)], markersize=8,
                        markeredgewidth=0, zorder=3, label=method,
                    )  # fmt: skip
            axes.set_ylim(-0.5, 0.5)
            axes.set_yticks([0], [plain(row.target)])
            axes.spines["left"].set_visible(False)
            axes.margins(x=0.06)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", length=2, pad=1, labelsize=7)
            axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_xlabel(unit)
        handles = {
            label: handle
            for ax in figure.axes
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        if handles:
            figure.legend(
                handles.values(), handles.keys(), loc="outside upper center", ncols=2, fontsize=9
            )
        return to_svg(figure, name="violins", title=_in_words(rows, unit))


def _violin(axes: object, scores: FloatArray) -> None:
    # Fewer points have no shape, equal ones no density.
    if len(scores) > 2 and np.ptp(scores) > 0:
        drawn = axes.violinplot(scores, [0], orientation="horizontal", widths=0.9, showextrema=False)  # type: ignore[attr-defined]
        for body in drawn["bodies"]:
            body.set(facecolor=FAINT, edgecolor="none", alpha=0.55)
    axes.plot(scores, np.zeros(len(scores)), "|", color=INK, markersize=7, alpha=0.7)  # type: ignore[attr-defined]


def _in_words(rows: list[TargetScores], unit: str) -> str:
    parts = []
    for row in rows:
        text = f"{row.target} {row.scores.min():.3f} to {row.scores.max():.3f}"
        text += "" if row.baseline is None else f", without transfer {row.baseline:.3f}"
        picked = ", ".join(f"{method} picks {score:.3f}" for method, score in row.picks.items())
        parts.append(text + (f"; {picked}" if picked else ""))
    return f"Violin plots, {unit} of {len(rows)} targets with each source. " + ". ".join(parts) + "."
