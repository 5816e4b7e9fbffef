"""A recommendation as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_meta._version import __version__
from transfer_meta.figures.svg import FAINT, GAIN, INK, LOSS, drawing, label_rows, to_svg
from transfer_meta.pages.templates import render_template, write_page
from transfer_meta.recommender.recommendation import RankedSource, Recommendation, percent


def write_recommendation(recommendation: Recommendation, path: Path | str) -> Path:
    """Write the page atomically; raise an InputError if `path` cannot be written."""
    return write_page(path, render_recommendation(recommendation))


def render_recommendation(recommendation: Recommendation) -> str:
    """Return the page as HTML; everything from the user's files is escaped."""
    return render_template(
        "recommendation.html.jinja",
        {
            "version": __version__,
            "recommendation": recommendation,
            "percent": percent,
            "figure": interval_plot(recommendation.sources),
            "figures": recommendation.model["figures"],
        },
    )


def interval_plot(sources: Sequence[RankedSource]) -> str:
    """Plot the expected gain of every source with its interval, the best on top, and a line at 0."""
    with drawing(7.0, 0.9 + 0.34 * len(sources)) as figure:
        axes = figure.add_subplot()
        for row, source in enumerate(sources):
            low, high = 100 * source.low, 100 * source.high
            axes.plot([low, high], [row, row], color=FAINT, linewidth=5, solid_capstyle="round")
            colour = GAIN if source.expected_gain > 0 else LOSS
            axes.plot([100 * source.expected_gain], [row], "o", color=colour, markersize=8)
        axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        label_rows(axes, [s.label for s in sources])
        axes.set_xlabel("expected gain in percent")
        axes.spines["left"].set_visible(False)
        best = sources[0]
        return to_svg(
            figure,
            name="intervals",
            title=(
                f"Expected gain of {len(sources)} sources in percent with intervals; the best is {best.label}"
                f" with {percent(best.expected_gain)}."
            ),
        )
