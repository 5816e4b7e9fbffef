"""Map of the known tasks with the place of a target, as SVG that can be zoomed."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfer_meta.features.vectors.hashed_tfidf import example_text, hashed_text_vector
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.figures.task_map import layout, similarity_matrix
from transfer_meta.pages.templates import render_template
from transfer_meta.recommender.catalogue_facts import description_vector, facts_of
from transfer_meta.recommender.inputs import KINDS_OF_MODE
from transfer_meta.recommender.library import Library
from transfer_meta.records import FloatArray, TaskType
from transfer_meta.tasks.subsets import draw_examples
from transfer_meta.tasks.task import Task, shorten
from transfer_meta.web.rendering import PLACE

WIDTH, HEIGHT, MARGIN = 1000, 640, 70
"""Size of the map, and the least distance of a point from its edge, in the SVG's units."""
NAMED = 6
"""Tasks nearest to the target that are named on the map from the start, and listed below it."""
SPREAD = 0.6
"""Exponent of distances from the middle, 1 for none."""
MAX_MAP_NAME = 40
TARGET_POINT = ""
"""The target among the tasks of the map; no task has this name."""


def draw_map(target: Task | None, description: str, library: Library) -> str:
    """Return the map as HTML; distances are those of texts and descriptions, without an encoder.

    Parameters
    ----------
    target : Task or None
        None for a target that is known by its description alone.
    description : str
        Of the target, where it is not the task's own.
    library : Library
    """
    vectors: dict[str, Vectors] = {
        name: {kind: one for kind, one in found.items() if kind in KINDS_OF_MODE["text"]}
        for name, found in library.vectors.items()
    }
    vectors[TARGET_POINT] = _target_vectors(target, description, library)
    names = list(vectors)
    similarity = similarity_matrix(vectors)
    apart = np.where(np.eye(len(names), dtype=bool), -np.inf, similarity)
    to_target = apart[names.index(TARGET_POINT)]
    near = [int(i) for i in np.argsort(-to_target, kind="stable")[:NAMED]]
    places = _to_page(layout(similarity))
    types = [library.profiles[name].type if name else None for name in names]
    points: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        facts = facts_of(name) if name else None
        points.append(
            {
                "x": round(float(places[i, 0]), 1),
                "y": round(float(places[i, 1]), 1),
                "name": name,
                "type": types[i],
                "is_target": not name,
                "is_near": i in near,
                "similarity": None if not name else float(to_target[i]),
                "description": "" if facts is None else shorten(facts.description, 160),
                "joined": int(apart[i].argmax()),
            }
        )
    shown = [type for type in TaskType if type in types]
    return render_template(
        "ask_map.html.jinja",
        {
            "points": points,
            "near": [points[i] for i in near],
            "types": shown,
            "target": shorten(target.name, MAX_MAP_NAME) if target is not None else "your task",
            "width": WIDTH,
            "height": HEIGHT,
        },
        **PLACE,
    )


def _target_vectors(target: Task | None, description: str, library: Library) -> Vectors:
    if target is None:
        return description_vector(description)
    examples, _ = draw_examples(target, "train", library.profile_examples)
    texts = hashed_text_vector(map(example_text, examples))
    return {"tfidf": texts, **description_vector(description or target.description)}


def _to_page(positions: FloatArray) -> FloatArray:
    """Return positions in the SVG's units, with one scale for both axes.

    Distances from the middle are raised to the power of `SPREAD`: most tasks lie close together, a few far out.
    """
    middle = np.median(positions, axis=0)
    moved = positions - middle
    distance = np.linalg.norm(moved, axis=1, keepdims=True)
    moved = moved * np.where(distance > 0, distance, 1.0) ** (SPREAD - 1)
    low, high = moved.min(axis=0), moved.max(axis=0)
    inner = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN], dtype=float)
    scale = float((inner / np.where(high > low, high - low, 1.0)).min())
    placed = (moved - (low + high) / 2) * scale
    return np.asarray(placed * [1, -1] + [WIDTH / 2, HEIGHT / 2])
