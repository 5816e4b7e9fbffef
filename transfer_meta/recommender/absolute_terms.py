"""A recommendation in absolute terms: scores, labels that bring the same as a source, time and cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.features.curves.size_curve import MAX_FACTOR, SIZE_COVERAGE, Predicted
from transfer_meta.recommender.measure_target import SizeRuns
from transfer_meta.recommender.recommendation import RankedSource
from transfer_meta.records import TaskProfile
from transfer_meta.results import Result, format_duration, plain_values, table_as_text, visible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FACTORS = (2, 4)
"""Multiples of the number of examples for which a score is predicted."""


@dataclass(frozen=True)
class Way:
    """What is to be expected of one way to train on the target.

    Parameters
    ----------
    name : str
        The source, or how the target is trained on without one.
    kind : str
        ``alone``, ``labels`` (more examples) or ``source``.
    examples : int
        Training examples of the target.
    score : Predicted or None
        0-1.  Alone it is the mean over seeds, with the lowest and the highest; of a source the score alone times
        one plus its expected gain, with the gain's interval.
    more_labels : Predicted or None
        Further examples that bring as much as the source's expected gain; infinite: more than `MAX_FACTOR`
        times the examples at hand.  None if no trend could be fitted, and for ways without a source.
    seconds : float
        Training once, on the source too.
    cost : float or None
        Of these seconds.
    label_price : float or None
        Price of a label above which the source costs less than the labels that bring the same; None where their
        number or the cost is not known.
    """

    name: str
    kind: str
    examples: int
    score: Predicted | None
    more_labels: Predicted | None = None
    seconds: float = math.nan
    cost: float | None = None
    label_price: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON; None for what is infinite or not known."""
        found = asdict(self)
        for name in ("score", "more_labels"):
            value = getattr(self, name)
            found[name] = None if value is None else value._asdict()
        return plain_values(found)


@dataclass(frozen=True)
class AbsoluteTerms(Result):
    """Expected scores of a target alone, with more labels and with sources; `str` gives a table.

    Parameters
    ----------
    target : str
    runs : SizeRuns
        What was measured.
    ways : tuple of Way
        Alone, with two and four times the examples, and with each source.
    no_trend : str
        Why no power law could be fitted; empty if one was.
    cost_per_hour : float or None
        Cost of an hour of training.
    """

    target: str
    runs: SizeRuns
    ways: tuple[Way, ...]
    no_trend: str = ""
    cost_per_hour: float | None = None

    @property
    def caption(self) -> str:
        """What the target scores alone, and what that is of."""
        runs, last = self.runs, [scores[-1] for scores in self.runs.scores]
        parts = ", ".join(
            f"{mean:.3f} with {size:,}"
            for mean, size in zip(np.mean(runs.scores, axis=0)[:-1], runs.sizes[:-1], strict=True)
        )
        return (
            f"Alone, with {runs.sizes[-1]:,} training examples, {self.target} scores {runs.score:.3f}"
            f" ({runs.metric}, on {runs.tested_on}; {len(last)} seeds from {min(last):.3f} to {max(last):.3f});"
            f" {parts}."
        )

    def __str__(self) -> str:
        columns, rows = self.table()
        return "\n".join([visible(self.caption), *self.sentences(), "", table_as_text(columns, rows)])

    def sentences(self) -> list[str]:
        """Return what the best source is worth in labels, and caveats, a line each."""
        lines, size = [], self.runs.sizes[-1]
        best = next((way for way in self.ways if way.kind == "source"), None)
        if self.no_trend:
            lines.append(
                f"How many more labels would bring the same as a source is not known: no trend could be fitted"
                f" ({self.no_trend})."
            )
        elif best is not None and best.more_labels is not None:
            lines.append(_worth(best.name, best.more_labels, size))
        if self.runs.available > size:
            lines.append(
                f"All figures are for {size:,} of the {self.runs.available:,} training examples."
            )
        return lines

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the columns and the cells of the table that is printed."""
        columns = [
            "",
            "examples",
            "expected score",
            "interval",
            "same by more labels",
            "interval",
            "training",
        ]
        rows = []
        for way in self.ways:
            row = [way.name, f"{way.examples:,}", *_cells(way.score, _score)]
            row += [*_cells(way.more_labels, _labels), format_duration(way.seconds)]
            if self.cost_per_hour is not None:
                row += [_price(way.cost), _price(way.label_price)]
            rows.append(row)
        if self.cost_per_hour is not None:
            columns += ["cost", "cheaper if a label costs more than"]
        return columns, rows

    def to_frame(self) -> pd.DataFrame:
        """Return one row per way.

        Returns
        -------
        DataFrame
            ``way``, ``kind``, ``examples``, ``score``, ``low``, ``high``, ``more_labels``, ``more_labels_low``,
            ``more_labels_high`` (inf: more than `MAX_FACTOR` times the examples), ``seconds``, ``cost``,
            ``label_price``.
        """
        import pandas as pd

        nothing = Predicted(math.nan, math.nan, math.nan)
        rows = []
        for way in self.ways:
            score, more = way.score or nothing, way.more_labels or nothing
            rows.append(
                {
                    "way": way.name,
                    "kind": way.kind,
                    "examples": way.examples,
                    "score": score.value,
                    "low": score.low,
                    "high": score.high,
                    "more_labels": more.value,
                    "more_labels_low": more.low,
                    "more_labels_high": more.high,
                    "seconds": way.seconds,
                    "cost": way.cost,
                    "label_price": way.label_price,
                }
            )
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "sizes": list(self.runs.sizes),
            "scores": [list(scores) for scores in self.runs.scores],
            "seconds": [list(seconds) for seconds in self.runs.seconds],
            "available": self.runs.available,
            "metric": self.runs.metric,
            "tested_on": self.runs.tested_on,
            "encoder": self.runs.encoder,
            "device": self.runs.device,
            "no_trend": self.no_trend or None,
            "cost_per_hour": self.cost_per_hour,
            "ways": [way.to_dict() for way in self.ways],
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the score of every run by number of examples, the predicted scores, and the best source's."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.size_curves import draw_size_curve
        from transfer_meta.figures.svg import plain

        axes = new_axes(axes)
        frame = self.to_frame()
        draw_size_curve(axes, self.runs.sizes, self.runs.scores, frame)
        axes.set_ylabel(plain(self.runs.metric))
        axes.set_title(plain(f"{self.target}: scores by number of training examples"))
        return axes


def absolute_terms(
    runs: SizeRuns,
    target: TaskProfile,
    sources: Sequence[tuple[RankedSource, TaskProfile]],
    *,
    source_examples: int | None,
    cost_per_hour: float | None = None,
) -> AbsoluteTerms:
    """Return what sources and more labels bring, in scores, labels, time and cost.

    Parameters
    ----------
    runs : SizeRuns
    target : TaskProfile
    sources : sequence of (RankedSource, TaskProfile)
        The best first.
    source_examples : int, optional
        Most training examples of a source.
    cost_per_hour : float, optional
        Cost of an hour of training.
    """
    curve, no_trend = runs.curve()
    size = runs.sizes[-1]
    last = [scores[-1] for scores in runs.scores]

    def cost(seconds: float) -> float | None:
        return None if cost_per_hour is None else seconds / 3600 * cost_per_hour

    def alone(name: str, kind: str, examples: int, score: Predicted | None) -> Way:
        seconds = runs.seconds_of(examples)
        return Way(name, kind, examples, score, seconds=seconds, cost=cost(seconds))

    ways = [alone("alone", "alone", size, Predicted(runs.score, min(last), max(last)))]
    if curve is not None:
        ways += [
            alone(f"{n} times the labels", "labels", n * size, curve.score(n * size)) for n in FACTORS
        ]
    for source, profile in sources:
        low, value, high = (
            float(np.clip(runs.score * (1 + gain), 0, 1))
            for gain in (source.low, source.expected_gain, source.high)
        )
        more = None if curve is None else curve.more_examples(source.expected_gain)
        there = source.facts.train_size if source.facts is not None else None
        n_source = min(n for n in (source_examples, there, math.inf) if n is not None)
        if not math.isfinite(n_source):
            n_source = profile.features.get("size", math.nan)
        seconds = runs.seconds_of(size) + runs.seconds_of(n_source * _length(profile, target))
        spent = cost(seconds)
        price = None
        if spent is not None and more is not None and 0 < more.value < math.inf:
            # Training on more labels takes longer as well.
            longer = cost(runs.seconds_of(size + more.value)) or 0.0
            price = max(0.0, (spent - longer) / more.value)
        ways.append(
            Way(
                source.label,
                "source",
                size,
                Predicted(value, low, high),
                more,
                seconds,
                spent,
                price,
            )
        )
    return AbsoluteTerms(target.name, runs, tuple(ways), no_trend, cost_per_hour)


def _length(source: TaskProfile, target: TaskProfile) -> float:
    """Return the mean length of a source's texts over that of the target's, 1 if one is not known."""
    lengths = [profile.features.get("length_mean", math.nan) for profile in (source, target)]
    return lengths[0] / lengths[1] if all(n > 0 for n in lengths) else 1.0


def _worth(name: str, more: Predicted, size: int) -> str:
    """Return in a sentence how many labels bring the same as a source."""
    interval = f"{100 * SIZE_COVERAGE:.0f} % interval"
    within = f"{MAX_FACTOR} times the data ({MAX_FACTOR * size:,} examples)"
    if more.value <= 0:
        return f"{name}, the first source, is not expected to bring a gain: no label is needed for the same."
    if math.isinf(more.low):
        return f"More labels would not bring the same as {name}: not within {within}."
    if math.isinf(more.value):
        return (
            f"More labels would hardly bring the same as {name}: not within {within},"
            f" {interval} from {more.low:,.0f} more labels."
        )
    high = f"more than {within}" if math.isinf(more.high) else f"{more.high:,.0f}"
    return (
        f"The gain expected of {name} is what {more.value:,.0f} more labels would bring"
        f" ({interval} {more.low:,.0f} to {high})."
    )


def _cells(value: Predicted | None, text: Callable[[float], str]) -> tuple[str, str]:
    """Return the cells of a value and of its interval; empty without a value."""
    if value is None:
        return "", ""
    return text(value.value), f"{text(value.low)} to {text(value.high)}"


def _score(value: float) -> str:
    return f"{value:.3f}"


def _labels(value: float) -> str:
    return f"not within {MAX_FACTOR}×" if math.isinf(value) else f"{value:,.0f}"


def _price(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
