"""Axes for figures that a notebook shows, in the colours and font of the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_meta.figures.svg import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_axes(axes: Axes | None = None, *, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return the given axes, or those of a new figure (size in inches) that notebooks show."""
    if axes is not None:
        return axes
    import matplotlib.pyplot as plt

    with plt.rc_context({**STYLE, "figure.facecolor": "white"}):
        return plt.subplots(figsize=(width, height), layout="constrained")[1]
