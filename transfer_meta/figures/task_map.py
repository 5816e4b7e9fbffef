"""Map of the task space by similarity of task vectors (Vu et al. 2020, Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.features.vectors.similarities import Vectors, cosine_matrix, mean_cosine, vector_kind
from transfer_meta.figures.svg import FAINT, INK, MARKERS, SERIES, drawing, plain, to_svg
from transfer_meta.records import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_PLACES = (
    (6, 0, "left", "center"), (-6, 0, "right", "center"), (0, 5, "center", "bottom"), (0, -5, "center", "top"),
    (5, 5, "left", "bottom"), (5, -5, "left", "top"), (-5, 5, "right", "bottom"), (-5, -5, "right", "top"),
    (0, 16, "center", "bottom"), (0, -16, "center", "top"),
)  # fmt: skip
"""Offset (points) and alignment of a task's name, in order of preference."""


def similarity_matrix(vectors: Mapping[str, Vectors]) -> FloatArray:
    """Return the similarities of all pairs of tasks, 0-1, shape (n, n), with 1 on the diagonal.

    Mean over kinds of vectors of the mean cosine of a kind's components.  Each kind is scaled to 0-1 over the
    pairs, so that kinds whose cosines are all near 1 have the same weight.
    """
    by_kind: dict[str, list[FloatArray]] = {}
    for component in dict.fromkeys(name for found in vectors.values() for name in found):
        of_all = [found.get(component) for found in vectors.values()]
        by_kind.setdefault(vector_kind(component), []).append(cosine_matrix(of_all))
    n = len(vectors)
    blocks = [
        mean_cosine(np.stack(found, axis=-1).reshape(n * n, -1)).reshape(n, n)
        for found in by_kind.values()
    ]
    for block in blocks:
        np.fill_diagonal(block, np.nan)
    stack = np.stack([_stretch(block) for block in blocks if np.isfinite(block).any()])
    known = ~np.isnan(stack)
    total = np.where(known, stack, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    total = (total + total.T) / 2
    np.fill_diagonal(total, 1.0)
    return np.asarray(total)


def _stretch(block: FloatArray) -> FloatArray:
    low, high = np.nanmin(block), np.nanmax(block)
    return (block - low) / (high - low if high > low else 1.0)


def layout(similarity: FloatArray) -> FloatArray:
    """Return positions in the plane, shape (n, 2), by classical multidimensional scaling of 1 - similarity.

    References
    ----------
    Torgerson 1952, "Multidimensional scaling: I. Theory and method".
    """
    n = len(similarity)
    centring = np.eye(n) - 1 / n
    inner = -0.5 * centring @ (1 - similarity) ** 2 @ centring
    values, axes = np.linalg.eigh(inner)
    positions = axes[:, ::-1][:, :2] * np.sqrt(np.clip(values[::-1][:2], 0, None))
    # The sign of an axis is arbitrary: make its largest entry positive, for a reproducible map.
    largest = positions[np.abs(positions).argmax(axis=0), [0, 1]]
    return np.asarray(positions * np.where(largest < 0, -1.0, 1.0))


def task_map(vectors: Mapping[str, Vectors], types: Mapping[str, str]) -> str:
    """Return the map as inline SVG, with each task joined to its nearest neighbour.

    Parameters
    ----------
    vectors : mapping of task to mapping of name to array
        At least three tasks.
    types : mapping of task to str
        Shown by colour; other tasks have type ``unknown``.
    """
    with drawing(7.5, 5.6) as figure:
        nearest = draw_task_map(figure.add_subplot(), vectors, types)
        pairs = ", ".join(f"{task} to {other}" for task, other in nearest.items())
        return to_svg(
            figure, name="taskmap", title=f"Map of {len(nearest)} tasks. Nearest neighbours: {pairs}."
        )


def draw_task_map(
    axes: Axes, vectors: Mapping[str, Vectors], types: Mapping[str, str]
) -> dict[str, str]:
    """Draw the map, see `task_map`, and return the nearest neighbour of each task."""
    names = list(vectors)
    similarity = similarity_matrix(vectors)
    positions = layout(similarity)
    nearest = np.argmax(np.where(np.eye(len(names), dtype=bool), -np.inf, similarity), axis=1)
    kinds = [types.get(name, "unknown") for name in names]
    for task, neighbour in enumerate(nearest):
        axes.plot(*positions[[task, neighbour]].T, color=FAINT, linewidth=1, zorder=1)
    for place, kind in enumerate(sorted(set(kinds))):
        of_kind = positions[[k == kind for k in kinds]]
        colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
        axes.scatter(
            of_kind[:, 0], of_kind[:, 1], color=colour, marker=marker, s=36, label=kind, zorder=2
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.margins(0.12)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, fontsize=9, frameon=False)
    _name_points(axes, positions, names)
    return {task: names[other] for task, other in zip(names, nearest, strict=True)}


def _name_points(axes: Axes, positions: FloatArray, names: Sequence[str]) -> None:
    """Write each task's name next to its point, in the first place where it hides no other."""
    from matplotlib.transforms import Bbox

    # Text sizes need the final layout.
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    taken = [
        Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in axes.transData.transform(positions)
    ]
    for name, position in zip(names, positions, strict=True):
        style: dict[str, Any] = {"fontsize": 8, "color": INK}
        label = axes.annotate(plain(name), tuple(position), (0, 0), textcoords="offset points", **style)
        for x, y, across, up in LABEL_PLACES:
            label.xyann = (x, y)
            label.set(ha=across, va=up)
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
