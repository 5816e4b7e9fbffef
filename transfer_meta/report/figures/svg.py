"""Matplotlib figures as inline SVG that follows the page: its colours, its font, its light or dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that matplotlib draws with, and the variables of the page's style sheet that take their place.
INK, FAINT, BACKGROUND = "#010203", "#010204", "#010205"
GAIN, LOSS, THIRD, FOURTH = "#010206", "#010207", "#010208", "#010209"
SERIES = (GAIN, LOSS, THIRD, FOURTH)
MARKERS = "osD^v"
# Where a screen is narrower than this share of a figure, one scrolls: letters smaller than that cannot be read.
LEAST_WIDTH = 0.8
_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    BACKGROUND: "--background",
    GAIN: "--gain",
    LOSS: "--loss",
    THIRD: "--third",
    FOURTH: "--fourth",
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "transfer-meta",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "legend.frameon": False,
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure (inches) in the page's style; neither a display nor pyplot's state is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Figure, *, name: str, title: str) -> str:
    """The figure as an ``<svg>`` element.

    Parameters
    ----------
    name : str
        Prefix of the element ids, unique on the page; a word.
    title : str
        The text alternative: what the figure shows.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Ids of several figures share a page; references to them are "#id" and url(#id).
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text)
    label = html.escape(title, quote=True)
    least = round(96 * LEAST_WIDTH * figure.get_figwidth())
    return text.replace(
        "<svg ",
        f'<svg role="img" aria-label="{label}" class="figure" style="--least: {least}px" ',
        1,
    )


def plain(text: object) -> str:
    """Text that matplotlib takes literally: a dollar sign would start a formula."""
    return str(text).replace("$", r"\$")
