"""A recommendation as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def render_recommendation(recommendation: Recommendation, *, figure: str | None = None) -> str:
    """Return the page as HTML; everything from the user's files is escaped.

    Parameters
    ----------
    recommendation : Recommendation
    figure : str, optional
        What `interval_figure` returned, if it is at hand.
    """
    body = render_recommendation_body(recommendation, figure=figure)
    return _render("recommendation", recommendation, version=__version__, body=body)


def render_recommendation_body(
    recommendation: Recommendation, *, figure: str | None = None, links: bool = False
) -> str:
    """Return figure, tables and reasons as HTML, for the page of a recommendation or another one.

    Parameters
    ----------
    recommendation : Recommendation
    figure : str, optional
        What `interval_figure` returned, if it is at hand.
    links : bool
        Whether data sets and checkpoints link to the Hugging Face Hub.
    """
    figure = interval_figure(recommendation) if figure is None else figure
    return _render("recommendation_body", recommendation, figure=figure, links=links)


def render_recommendation_notes(recommendation: Recommendation) -> str:
    """Return the notes and the model's figures as HTML, see `render_recommendation_body`."""
    return _render("recommendation_notes", recommendation)


def interval_figure(recommendation: Recommendation) -> str:
    """Return the expected gains with their intervals as SVG."""
    best, n_sources = recommendation.sources[0], len(recommendation.sources)
    return interval_plot(
        recommendation.to_frame(),
        title=(
            f"Expected gain of {n_sources} sources in percent with intervals; the best is {best.label}"
            f" with {percent(best.expected_gain)}."
        ),
    )


def _render(template: str, recommendation: Recommendation, **more: Any) -> str:
    figures = recommendation.model["figures"]
    shared = {"recommendation": recommendation, "percent": percent, "figures": figures}
    return render_template(f"{template}.html.jinja", {**shared, **more})
