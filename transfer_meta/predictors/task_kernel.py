"""Kernel of task similarity computed from the columns of a table of pairs.

The kernel is the mean of up to five parts, each 1 for a task with itself:

- *profile*: exp(−d² / (2·`PROFILE_WIDTH`²)) with d² the mean squared difference of the standardised task features
  (``target.F`` and ``source.F`` columns on the scale of `signed_log`);
- *likeness*: exp(min(z − `TWIN_Z_SCORE`, 0)) with z the standardised mean of the standardised pair features
  (``pair.F``), the sign of those that fall with similarity reversed;
- *vectors*: the same for similarities of task vectors (``pair.mean_textemb``, …);
- *kind*: the mean of the binary pair features, such as ``pair.same_type``;
- *role*: similarity as sources, from the training outcomes (`OutcomeTensor.role_similarity`).

Features of a pair of tasks are those of its row in the table, in either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import IntArray, id_column
from transfer_meta.predictors.outcome_tensor import OutcomeTensor, index_in
from transfer_meta.predictors.state_kinds import Names, Number, Numbers, Record, scales
from transfer_meta.records import FloatArray, NameArray, signed_log

PROFILE_WIDTH = 0.8
TWIN_Z_SCORE = 2.5
"""Pairs this many standard deviations above the mean similarity have kernel value 1."""
MAX_Z_SCORE = 3.0
"""Standardised task features are clipped at ± this value."""
MAX_TASKS_FOR_EIGENVALUE = 500
"""Above this number of tasks the smallest eigenvalue is not computed, as it costs more than it gives."""
LIKENESS, VECTORS, KIND = 0, 1, 2
VECTOR_PREFIXES = ("pair.cosine_", "pair.mean_", "pair.centred_", "pair.concat_")
RANK_PREFIX = "pair.rrf_"
"""Left out: fused ranks depend on which sources are ranked together."""
STORED_KERNEL = Record(
    {
        "tasks": Names("tasks", ordered=True),
        "features": Names("of_tasks", same_as="in_both_roles"),
        "centre": Numbers("of_tasks"),
        "scale": scales("of_tasks"),
        "vectors": Numbers("tasks", "of_tasks", low=-MAX_Z_SCORE, high=MAX_Z_SCORE),
        "columns": Names("of_pairs", same_as="compared"),
        "block": Numbers("of_pairs", low=LIKENESS, high=KIND, whole=True),
        "pair_centre": Numbers("of_pairs"),
        "pair_weight": Numbers("of_pairs"),
        "spread": Numbers(2, 2),
        "known": Names("known", same_as="tasks"),
        "nearness": Numbers(2, 3, "tasks", "known", unknown=True),
        "role": Numbers("tasks", "known", low=0, high=1e6, unknown=True),
        "jitter": Number(low=0, high=1e6),
    }
)
"""Kinds of the fields of a stored `TaskKernel`."""


@dataclass(frozen=True)
class TaskKernel:
    """Similarity of n tasks to m training tasks.

    Parameters
    ----------
    tasks : array of shape (n,)
        Sorted names.
    features : array of shape (p,)
        Names of the task features.
    centre, scale : arrays of shape (p,)
        Mean and standard deviation of the training tasks' values on the logarithmic scale.
    vectors : array of shape (n, p)
        Standardised features, 0 where unknown.
    columns : array of shape (q,)
        Names of the pair features.
    block : array of shape (q,)
        Part that each pair feature belongs to: `LIKENESS`, `VECTORS` or `KIND`.
    pair_centre, pair_weight : arrays of shape (q,)
        Mean of the training pairs, and sign (±1) over their standard deviation (0: constant).
    spread : array of shape (2, 2)
        Mean and standard deviation of the means of blocks 0 and 1 over the training pairs.
    known : array of shape (m,)
        Names of the training tasks.
    nearness : array of shape (2, 3, n, m)
        Mean of each block, first with the task as target and the training task as source, then the other way round;
        NaN where there is no such pair.
    role : array of shape (n, m)
        NaN for a task that is no source in training.
    jitter : float
        Added to the diagonal to make the kernel of the training tasks positive definite.
    """

    tasks: NameArray
    features: NameArray
    centre: FloatArray
    scale: FloatArray
    vectors: FloatArray
    columns: NameArray
    block: IntArray
    pair_centre: FloatArray
    pair_weight: FloatArray
    spread: FloatArray
    known: NameArray
    nearness: FloatArray
    role: FloatArray
    jitter: float

    @classmethod
    def fit(cls, X: pd.DataFrame, columns: list[str], outcomes: OutcomeTensor, z: FloatArray) -> Self:
        """Return the kernel of a training table, from its feature columns and standardised gains `z`."""
        tasks = _all_tasks(X)
        features = np.array(_task_features(columns), dtype=object)
        raw = _task_values(X, tasks, features)
        centre, scale = _moments(raw)
        pair_columns = _pair_columns(columns)
        pairs = X[pair_columns].to_numpy(dtype=float)
        pair_centre, deviation = _moments(pairs)
        block = np.array([_block(c, v) for c, v in zip(pair_columns, pairs.T, strict=True)], np.intp)
        kernel = cls(
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
            role=_role(outcomes, tasks),
            jitter=0.0,
        )
        means = kernel._block_means(X)[:2]
        width = np.where(means.std(axis=1) > 1e-10, means.std(axis=1), 1.0)
        kernel = replace(kernel, spread=np.column_stack([means.mean(axis=1), width]))
        kernel = replace(kernel, nearness=kernel._measure(X, tasks))
        lowest = 0.0
        if len(tasks) <= MAX_TASKS_FOR_EIGENVALUE:
            lowest = float(np.linalg.eigvalsh(kernel.kernel(tasks, tasks))[0])
        return replace(kernel, jitter=max(0.0, -lowest) + 1e-6)

    def extended(self, X: pd.DataFrame) -> TaskKernel:
        """Return the kernel with the tasks of further pairs added; scales stay those of the training."""
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
        """Return the similarity of tasks `a` to training tasks `b`, shape (len(a), len(b)).

        1 + jitter for a task with itself.  If no feature of any task is known, all values are 1.
        """
        rows, columns = np.searchsorted(self.tasks, a), np.searchsorted(self.known, b)
        same = a[:, None] == b[None, :]
        cells = np.ix_(rows, columns)
        parts = []
        varied = self.scale > 0
        if varied.any():
            u = self.vectors[rows][:, varied]
            v = self.vectors[np.searchsorted(self.tasks, b)][:, varied]
            square = (u**2).sum(axis=1)[:, None] + (v**2).sum(axis=1)[None] - 2 * u @ v.T
            distance = np.maximum(square, 0.0) / varied.sum()
            parts.append(np.exp(-distance / (2 * PROFILE_WIDTH**2)))
        for block in np.unique(self.block[self.pair_weight != 0]):
            value = _mean_known(
                self.nearness[:, block, rows[:, None], columns[None, :]], 0.5 if block == KIND else 0.0
            )
            parts.append(value if block == KIND else np.exp(np.minimum(value - TWIN_Z_SCORE, 0.0)))
        if self._mean_role() > 0:
            parts.append(np.where(np.isnan(self.role[cells]), self._mean_role(), self.role[cells]))
        if not parts:
            return np.ones(same.shape)
        return np.where(same, 1.0 + self.jitter, np.mean(parts, axis=0))

    def _measure(self, X: pd.DataFrame, tasks: NameArray) -> FloatArray:
        """Return the attribute `nearness` for `tasks`; of several rows of a pair (settings) the last one counts."""
        nearness = np.full((2, 3, len(tasks), len(self.known)), np.nan)
        means = self._block_means(X)
        means[:2] = (means[:2] - self.spread[:, :1]) / self.spread[:, 1:]
        roles = (id_column(X, "target"), id_column(X, "source"))
        for direction, (task, other) in enumerate((roles, roles[::-1])):
            inside = index_in(self.known, other) >= 0
            rows = np.searchsorted(tasks, task[inside])
            nearness[direction][:, rows, np.searchsorted(self.known, other[inside])] = means[:, inside]
        return nearness

    def _mean_role(self) -> float:
        """Return the mean role similarity of different training tasks."""
        others = self.tasks[:, None] != self.known[None, :]
        known = others & ~np.isnan(self.role)
        return float(self.role[known].mean()) if known.any() else 0.0

    def _block_means(self, X: pd.DataFrame) -> FloatArray:
        """Return the mean of the standardised, oriented features of each block, shape (3, n)."""
        values = (X[list(self.columns)].to_numpy(dtype=float) - self.pair_centre) * self.pair_weight
        means = np.zeros((3, len(X)))
        for block in np.unique(self.block):
            of_block = values[:, (self.block == block) & (self.pair_weight != 0)]
            means[block] = _mean_known(of_block.T, 0.5 if block == KIND else 0.0)
        return means


def orientation(pairs: FloatArray, deviation: FloatArray, z: FloatArray) -> FloatArray:
    """Return sign / deviation of each pair feature, the sign that of its covariance with the standardised gain.

    Sources help more the nearer they are: a feature that rises with the training gains is taken for a similarity,
    one that falls for a distance.

    Parameters
    ----------
    pairs : array of shape (n, q)
    deviation : array of shape (q,)
        Standard deviation of each feature.
    z : array of shape (n,)
        Standardised gains of the training pairs.
    """
    known = ~np.isnan(pairs)
    mean = np.nansum(pairs, axis=0) / np.maximum(known.sum(axis=0), 1)
    covariance = (np.where(known, pairs - mean, 0.0) * z[:, None]).sum(axis=0)
    sign = np.where(covariance < 0, -1.0, 1.0)
    return np.where(deviation > 0, sign / np.where(deviation > 0, deviation, 1.0), 0.0)


def kernel_columns(features: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return what a kernel uses of the feature columns, by the axes of `STORED_KERNEL`."""
    return {"in_both_roles": _task_features(list(features)), "compared": _pair_columns(features)}


def _pair_columns(columns: Sequence[str]) -> list[str]:
    return [c for c in columns if c.startswith("pair.") and not c.startswith(RANK_PREFIX)]


def _task_features(columns: list[str]) -> list[str]:
    """Return the features that both roles have."""
    return sorted(
        {c.removeprefix("target.") for c in columns if c.startswith("target.")}
        & {c.removeprefix("source.") for c in columns if c.startswith("source.")}
    )


def _task_values(X: pd.DataFrame, tasks: NameArray, features: NameArray) -> FloatArray:
    """Return task features on the logarithmic scale, from the rows in which a task is target or source."""
    raw = np.full((len(tasks), len(features)), np.nan)
    for role in ("source", "target"):
        rows = np.searchsorted(tasks, id_column(X, role))
        raw[rows] = X[[f"{role}.{f}" for f in features]].to_numpy(dtype=float)
    return signed_log(raw)


def _standardise(raw: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    z = (raw - centre) / np.where(scale > 0, scale, np.inf)
    return np.clip(np.nan_to_num(z), -MAX_Z_SCORE, MAX_Z_SCORE)


def _block(column: str, values: FloatArray) -> int:
    if np.array_equal(np.unique(values[~np.isnan(values)]), [0.0, 1.0]):
        return KIND
    return VECTORS if column.startswith(VECTOR_PREFIXES) else LIKENESS


def _moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each column; deviation 0 if unknown or constant."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    return mean, np.where(deviation > 1e-10 * np.maximum(1.0, np.abs(mean)), deviation, 0.0)


def _all_tasks(X: pd.DataFrame) -> NameArray:
    return np.array(sorted({*id_column(X, "source"), *id_column(X, "target")}), dtype=object)


def _role(outcomes: OutcomeTensor, tasks: NameArray) -> FloatArray:
    place = np.searchsorted(tasks, outcomes.sources)
    role = np.full((len(tasks), len(tasks)), np.nan)
    role[np.ix_(place, place)] = outcomes.role_similarity()
    return role


def _mean_known(values: FloatArray, missing: float) -> FloatArray:
    """Return the mean of the known values over the first axis; `missing` where there is none."""
    count = (~np.isnan(values)).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), missing)
