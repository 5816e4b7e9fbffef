"""Training pairs of a recommender, whole or with tasks held out, and their held-out predictions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transfer_meta.evaluation.pair_values import seed_weights
from transfer_meta.metadataset import pair_inputs
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import (
    LEARNED_COLUMNS,
    pair_columns,
    pair_table,
    task_features,
)
from transfer_meta.recommender.library import Library
from transfer_meta.records import ID_COLUMNS, FloatArray

N_SOURCE_FOLDS = 4
"""Folds of `TrainingPairs.held_out_sources`."""
BASELINE_COLUMN = "baseline"
"""Feature of mode ``measured``: the target's own score. The nearer to the ceiling, the less there is to gain."""


@dataclass(frozen=True)
class TrainingPairs:
    """Measured pairs of a library with their features; rows correspond to those of `X`.

    Parameters
    ----------
    X : DataFrame
        ``source``, ``target`` and features.
    y : array of shape (n,)
        Mean gain over seeds, a fraction.
    weight : array of shape (n,)
        Sample weight, from the number of seeds.
    target_features : DataFrame
        Input of `MeanGainModel`, indexed by target.
    """

    X: pd.DataFrame
    y: FloatArray
    weight: FloatArray
    target_features: pd.DataFrame

    @classmethod
    def from_library(cls, library: Library, mode: str) -> TrainingPairs:
        """Build the pairs of all outcomes of a library."""
        pairs = library.outcomes.pairs
        tasks = task_features(list(library.profiles.values()), mode)
        blocks = []
        for target, sources in pairs.groupby("target", sort=True)["source"]:
            names = sorted(sources)
            blocks.append(
                pair_table(
                    target=library.profiles[str(target)],
                    sources=[library.profiles[name] for name in names],
                    vectors=library.vectors,
                    reference=[True] * len(names),
                    mode=mode,
                )
            )
        table = pd.concat(blocks, ignore_index=True)
        by_pair = pairs.set_index(["source", "target"])
        measured = by_pair.loc[list(zip(table["source"], table["target"], strict=True))]
        measured = measured.reset_index()
        weight = seed_weights(measured, measured["target"].to_numpy())
        return cls(
            X=learned_columns(table, tasks, mode),
            y=measured["gain"].to_numpy(dtype=float),
            weight=np.ones(len(table)) if weight is None else weight,
            target_features=target_level_features(tasks, library.baselines, mode),
        )

    def without(self, *tasks: str) -> TrainingPairs:
        """Return the pairs without those that have one of the tasks as target or source."""
        keep = ~(self.X["target"].isin(tasks) | self.X["source"].isin(tasks)).to_numpy()
        X = self.X[keep].reset_index(drop=True)
        return TrainingPairs(X, self.y[keep], self.weight[keep], self.target_features)

    @property
    def targets(self) -> list[str]:
        """Names of the targets, sorted."""
        return sorted(self.X["target"].unique())

    def fit(self) -> GainModel:
        """Fit a gain model on all pairs."""
        return GainModel.fit(self.X, self.y, self.weight, self.target_features)

    def held_out(self) -> FloatArray:
        """Predict each pair from pairs without its target in either role.

        Returns
        -------
        array of shape (2, n)
            Expected gains and probabilities of gain.
        """
        result = np.empty((2, len(self.y)))
        for target in self.targets:
            gain_model = self.without(target).fit()
            rows = (self.X["target"] == target).to_numpy()
            every = np.ones(int(rows.sum()), dtype=bool)
            features = self.target_features.loc[target].to_numpy(dtype=float)
            X = self.X[rows].reset_index(drop=True)
            result[0, rows] = gain_model.expected(X, features, every)
            result[1, rows] = gain_model.probability(result[0, rows])
        return result

    def held_out_sources(self) -> FloatArray:
        """Predict each pair from pairs without its target and without its source, as for a source without outcomes.

        The sources of a target are held out in `N_SOURCE_FOLDS` folds.

        Returns
        -------
        array of shape (n,)
            Expected gains.
        """
        result = np.empty(len(self.y))
        for target in self.targets:
            rows = np.flatnonzero(self.X["target"] == target)
            X = self.X.iloc[rows].reset_index(drop=True)
            features = self.target_features.loc[target].to_numpy(dtype=float)
            for fold in range(min(N_SOURCE_FOLDS, len(rows))):
                new = np.arange(len(rows)) % N_SOURCE_FOLDS == fold
                gain_model = self.without(target, *X["source"][new]).fit()
                result[rows[new]] = gain_model.expected(X, features, ~new)[new]
        return result


def learned_columns(table: pd.DataFrame, tasks: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Return the id columns and the features that the gain model uses, from a pair table and task features."""
    X, _ = pair_inputs(table, tasks, pair_features=tuple(pair_columns(mode)))
    return X[[c for c in X if c in ID_COLUMNS or re.search(LEARNED_COLUMNS, str(c))]]


def target_level_features(tasks: pd.DataFrame, baselines: pd.Series, mode: str) -> pd.DataFrame:
    """Return the input of `MeanGainModel`: task features and, for mode ``measured``, the baseline score."""
    if mode != "measured":
        return tasks
    return tasks.assign(**{BASELINE_COLUMN: baselines.reindex(tasks.index)})
