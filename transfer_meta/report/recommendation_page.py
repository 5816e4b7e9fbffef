"""A recommendation as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer_meta._version import __version__
from transfer_meta.files import atomic_file
from transfer_meta.recommender.recommendation import RankedSource, Recommendation, percent
from transfer_meta.report.figures.svg import FAINT, GAIN, INK, LOSS, drawing, to_svg
from transfer_meta.report.templates import render_template


def write_advice(answer: Recommendation, path: Path | str) -> Path:
    """Write the page, whole or not at all; an InputError where `path` cannot be written."""
    text = render_advice(answer)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def render_advice(answer: Recommendation) -> str:
    """The page as text.  Everything that comes from the user's files is escaped."""
    return render_template(
        "advice.html.jinja",
        {
            "version": __version__,
            "answer": answer,
            "percent": percent,
            "figure": interval_plot(answer.sources),
            "figures": answer.model["figures"],
        },
    )


def interval_plot(sources: tuple[RankedSource, ...]) -> str:
    """The expected gain of every source with its interval, the best on top; a line where nothing is gained."""
    with drawing(7.0, 0.9 + 0.34 * len(sources)) as figure:
        axes = figure.add_subplot()
        for row, source in enumerate(sources):
            low, high = 100 * source.low, 100 * source.high
            axes.plot([low, high], [row, row], color=FAINT, linewidth=5, solid_capstyle="round")
            colour = GAIN if source.expected_gain > 0 else LOSS
            axes.plot([100 * source.expected_gain], [row], "o", color=colour, markersize=8)
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        # A dollar sign would open a formula.
        axes.set_yticks(np.arange(len(sources)), [s.source.replace("$", r"\$") for s in sources])
        axes.set(ylim=(len(sources) - 0.5, -0.5), xlabel="expected gain in percent")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        best = sources[0]
        return to_svg(
            figure,
            name="intervals",
            title=(
                f"Expected gain of {len(sources)} sources in percent with intervals; the best is {best.source}"
                f" with {percent(best.expected_gain)}."
            ),
        )
