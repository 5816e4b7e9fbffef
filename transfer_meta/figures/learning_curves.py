"""Learning curves of single-task runs with fitted logarithms, one panel per task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, nearest
from transfer_meta.features.curves.curve_fits import fit_log
from transfer_meta.features.missing import MissingError
from transfer_meta.figures.svg import FAINT, GAIN, INK, SERIES, drawing, plain, to_svg
from transfer_meta.records import LearningCurve

RUN_CURVE_COLUMNS = ("task", "method", "seed", "split", "step", "loss")
PANELS_PER_ROW = 4
LINES = ("-", "--", ":", "-.")
"""Styles of lines of one colour, in order."""


def single_task_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Select training losses of single-task runs: ``task``, ``regime``, ``seed``, ``step``, ``loss``, sorted.

    Parameters
    ----------
    curves : DataFrame
        As `runs.export.export_curves` writes them.  Of several regimes of a task, the one with most runs is kept.

    Raises
    ------
    InputError
        A column is missing.
    """
    for column in RUN_CURVE_COLUMNS:
        if column not in curves:
            raise InputError(
                f"learning curves without a column '{column}' (expected those of `runs export --curves`)"
                f"{nearest(column, map(str, curves))}"
            )
    found = curves[(curves["method"] == "single") & (curves["split"] == "train")]
    # A CSV column with an empty cell is read as text.
    found = found.assign(**{c: pd.to_numeric(found[c], errors="coerce") for c in ("step", "loss")})
    found = found.dropna(subset=["step", "loss"])
    if "regime" not in found:
        found = found.assign(regime="")
    runs = found.groupby(["task", "regime"])["seed"].nunique().reset_index()
    usual = runs.sort_values("seed", kind="stable").groupby("task").tail(1)
    found = found.merge(usual[["task", "regime"]], on=["task", "regime"])
    return found[["task", "regime", "seed", "step", "loss"]].sort_values(["task", "seed", "step"])


def learning_curves(curves: pd.DataFrame) -> str:
    """Plot losses of every seed and, dashed, L(i) = A + B · ln(i − i₀ + s) fitted to their mean.

    Parameters
    ----------
    curves : DataFrame
        See `single_task_curves`; not empty.
    """
    tasks = list(curves.groupby("task", sort=True))
    wide = min(PANELS_PER_ROW, len(tasks))
    high = math.ceil(len(tasks) / wide)
    said = []
    with drawing(1.85 * wide + 0.3, 1.45 * high + 0.3) as figure:
        panels = figure.subplots(high, wide, squeeze=False).ravel()
        for axes, (task, rows) in zip(panels, tasks, strict=False):
            for _, run in rows.groupby("seed"):
                axes.plot(run["step"], run["loss"], color=FAINT, linewidth=0.8)
            mean = rows.groupby("step")["loss"].mean()
            steps, losses = mean.index.to_numpy(dtype=float), mean.to_numpy()
            try:
                fit = fit_log(steps, losses)
            except MissingError as error:
                said.append(f"{task}: no fit, {error}")
            else:
                fitted = fit.a + fit.b * np.log(steps - steps[0] + fit.theta)
                axes.plot(steps, fitted, color=GAIN, linewidth=1.6, linestyle="--")
                said.append(f"{task}: from {losses[0]:.2f} to {losses[-1]:.2f}, B {fit.b:+.2f}")
            axes.set_title(plain(task), fontsize=9, color=INK)
            axes.tick_params(length=2, labelsize=7)
            axes.locator_params(nbins=4)
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        figure.supxlabel("update step", fontsize=9)
        figure.supylabel("training loss, nats", fontsize=9)
        return to_svg(
            figure,
            name="curves",
            title=f"Learning curves of {len(tasks)} tasks and the logarithm A + B ln(i − i0 + s) fitted to"
            f" each. {'; '.join(said)}.",
        )


def run_curves(curves: Mapping[str, LearningCurve]) -> str:
    """Plot the training loss of runs, and beside it their scores on dev.

    Parameters
    ----------
    curves : mapping of str to LearningCurve
        By label of the run; not empty.
    """
    with drawing(8.5, 3.4 + 0.2 * len(curves)) as figure:
        losses, scores = figure.subplots(1, 2)
        for number, (label, curve) in enumerate(curves.items()):
            look: dict[str, Any] = {
                "color": SERIES[number % len(SERIES)],
                "linestyle": LINES[number // len(SERIES) % len(LINES)],
                "linewidth": 1.2,
            }
            losses.plot(curve.steps, curve.losses, label=plain(label), **look)
            scores.plot(curve.dev_steps, curve.dev_scores, marker=".", markersize=4, **look)
        losses.set(xlabel="update step", ylabel="training loss")
        scores.set(xlabel="update step", ylabel="score on dev")
        for axes in (losses, scores):
            axes.grid(alpha=0.5)
        figure.legend(
            *losses.get_legend_handles_labels(), loc="outside lower left", ncols=1, fontsize=9
        )
        said = "; ".join(
            f"{label}: "
            + (f"loss {c.losses[0]:.2f} to {c.losses[-1]:.2f}" if len(c.losses) else "no loss")
            for label, c in curves.items()
        )
        return to_svg(figure, name="runcurves", title=f"Learning curves of {len(curves)} runs. {said}.")
