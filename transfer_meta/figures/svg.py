"""Matplotlib figures as inline SVG in the page's colours and font, light or dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transfer_meta.results import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The page's light colours; in SVG, each is replaced by the variable of its style sheet. The background is not quite
# white, to be told from the white that matplotlib draws.
INK, FAINT, BACKGROUND = "#1c2430", "#b9c1cc", "#fefefe"
GAIN, LOSS, THIRD, FOURTH = "#2a6fc9", "#c8581a", "#2f8a57", "#8a56b0"
SERIES = (GAIN, LOSS, THIRD, FOURTH)
MARKERS = "osD^v"
MIN_WIDTH_SHARE = 0.8
"""Share of its width to which a figure shrinks on a narrow screen; then it scrolls, to stay readable."""
_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    BACKGROUND: "--background",
    GAIN: "--gain",
    LOSS: "--loss",
    THIRD: "--third",
    FOURTH: "--fourth",
}

STYLE: dict[Any, Any] = {
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
    """Yield a figure (size in inches) in the page's style, without pyplot or a display."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Figure, *, name: str, title: str) -> str:
    """Return the figure as an ``<svg>`` element.

    Parameters
    ----------
    name : str
        Prefix of the element ids, a word unique on the page.
    title : str
        Text alternative.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The element's own style sheet would hold for the whole page, and a strict content policy refuses it.
    text = re.sub(r"<defs>\s*<style\b.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Make ids unique on the page; references to them are "#id" and url(#id).
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{name}-", text)
    label = html.escape(visible(title), quote=True)
    least = round(96 * MIN_WIDTH_SHARE * figure.get_figwidth())
    return text.replace(
        "<svg ",
        f'<svg role="img" aria-label="{label}" class="figure" style="--least: {least}px"'
        ' stroke-linejoin="round" stroke-linecap="butt" ',
        1,
    )


def draw_cell(
    axes: Axes, column: int, row: int, *, colour: str, alpha: float, width: float = 0.92
) -> None:
    """Draw a coloured cell of a matrix, centred on its column and row."""
    from matplotlib.patches import Rectangle

    corner = (column - width / 2, row - 0.46)
    axes.add_patch(Rectangle(corner, width, 0.92, facecolor=colour, alpha=alpha, linewidth=0))


def label_rows(axes: Axes, labels: Iterable[object]) -> None:
    """Label the rows 0, 1, … of a plot, from the top down."""
    texts = [plain(label) for label in labels]
    axes.set_yticks(range(len(texts)), texts)
    axes.set_ylim(len(texts) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def plain(text: object) -> str:
    """Escape text for matplotlib: a dollar sign would start a formula, and what is hidden has no shape."""
    return visible(text, lines=True).replace("$", r"\$")
