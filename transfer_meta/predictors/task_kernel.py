"""How near tasks are to each other, from whatever a table of pairs knows of them.

Up to five kernels, each 1 for a task with itself, and their mean:

- *profile*: exp(−d² / (2·0.8²)) with d² the mean squared difference of the standardised task features
  (``target.F`` and ``source.F`` columns, after sign(x)·ln(1 + |x|));
- *likeness*: exp(min(z − 2.5, 0)) with z the mean of the standardised features of the pair (``pair.F``), those that
  fall with similarity turned round, standardised once more.  A value 2.5 standard deviations above the
  mean is a pair of twins;
- *vectors*: the same of similarities of task vectors (``pair.mean_textemb``, …);
- *kind*: the mean of the pair features that are 0 or 1, such as ``pair.same_type``;
- *role*: how alike the two are as sources, by the training outcomes (`OutcomeTensor.role_likeness`).

Features of a pair (t', t) are what the table has in its row with source t' and target t, or the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.base import names
from transfer_meta.predictors.outcome_tensor import OutcomeTensor, find
from transfer_meta.records import FloatArray, NameArray

WIDTH = 0.8
TWINS = 2.5
VECTOR_LIMIT = 3.0
LIKENESS, VECTORS, KIND = 0, 1, 2
VECTOR_PREFIXES = ("pair.cosine_", "pair.mean_", "pair.centred_", "pair.concat_")
RANK_PREFIX = "pair.rrf_"
"""Fused ranks depend on which sources are ranked together: they say nothing about two tasks alone."""


@dataclass(frozen=True)
class TaskKernel:
    """The tasks of a training table, n of them, and how near they are.

    Parameters
    ----------
    tasks : array of shape (n,)
        NameArray, sorted.
    features : array of shape (p,)
        NameArray of the task features.
    centre, scale : arrays of shape (p,)
        Of the training tasks' values on the logarithmic scale.
    vectors : array of shape (n, p)
        Standardised features; 0 where unknown.
    columns : array of shape (q,)
        The features of pairs.
    block : array of shape (q,)
        For each of them 0 (likeness), 1 (vectors) or 2 (kind).
    pair_centre, pair_weight : arrays of shape (q,)
        Mean of the training pairs, and orientation (±1) over their standard deviation (0: constant).
    spread : array of shape (2, 2)
        Mean and standard deviation of the blocks 0 and 1 over the training pairs.
    known : array of shape (m,)
        The training tasks; `tasks` has further ones after `located`.
    nearness : array of shape (2, 3, n, m)
        Of each block, with the task as target and the training task as source, and the other way round; NaN where
        there is no such pair.
    role : array of shape (n, m)
        NaN for what is no source in training.
    jitter : float
        What the diagonal needs for the kernel of the training tasks to be positive definite.
    """

    tasks: NameArray
    features: NameArray
    centre: FloatArray
    scale: FloatArray
    vectors: FloatArray
    columns: NameArray
    block: NDArray[np.intp]
    pair_centre: FloatArray
    pair_weight: FloatArray
    spread: FloatArray
    known: NameArray
    nearness: FloatArray
    role: FloatArray
    jitter: float

    @classmethod
    def fitted(cls, X: pd.DataFrame, columns: list[str], grid: OutcomeTensor, z: FloatArray) -> Self:
        """The space of a training table's tasks, from its feature columns and its standardised gains `z`."""
        tasks = _all_tasks(X)
        features = np.array(_task_features(columns), dtype=object)
        raw = _task_values(X, tasks, features)
        centre, scale = _moments(raw)
        pair_columns = [c for c in columns if c.startswith("pair.") and not c.startswith(RANK_PREFIX)]
        pairs = X[pair_columns].to_numpy(dtype=float)
        pair_centre, deviation = _moments(pairs)
        block = np.array([_block(c, v) for c, v in zip(pair_columns, pairs.T, strict=True)], np.intp)
        space = cls(
            tasks=tasks,
            features=features,
            centre=centre,
            scale=scale,
            vectors=_standardise(raw, centre, scale),
            columns=np.array(pair_columns, dtype=object),
            block=block,
            pair_centre=np.where(block == KIND, 0.0, pair_centre),
            pair_weight=np.where(block == KIND, 1.0, orientation(pairs, deviation, z)),
            spread=np.array([[0.0, 1.0], [0.0, 1.0]]),
            known=tasks,
            nearness=np.zeros((2, 3, 0, 0)),
            role=_role(grid, tasks),
            jitter=0.0,
        )
        means = space._block_means(X)[:2]
        width = np.where(means.std(axis=1) > 1e-10, means.std(axis=1), 1.0)
        space = replace(space, spread=np.column_stack([means.mean(axis=1), width]))
        space = replace(space, nearness=space._measure(X, tasks))
        kernel = space.kernel(tasks, tasks)
        # Beyond some hundred tasks the eigenvalue costs more than it gives.
        lowest = float(np.linalg.eigvalsh(kernel)[0]) if len(kernel) <= 500 else 0.0
        return replace(space, jitter=max(0.0, -lowest) + 1e-6)

    def located(self, X: pd.DataFrame) -> TaskKernel:
        """The space with the tasks of further pairs in it; the training's scales stay as they are."""
        every = np.union1d(self.tasks, _all_tasks(X))
        place = np.searchsorted(every, self.tasks)
        vectors = _standardise(_task_values(X, every, self.features), self.centre, self.scale)
        vectors[place] = self.vectors
        nearness = self._measure(X, every)
        nearness[:, :, place] = np.where(np.isnan(self.nearness), nearness[:, :, place], self.nearness)
        role = np.full((len(every), len(self.known)), np.nan)
        role[place] = self.role
        return replace(self, tasks=every, vectors=vectors, nearness=nearness, role=role)

    def kernel(self, a: NameArray, b: NameArray) -> FloatArray:
        """Nearness of tasks `a` to training tasks `b`, shape (len(a), len(b)); 1 + jitter of a task with itself.

        Where nothing is known of any task each is like every other.
        """
        rows, columns = np.searchsorted(self.tasks, a), np.searchsorted(self.known, b)
        same = a[:, None] == b[None, :]
        cells = np.ix_(rows, columns)
        parts = []
        varied = self.scale > 0
        if varied.any():
            u, v = (
                self.vectors[rows][:, varied],
                self.vectors[np.searchsorted(self.tasks, b)][:, varied],
            )
            square = (u**2).sum(axis=1)[:, None] + (v**2).sum(axis=1)[None] - 2 * u @ v.T
            parts.append(np.exp(-np.maximum(square, 0.0) / varied.sum() / (2 * WIDTH**2)))
        for block in np.unique(self.block[self.pair_weight != 0]):
            value = _mean_known(
                self.nearness[:, block, rows[:, None], columns[None, :]], 0.5 if block == KIND else 0.0
            )
            parts.append(value if block == KIND else np.exp(np.minimum(value - TWINS, 0.0)))
        if self._typical_role() > 0:
            parts.append(np.where(np.isnan(self.role[cells]), self._typical_role(), self.role[cells]))
        if not parts:
            return np.ones(same.shape)
        return np.where(same, 1.0 + self.jitter, np.mean(parts, axis=0))

    def _measure(self, X: pd.DataFrame, tasks: NameArray) -> FloatArray:
        """As the attribute `nearness`; pairs in several rows (settings) have one value."""
        nearness = np.full((2, 3, len(tasks), len(self.known)), np.nan)
        means = self._block_means(X)
        means[:2] = (means[:2] - self.spread[:, :1]) / self.spread[:, 1:]
        roles = (names(X, "target"), names(X, "source"))
        for direction, (task, other) in enumerate((roles, roles[::-1])):
            inside = find(self.known, other) >= 0
            rows = np.searchsorted(tasks, task[inside])
            nearness[direction][:, rows, np.searchsorted(self.known, other[inside])] = means[:, inside]
        return nearness

    def _typical_role(self) -> float:
        """Mean over pairs of different training tasks."""
        others = self.tasks[:, None] != self.known[None, :]
        known = others & ~np.isnan(self.role)
        return float(self.role[known].mean()) if known.any() else 0.0

    def _block_means(self, X: pd.DataFrame) -> FloatArray:
        """Mean of the standardised, oriented features of each block, shape (3, n)."""
        values = (X[list(self.columns)].to_numpy(dtype=float) - self.pair_centre) * self.pair_weight
        means = np.zeros((3, len(X)))
        for block in np.unique(self.block):
            of_block = values[:, (self.block == block) & (self.pair_weight != 0)]
            means[block] = _mean_known(of_block.T, 0.5 if block == KIND else 0.0)
        return means


def orientation(pairs: FloatArray, deviation: FloatArray, z: FloatArray) -> FloatArray:
    """Sign / deviation of each pair feature, the sign that of its correlation with the standardised gain.

    Sources help more the nearer they are: what rises with the training gains is taken for a similarity, what falls
    for a distance.

    Parameters
    ----------
    pairs : array of shape (n, q)
    deviation : array of shape (q,)
    z : array of shape (n,)
        Standardised gains of the training pairs.
    """
    known = ~np.isnan(pairs)
    mean = np.nansum(pairs, axis=0) / np.maximum(known.sum(axis=0), 1)
    covariance = (np.where(known, pairs - mean, 0.0) * z[:, None]).sum(axis=0)
    sign = np.where(covariance < 0, -1.0, 1.0)
    return np.where(deviation > 0, sign / np.where(deviation > 0, deviation, 1.0), 0.0)


def _task_features(columns: list[str]) -> list[str]:
    """Features that both roles have."""
    return sorted(
        {c.removeprefix("target.") for c in columns if c.startswith("target.")}
        & {c.removeprefix("source.") for c in columns if c.startswith("source.")}
    )


def _task_values(X: pd.DataFrame, tasks: NameArray, features: NameArray) -> FloatArray:
    """Features of tasks on the logarithmic scale, from the rows in which they are target or source."""
    raw = np.full((len(tasks), len(features)), np.nan)
    for role in ("source", "target"):
        rows = np.searchsorted(tasks, names(X, role))
        raw[rows] = X[[f"{role}.{f}" for f in features]].to_numpy(dtype=float)
    return np.sign(raw) * np.log1p(np.abs(raw))


def _standardise(raw: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    z = (raw - centre) / np.where(scale > 0, scale, np.inf)
    return np.clip(np.nan_to_num(z), -VECTOR_LIMIT, VECTOR_LIMIT)


def _block(column: str, values: FloatArray) -> int:
    if np.array_equal(np.unique(values[~np.isnan(values)]), [0.0, 1.0]):
        return KIND
    return VECTORS if column.startswith(VECTOR_PREFIXES) else LIKENESS


def _moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each column; an unknown or constant one has deviation 0."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    return mean, np.where(deviation > 1e-10 * np.maximum(1.0, np.abs(mean)), deviation, 0.0)


def _all_tasks(X: pd.DataFrame) -> NameArray:
    return np.array(sorted({*names(X, "source"), *names(X, "target")}), dtype=object)


def _role(grid: OutcomeTensor, tasks: NameArray) -> FloatArray:
    place = np.searchsorted(tasks, grid.sources)
    role = np.full((len(tasks), len(tasks)), np.nan)
    role[np.ix_(place, place)] = grid.role_likeness()
    return role


def _mean_known(values: FloatArray, missing: float) -> FloatArray:
    """Mean over the first axis of what is known."""
    count = (~np.isnan(values)).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), missing)


def space_state(space: TaskKernel) -> dict[str, Any]:
    """The space as plain values, to be kept in a fitted predictor: ``TaskSpace(**state)``."""
    return dict(vars(space))
