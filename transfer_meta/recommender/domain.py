"""Whether a target lies inside of what the recommender has learned from, and how far outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.predictors.within_target import group_means
from transfer_meta.recommender.inputs import COMPARED_STATISTICS, KINDS_OF_MODE, pair_table
from transfer_meta.recommender.library import Library
from transfer_meta.records import FloatArray, TaskProfile

MOST = 3.0
"""Intervals are widened by at most this factor: further out nothing says how far."""
NEW_TYPE = 1.5
FEATURE_WORDS = {
    "tfidf": "its words are less like any known task's than those of the known tasks are like each other's",
    "textemb": "its texts are less like any known task's than those of the known tasks are like each other's",
}


@dataclass(frozen=True)
class Domain:
    """How far from each other the known tasks lie.

    Parameters
    ----------
    centre, scale : list of float
        Of `features.COMPARED_STATISTICS` over the known tasks, on the scale sign(x)·ln(1 + |x|).
    statistics_limit : float
        The greatest distance of a known task from its nearest: root mean square of standardised differences.
    similarity_limits : dict of str to float
        By kind of vector, the least similarity of a known task with its nearest.
    types : list of str
        Task types among the known targets.
    """

    centre: list[float]
    scale: list[float]
    statistics_limit: float
    similarity_limits: dict[str, float]
    types: list[str]

    @classmethod
    def of(cls, library: Library, mode: str) -> Domain:
        """The domain of a library's tasks."""
        profiles = [library.profiles[name] for name in library.sources]
        values = _values(profiles)
        mean, deviation = group_means(values, np.zeros(len(values), dtype=np.intp))
        centre, scale = mean[0], deviation[0]
        distances = _distances(_standard(values, centre, scale), _standard(values, centre, scale))
        np.fill_diagonal(distances, np.inf)
        least: dict[str, list[float]] = {kind: [] for kind in _kinds(mode)}
        for profile in profiles:
            others = [p for p in profiles if p is not profile]
            best = _nearest(profile, others, library.vectors, mode)
            for kind, value in best.items():
                least[kind].append(value)
        return cls(
            centre=centre.tolist(),
            scale=scale.tolist(),
            statistics_limit=float(distances.min(axis=1).max()),
            similarity_limits={kind: float(np.nanmin(values)) for kind, values in least.items()},
            types=sorted({str(p.type) for p in profiles}),
        )

    def place(
        self, target: TaskProfile, known: list[TaskProfile], vectors: Mapping[str, Vectors], mode: str
    ) -> tuple[float, list[str]]:
        """By what factor to widen the intervals of a target (1: it lies inside), and why, in words."""
        factors, reasons = [1.0], []
        if str(target.type) not in self.types:
            factors.append(NEW_TYPE)
            reasons.append(
                f"no task of type {target.type} was learned from (but {', '.join(self.types)})"
            )
        centre, scale = np.array(self.centre), np.array(self.scale)
        own = _standard(_values([target]), centre, scale)
        distance = float(_distances(own, _standard(_values(known), centre, scale)).min())
        if distance > self.statistics_limit > 0:
            factors.append(distance / self.statistics_limit)
            name = COMPARED_STATISTICS[int(np.argmax(np.abs(own[0])))]
            reasons.append(
                f"its statistics are unlike any known task's, above all {name}"
                f" ({target.features[name]:g})"
            )
        for kind, value in _nearest(target, known, vectors, mode).items():
            limit = self.similarity_limits[kind]
            if value < limit:
                factors.append((1 - value) / max(1 - limit, 1e-6))
                reasons.append(
                    f"{FEATURE_WORDS[kind]} (cosine with the nearest {value:.2f}, there at least {limit:.2f})"
                )
        return min(MOST, max(factors)), reasons


def _kinds(mode: str) -> tuple[str, ...]:
    return tuple(kind for kind in KINDS_OF_MODE[mode] if kind in FEATURE_WORDS)


def _nearest(
    target: TaskProfile, others: list[TaskProfile], vectors: Mapping[str, Vectors], mode: str
) -> dict[str, float]:
    """Similarity of a task with the nearest of others, by kind of vector that it has."""
    frame = pair_table(
        target=target, sources=others, vectors=vectors, reference=[True] * len(others), mode=mode
    )
    found = {kind: float(frame[f"mean_{kind}"].max()) for kind in _kinds(mode)}
    return {kind: value for kind, value in found.items() if np.isfinite(value)}


def _values(profiles: list[TaskProfile]) -> FloatArray:
    raw = np.array(
        [[p.features.get(name, np.nan) for name in COMPARED_STATISTICS] for p in profiles], dtype=float
    )
    return np.sign(raw) * np.log1p(np.abs(raw))


def _standard(values: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    return np.nan_to_num((values - centre) / np.where(scale > 1e-9, scale, np.inf))


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.sqrt(((a[:, None] - b[None]) ** 2).mean(axis=2))
