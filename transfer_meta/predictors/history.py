"""What the training targets say about a source: features made of outcomes, never of the row's own target.

Every feature of a pair (source s, target t) comes from other targets' outcomes: how much s helped them on average,
how much it helped those that are near to t, and how much t, as a source, helped s.  The target's own outcomes are
left out of its rows in training too, so that a feature means the same for a target that is new.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import names
from transfer_meta.predictors.outcome_tensor import OutcomeTensor, find
from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.predictors.within_target import Codes, setting_column
from transfer_meta.records import FloatArray, NameArray

FEATURES = (
    "popularity",
    "popularity_all",
    "near",
    "near_all",
    "nearest",
    "nearest_all",
    "mutual",
    "mutual_all",
)
"""Columns of `history_features`; ``_all`` averages over settings, weighted by likeness to the row's."""


def history_features(
    grid: OutcomeTensor, X: pd.DataFrame, space: TaskKernel, *, shrinkage: float = 1.0
) -> FloatArray:
    """`FEATURES` of each row, shape (n, 8); what is unknown is 0, the mean over a target's sources.

    Parameters
    ----------
    grid : OutcomeGrid
        Standardised gains of the training pairs.
    X : DataFrame
        Pairs.
    space : TaskSpace
        Holds the tasks of `X` (see `TaskKernel.located`).
    shrinkage : float
        So many targets without effect are counted in with each mean, as near as the nearest.
    """
    targets, t = np.unique(names(X, "target"), return_inverse=True)
    s = find(grid.sources, names(X, "source"))
    k = find(grid.settings, setting_column(X))
    nearness = space.kernel(targets, grid.targets)
    own = targets[:, None] == grid.targets[None, :]
    columns = []
    for near in (np.ones(nearness.shape), nearness, nearness**4):
        columns += _means(grid, np.where(own, 0.0, near), t, s, k, shrinkage)
    columns += _mutual(grid, names(X, "target"), names(X, "source"), k)
    return np.column_stack(columns)


def _means(
    grid: OutcomeTensor, near: FloatArray, t: Codes, s: Codes, k: Codes, shrinkage: float
) -> list[FloatArray]:
    """Means over the training targets weighted by nearness, in the row's setting and over all settings."""
    near = near / np.maximum(near.max(axis=1, keepdims=True), 1e-12)
    # (settings, targets of the rows, sources)
    total, count = np.matmul(near, grid.weight * grid.z), np.matmul(near, grid.weight)
    by_setting = total / (count + shrinkage)
    # A new setting is as like every one of the training's.
    likeness = np.vstack([grid.setting_likeness(), np.ones(len(grid.settings))])
    pooled = np.tensordot(likeness, total, axes=1) / (
        np.tensordot(likeness, count, axes=1) + shrinkage * likeness.sum(axis=1)[:, None, None]
    )
    over_all = np.where(s < 0, 0.0, pooled[k, t, s])
    return [np.where(s < 0, 0.0, np.where(k < 0, over_all, by_setting[k, t, s])), over_all]


def _mutual(grid: OutcomeTensor, targets: NameArray, sources: NameArray, k: Codes) -> list[FloatArray]:
    """How much the target helped the source, beyond how much it helps others."""
    helped, helper = find(grid.targets, sources), find(grid.sources, targets)
    beyond = grid.beyond_popularity()
    likeness = np.vstack([grid.setting_likeness(), np.ones(len(grid.settings))])
    pooled = np.tensordot(likeness, grid.weight * beyond, axes=1) / (
        np.tensordot(likeness, grid.weight, axes=1) + 1e-12
    )
    unknown = (helped < 0) | (helper < 0)
    over_all = np.where(unknown, 0.0, pooled[k, helped, helper])
    return [np.where(unknown, 0.0, np.where(k < 0, over_all, beyond[k, helped, helper])), over_all]
