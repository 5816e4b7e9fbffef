"""The pairs of a library as a recommender learns them, whole or without the tasks held out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transfer_meta.evaluation.pair_values import seed_weights
from transfer_meta.metadataset import pair_inputs
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import USED, pair_columns, pair_table, task_features
from transfer_meta.recommender.library import Library
from transfer_meta.records import ID_COLUMNS, FloatArray

QUARTERS = 4
BASELINE = "baseline"
"""The target's own score, which a training run tells: the nearer the ceiling, the less there is to gain."""


@dataclass(frozen=True)
class Training:
    """The pairs of a library as a recommender learns them; rows are those of `X`.

    Parameters
    ----------
    X : DataFrame
    y, weight : array of shape (n,)
        Mean gain over the seeds, and how far it is to be trusted.
    own : DataFrame
        By target, the features that its level is predicted from.
    tasks : DataFrame
        By task.
    """

    X: pd.DataFrame
    y: FloatArray
    weight: FloatArray
    own: pd.DataFrame
    tasks: pd.DataFrame

    @classmethod
    def of(cls, library: Library, mode: str) -> Training:
        """All pairs of a library."""
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
            X=used_columns(table, tasks, mode),
            y=measured["gain"].to_numpy(dtype=float),
            weight=np.ones(len(table)) if weight is None else weight,
            own=level_features(tasks, library.baselines, mode),
            tasks=tasks,
        )

    def without(self, task: str) -> Training:
        """The pairs that a task has no part in, neither as target nor as source."""
        keep = ((self.X["target"] != task) & (self.X["source"] != task)).to_numpy()
        X = self.X[keep].reset_index(drop=True)
        return Training(X, self.y[keep], self.weight[keep], self.own, self.tasks)

    @property
    def targets(self) -> list[str]:
        """Sorted."""
        return sorted(self.X["target"].unique())

    def fit(self) -> GainModel:
        """On all pairs."""
        return GainModel.fitted(self.X, self.y, self.weight, self.own)

    def held_out(self) -> FloatArray:
        """Expected gains and probabilities of each pair without its target in any role, shape (2, n)."""
        result = np.empty((2, len(self.y)))
        for target in self.targets:
            advisor = self.without(target).fit()
            rows = (self.X["target"] == target).to_numpy()
            every = np.ones(int(rows.sum()), dtype=bool)
            own = self.own.loc[target].to_numpy(dtype=float)
            result[0, rows] = advisor.expected(self.X[rows].reset_index(drop=True), own, every)
            result[1, rows] = advisor.probability(result[0, rows])
        return result

    def held_out_sources(self) -> FloatArray:
        """Expected gains of each pair from outcomes without its target and without its source, shape (n,).

        That is what a source without outcomes gets; a quarter of the sources is left out at a time.
        """
        result = np.empty(len(self.y))
        for target in self.targets:
            rows = np.flatnonzero(self.X["target"] == target)
            of_target = self.X.iloc[rows].reset_index(drop=True)
            for part in range(QUARTERS):
                new = np.arange(len(rows)) % QUARTERS == part
                if not new.any():
                    continue
                seen = self.without(target)
                for name in of_target["source"][new]:
                    seen = seen.without(str(name))
                advisor = seen.fit()
                own = self.own.loc[target].to_numpy(dtype=float)
                result[rows[new]] = advisor.expected(of_target, own, ~new)[new]
        return result


def used_columns(table: pd.DataFrame, tasks: pd.DataFrame, mode: str) -> pd.DataFrame:
    """The columns that are learned from, of pairs with their `pair_columns`."""
    X, _ = pair_inputs(table, tasks, pair_features=tuple(pair_columns(mode)))
    return X[[c for c in X if c in ID_COLUMNS or re.search(USED, str(c))]]


def level_features(tasks: pd.DataFrame, baselines: pd.Series, mode: str) -> pd.DataFrame:
    """Features of targets that their level is predicted from: the task's, and its score where that was measured."""
    if mode != "measured":
        return tasks
    return tasks.assign(**{BASELINE: baselines.reindex(tasks.index)})
