"""Transfer history of a source: features made of outcomes of the training targets.

The features of a pair (source s, target t) summarise outcomes on other targets: how much s helped them on
average, how much it helped those similar to t, and how much t, as a source, helped s.  A target's own outcomes
are left out of its rows in training too, so that the features mean the same for a new target.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import IntArray, id_column
from transfer_meta.predictors.outcome_tensor import OutcomeTensor, index_in
from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.predictors.within_target import setting_column
from transfer_meta.records import FloatArray, NameArray

HISTORY_FEATURES = (
    "popularity",
    "popularity_all",
    "near",
    "near_all",
    "nearest",
    "nearest_all",
    "mutual",
    "mutual_all",
)
"""Columns of `history_features`; ``_all``: over all settings, weighted by their similarity to the row's."""


def history_features(
    outcomes: OutcomeTensor, X: pd.DataFrame, kernel: TaskKernel, *, shrinkage: float = 1.0
) -> FloatArray:
    """Return `HISTORY_FEATURES` of each row, shape (n, 8); an unknown value is 0, the mean over sources.

    Parameters
    ----------
    outcomes : OutcomeTensor
        Standardised gains of the training pairs.
    X : DataFrame
        Pairs.
    kernel : TaskKernel
        Contains the tasks of `X` (see `TaskKernel.extended`).
    shrinkage : float
        Number of targets without effect, as near as the nearest one, that are added to each mean.
    """
    targets, t = np.unique(id_column(X, "target"), return_inverse=True)
    s = index_in(outcomes.sources, id_column(X, "source"))
    k = index_in(outcomes.settings, setting_column(X))
    nearness = kernel.kernel(targets, outcomes.targets)
    own = targets[:, None] == outcomes.targets[None, :]
    columns = []
    for near in (np.ones(nearness.shape), nearness, nearness**4):
        columns += _means(outcomes, np.where(own, 0.0, near), t, s, k, shrinkage)
    columns += _mutual(outcomes, id_column(X, "target"), id_column(X, "source"), k)
    return np.column_stack(columns)


def _means(
    outcomes: OutcomeTensor, near: FloatArray, t: IntArray, s: IntArray, k: IntArray, shrinkage: float
) -> list[FloatArray]:
    """Return means over the training targets weighted by nearness: in the row's setting, and over all settings."""
    near = near / np.maximum(near.max(axis=1, keepdims=True), 1e-12)
    # (settings, targets of the rows, sources)
    total, count = np.matmul(near, outcomes.weight * outcomes.z), np.matmul(near, outcomes.weight)
    by_setting = total / (count + shrinkage)
    similarity = _setting_weights(outcomes)
    pooled = np.tensordot(similarity, total, axes=1) / (
        np.tensordot(similarity, count, axes=1) + shrinkage * similarity.sum(axis=1)[:, None, None]
    )
    over_all = np.where(s < 0, 0.0, pooled[k, t, s])
    return [np.where(s < 0, 0.0, np.where(k < 0, over_all, by_setting[k, t, s])), over_all]


def _mutual(
    outcomes: OutcomeTensor, targets: NameArray, sources: NameArray, k: IntArray
) -> list[FloatArray]:
    """Return how much the target helped the source, less what it helps on average."""
    helped, helper = index_in(outcomes.targets, sources), index_in(outcomes.sources, targets)
    beyond = outcomes.beyond_popularity()
    similarity = _setting_weights(outcomes)
    pooled = np.tensordot(similarity, outcomes.weight * beyond, axes=1) / (
        np.tensordot(similarity, outcomes.weight, axes=1) + 1e-12
    )
    unknown = (helped < 0) | (helper < 0)
    over_all = np.where(unknown, 0.0, pooled[k, helped, helper])
    return [np.where(unknown, 0.0, np.where(k < 0, over_all, beyond[k, helped, helper])), over_all]


def _setting_weights(outcomes: OutcomeTensor) -> FloatArray:
    """Return similarities (settings + 1, settings); the last row is for a new setting: all count the same."""
    return np.vstack([outcomes.setting_similarity(), np.ones(len(outcomes.settings))])
