"""Range of the known tasks, and how far a target lies outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.predictors.within_target import group_moments
from transfer_meta.recommender.inputs import COMPARED_STATISTICS, KINDS_OF_MODE, pair_table
from transfer_meta.recommender.library import Library
from transfer_meta.records import FloatArray, TaskProfile, signed_log

MAX_WIDENING = 3.0
"""Largest factor that intervals are widened by; nothing is known of targets further out."""
NEW_TYPE_WIDENING = 1.5
"""Factor for a target of a type that no known task has."""
COMPARED_TEXT = {"tfidf": "words", "textemb": "texts"}
"""Kinds of vectors that a target's similarity to the known tasks is checked in, and what they describe."""


@dataclass(frozen=True)
class Domain:
    """Distances between the known tasks.

    Parameters
    ----------
    centre, scale : list of float
        Of `inputs.COMPARED_STATISTICS` over the known tasks, after sign(x)·ln(1 + |x|).
    statistics_limit : float
        Largest distance of a known task from its nearest: root mean square of standardised differences.
    similarity_limits : dict of str to float
        By kind of vector, the least similarity of a known task to its nearest.
    types : list of str
        Task types of the known tasks.
    """

    centre: list[float]
    scale: list[float]
    statistics_limit: float
    similarity_limits: dict[str, float]
    types: list[str]

    @classmethod
    def from_library(cls, library: Library, mode: str) -> Domain:
        """Measure the domain of a library's source tasks."""
        profiles = [p for p in map(library.profiles.__getitem__, library.sources) if p.sketches]
        values = _statistics(profiles)
        mean, deviation = group_moments(values, np.zeros(len(values), dtype=np.intp))
        centre, scale = mean[0], deviation[0]
        standardised = _standardise(values, centre, scale)
        distances = _distances(standardised, standardised)
        np.fill_diagonal(distances, np.inf)
        similarities: dict[str, list[float]] = {kind: [] for kind in _compared_kinds(mode)}
        for profile in profiles:
            others = [p for p in profiles if p is not profile]
            for kind, value in _max_similarity(profile, others, library.vectors, mode).items():
                similarities[kind].append(value)
        return cls(
            centre=centre.tolist(),
            scale=scale.tolist(),
            statistics_limit=float(distances.min(axis=1).max()),
            similarity_limits={kind: float(np.nanmin(v)) for kind, v in similarities.items()},
            types=sorted({str(p.type) for p in profiles}),
        )

    def widening(
        self, target: TaskProfile, known: list[TaskProfile], vectors: Mapping[str, Vectors], mode: str
    ) -> tuple[float, list[str]]:
        """Return the factor to widen a target's intervals by, 1 for one within the domain, and the reasons."""
        factors, reasons = [1.0], []
        if str(target.type) not in self.types:
            factors.append(NEW_TYPE_WIDENING)
            reasons.append(f"no known task is of type {target.type} (known: {', '.join(self.types)})")
        centre, scale = np.array(self.centre), np.array(self.scale)
        own = _standardise(_statistics([target]), centre, scale)
        distance = float(_distances(own, _standardise(_statistics(known), centre, scale)).min())
        if distance > self.statistics_limit > 0:
            factors.append(distance / self.statistics_limit)
            name = COMPARED_STATISTICS[int(np.argmax(np.abs(own[0])))]
            reasons.append(
                f"its statistics are unlike any known task's, above all {name}"
                f" ({target.features[name]:g})"
            )
        for kind, value in _max_similarity(target, known, vectors, mode).items():
            limit = self.similarity_limits[kind]
            if value < limit:
                factors.append((1 - value) / max(1 - limit, 1e-6))
                reasons.append(
                    f"its {COMPARED_TEXT[kind]} are unlike any known task's (largest cosine {value:.2f},"
                    f" among known tasks at least {limit:.2f})"
                )
        return min(MAX_WIDENING, max(factors)), reasons


def _compared_kinds(mode: str) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS_OF_MODE[mode] if kind in COMPARED_TEXT)


def _max_similarity(
    target: TaskProfile, others: list[TaskProfile], vectors: Mapping[str, Vectors], mode: str
) -> dict[str, float]:
    """Return the largest similarity to another task, by kind of vector that the target has."""
    frame = pair_table(
        target=target, sources=others, vectors=vectors, reference=[True] * len(others), mode=mode
    )
    found = {kind: float(frame[f"mean_{kind}"].max()) for kind in _compared_kinds(mode)}
    return {kind: value for kind, value in found.items() if np.isfinite(value)}


def _statistics(profiles: list[TaskProfile]) -> FloatArray:
    rows = [[p.features.get(name, np.nan) for name in COMPARED_STATISTICS] for p in profiles]
    return signed_log(np.array(rows, dtype=float))


def _standardise(values: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    return np.nan_to_num((values - centre) / np.where(scale > 1e-9, scale, np.inf))


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.sqrt(((a[:, None] - b[None]) ** 2).mean(axis=2))
