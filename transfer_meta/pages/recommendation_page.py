"""A recommendation as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from transfer_meta._version import __version__
from transfer_meta.figures.charts import interval_plot
from transfer_meta.pages.templates import render_template, write_page
from transfer_meta.recommender.recommendation import Recommendation, percent


def write_recommendation(recommendation: Recommendation, path: Path | str) -> Path:
    """Write a recommendation as one HTML page, and return its path.

    Parameters
    ----------
    recommendation : Recommendation
    path : str or path
        Written atomically.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    return write_page(path, render_recommendation(recommendation))


def render_recommendation(recommendation: Recommendation) -> str:
    """Return the page as HTML; everything from the user's files is escaped."""
    best, n_sources = recommendation.sources[0], len(recommendation.sources)
    figure = interval_plot(
        recommendation.to_frame(),
        title=(
            f"Expected gain of {n_sources} sources in percent with intervals; the best is {best.label}"
            f" with {percent(best.expected_gain)}."
        ),
    )
    return render_template(
        "recommendation.html.jinja",
        {
            "version": __version__,
            "recommendation": recommendation,
            "percent": percent,
            "figure": figure,
            "figures": recommendation.model["figures"],
        },
    )
