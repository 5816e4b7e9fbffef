"""A map of the task space: tasks that are near in vectors are near on the page (Vu et al. 2020, Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from transfer_meta.features.similarity import Vectors, similarity_features
from transfer_meta.records import FloatArray
from transfer_meta.report.svg import FAINT, INK, SERIES, drawing, to_svg

MARKERS = "osD^v"


def similarity_matrix(vectors: Mapping[str, Vectors]) -> FloatArray:
    """Similarity of every task with every other, 0-1, shape (n, n); 1 on the diagonal.

    The mean over kinds of the mean cosine of a kind's components, each kind stretched to 0-1 over the pairs, so
    that kinds whose cosines are all near 1 count as much as the others.
    """
    names = list(vectors)
    blocks: dict[str, FloatArray] = {}
    for row, target in enumerate(names):
        others = {name: vectors[name] for name in names if name != target}
        features = similarity_features(target=vectors[target], sources=others)
        for column in features:
            if str(column).startswith("mean_"):
                block = blocks.setdefault(str(column), np.full((len(names), len(names)), np.nan))
                block[row, [names.index(name) for name in others]] = features[column]
    stack = np.stack([_stretch(block) for block in blocks.values()])
    known = ~np.isnan(stack)
    total = np.where(known, stack, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    total = (total + total.T) / 2
    np.fill_diagonal(total, 1.0)
    return total


def _stretch(block: FloatArray) -> FloatArray:
    low, high = np.nanmin(block), np.nanmax(block)
    return (block - low) / (high - low if high > low else 1.0)


def layout(similarity: FloatArray) -> FloatArray:
    """Positions in the plane, shape (n, 2): classical multidimensional scaling of 1 - similarity.

    Source: Torgerson 1952, "Multidimensional scaling: I. Theory and method".
    """
    n = len(similarity)
    centring = np.eye(n) - 1 / n
    inner = -0.5 * centring @ (1 - similarity) ** 2 @ centring
    values, axes = np.linalg.eigh(inner)
    positions = axes[:, ::-1][:, :2] * np.sqrt(np.clip(values[::-1][:2], 0, None))
    # An axis may point either way; its largest entry is made positive, so that the map is always the same.
    largest = positions[np.abs(positions).argmax(axis=0), [0, 1]]
    return np.asarray(positions * np.where(largest < 0, -1.0, 1.0))


def task_map(vectors: Mapping[str, Vectors], types: Mapping[str, str]) -> str:
    """The map as inline SVG, each task joined to its nearest.

    Parameters
    ----------
    vectors : mapping of task to mapping of name to array
        At least three tasks.
    types : mapping of task to str
        What the colour says; tasks that are not in it are of type ``unknown``.
    """
    names = list(vectors)
    similarity = similarity_matrix(vectors)
    positions = layout(similarity)
    nearest = np.argmax(np.where(np.eye(len(names), dtype=bool), -np.inf, similarity), axis=1)
    kinds = [types.get(name, "unknown") for name in names]
    with drawing(7.5, 5.6) as figure:
        axes = figure.add_subplot()
        for task, neighbour in enumerate(nearest):
            axes.plot(*positions[[task, neighbour]].T, color=FAINT, linewidth=1, zorder=1)
        for place, kind in enumerate(sorted(set(kinds))):
            of_kind = positions[[k == kind for k in kinds]]
            colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
            axes.scatter(
                of_kind[:, 0], of_kind[:, 1], color=colour, marker=marker, s=36, label=kind, zorder=2
            )
        for name, position in zip(names, positions, strict=True):
            text = name.replace("$", r"\$")
            axes.annotate(
                text, position, xytext=(5, 4), textcoords="offset points", fontsize=8, color=INK
            )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.margins(0.12)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        pairs = ", ".join(f"{a} to {names[b]}" for a, b in zip(names, nearest, strict=True))
        return to_svg(
            figure, name="taskmap", title=f"Map of {len(names)} tasks. Nearest neighbours: {pairs}."
        )
