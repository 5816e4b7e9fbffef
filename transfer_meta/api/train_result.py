"""Result of `train`: the ways that were tried, what they brought, and the one that was kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.records import relative_gain
from transfer_meta.results import Result, format_duration, plain_values, records_as_text, visible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ALONE = "none"
"""The source of a way to train that has none."""


@dataclass(frozen=True, kw_only=True)
class TrainedWay:
    """One way to train the target, with its scores (0-1) by seed.

    Parameters
    ----------
    source : str
        Sources, joined by ``>`` (one after the other) or ``+`` (together with the target); ``none`` for the target
        alone; ``checkpoint:ENCODER`` before them if it starts from another encoder.  Of the target alone with a
        curriculum its name, such as ``naive-length``.
    method : str
        As in outcomes: ``single``, ``intermediate``, ``chain``, ``multitask``, ``soft`` or ``curriculum``.
    encoder : str
        The encoder that it starts from.
    dev, test : tuple of float
        Scores by seed; empty for a way that failed.
    difference, low, high : float
        Mean difference of the test scores from those of the target alone, over seeds, and its 95 % interval
        (Student's t); NaN for the target alone, the interval also with one seed.
    seconds : float
        Time of all its runs.
    kept : bool
        Whether the model is one of it.
    reason : str
        Why it failed; empty if it did not.
    """

    source: str
    method: str
    encoder: str
    dev: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seconds: float = 0.0
    kept: bool = False
    reason: str = ""

    @property
    def mean_dev(self) -> float:
        """Mean dev score over the seeds; NaN without runs."""
        return float(np.mean(self.dev)) if self.dev else math.nan

    @property
    def mean_test(self) -> float:
        """Mean test score over the seeds; NaN without runs."""
        return float(np.mean(self.test)) if self.test else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation of the test scores over the seeds; NaN with fewer than two."""
        return float(np.std(self.test, ddof=1)) if len(self.test) > 1 else math.nan

    def row(self) -> dict[str, Any]:
        """Return the values of a table's row."""
        return {
            "source": self.source,
            "method": self.method,
            "encoder": self.encoder,
            "seeds": len(self.test),
            "dev": self.mean_dev,
            "test": self.mean_test,
            "test_sd": self.spread,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "seconds": self.seconds,
            "kept": self.kept,
        }


@dataclass(frozen=True, kw_only=True)
class TrainResult(Result):
    """Ways to train a target, compared on the same examples and seeds, and the model that was kept.

    Parameters
    ----------
    target : str
        Name of the task.
    type : str
        Type of the task.
    metric : str
        Of the scores.
    scored_on : str
        Split of the test scores: ``test``, ``dev``, or ``held out of train``.
    ways : tuple of TrainedWay
        The target alone first.  Empty if the training was stopped before all was done.
    seed : int or None
        Seed of the model: the one with the highest dev score of the way that was kept.
    folder : str or None
        Where the model is.
    notes : tuple of str
        How tasks were read, sources that were not tried or dropped, and other remarks.
    signal : int or None
        Number of the signal that stopped the training.
    """

    target: str
    type: str
    metric: str = ""
    scored_on: str = "test"
    ways: tuple[TrainedWay, ...] = ()
    seed: int | None = None
    folder: str | None = None
    notes: tuple[str, ...] = field(default=())
    signal: int | None = None

    @property
    def kept(self) -> TrainedWay | None:
        """The way that was kept; None if the training was stopped."""
        return next((way for way in self.ways if way.kept), None)

    @property
    def gain(self) -> float:
        """Relative gain of the way that was kept on the test split, a fraction; 0 for the target alone."""
        if self.kept is None:
            return math.nan
        return float(relative_gain(self.kept.mean_test, self.ways[0].mean_test))

    @property
    def verdict(self) -> str:
        """What was found, in a sentence."""
        kept = self.kept
        if kept is None:
            return "stopped before all runs were done; to continue, repeat the command"
        alone = self.ways[0]
        score = f"{self.metric} {kept.mean_test:.3f}{_spread(kept)} on {self.scored_on}"
        if kept is alone:
            tried = len([way for way in self.ways if way.test]) - 1
            if not tried:
                return f"trained on the target alone: {score}"
            with_curriculum = any(way.method == "curriculum" for way in self.ways)
            one, several = ("curriculum", "other ways") if with_curriculum else ("source", "sources")
            what = f"the {one} does not help" if tried == 1 else f"none of the {tried} {several} helps"
            return f"{what}: the model trained on the target alone is kept, {score}"
        kind = "curriculum" if kept.method == "curriculum" else "source"
        text = (
            f"{kind} {kept.source} helps on dev ({kept.mean_dev:.3f}, alone {alone.mean_dev:.3f}) and is kept:"
            f" {score}, alone {alone.mean_test:.3f}{_spread(alone)}, difference {_signed(kept.difference)}"
        )
        if math.isfinite(kept.low):
            text += f" [{_signed(kept.low)}, {_signed(kept.high)}]"
        if self.scored_on == "test" and kept.difference <= 0:
            text += "; on the test split it gains nothing"
        elif kept.low < 0:
            text += ", which may be chance"
        return text

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 128 + the signal if one stopped the training, else 0."""
        return 0 if self.signal is None else 128 + self.signal

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each way to train: means over seeds, the difference from the target alone, the time."""
        import pandas as pd

        return pd.DataFrame([way.row() for way in self.ways], columns=list(TrainedWay(**_EMPTY).row()))

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict, the folder, and every way with its scores by seed."""
        return plain_values(
            {
                "target": self.target,
                "type": self.type,
                "metric": self.metric,
                "scored_on": self.scored_on,
                "verdict": self.verdict,
                "kept": None if self.kept is None else self.kept.source,
                "gain": self.gain,
                "seed": self.seed,
                "folder": self.folder,
                "ways": [
                    way.row() | {"dev_scores": way.dev, "test_scores": way.test, "reason": way.reason}
                    for way in self.ways
                ],
                "notes": list(self.notes),
                "signal": self.signal,
            }
        )

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the test score of every run as a dot, a row for each way to train, with the means."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.run_charts import draw_seeds

        axes = new_axes(axes)
        draw_seeds(axes, {way.source: way.test for way in self.ways if way.test})
        axes.set_xlabel(f"{self.metric} on {self.scored_on}, a dot for each seed")
        axes.set_title(f"target {self.target}".replace("$", r"\$"), fontsize=10)
        return axes

    @property
    def caption(self) -> str:
        """The verdict."""
        return f"{self.target}: {self.verdict}"

    def __str__(self) -> str:
        if not self.ways:
            return visible(self.caption)
        rows = [
            {
                "source": way.source,
                "dev": way.mean_dev,
                "test": way.mean_test,
                "sd": way.spread,
                "difference": _signed(way.difference),
                "95 % interval": _interval(way),
                "time": format_duration(way.seconds),
                "": "kept" if way.kept else f"failed: {way.reason}" if way.reason else "",
            }
            for way in self.ways
        ]
        lines = [visible(self.caption), "", records_as_text(rows), ""]
        lines += [visible(f"- {note}") for note in self.notes]
        if self.folder is not None:
            lines.append(visible(f"model: {self.folder} (seed {self.seed})"))
        return "\n".join(lines)


_EMPTY: dict[str, Any] = {"source": "", "method": "", "encoder": ""}


def _signed(value: float) -> str:
    """Return a number with its sign, three decimals."""
    return "–" if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def _interval(way: TrainedWay) -> str:
    return f"{_signed(way.low)} to {_signed(way.high)}" if math.isfinite(way.low) else "–"


def _spread(way: TrainedWay) -> str:
    """Return the standard deviation over seeds as text; empty with one seed."""
    return "" if math.isnan(way.spread) else f" ± {way.spread:.3f}"
