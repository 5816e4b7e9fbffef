"""Training pairs of a recommender, whole or with tasks held out, and their held-out predictions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.metadataset import pair_inputs
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import (
    DESCRIPTION,
    LEARNED_COLUMNS,
    OUTCOMES,
    SCORE_FEATURES,
    SCORES,
    pair_columns,
    pair_table,
    task_features,
)
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.recommendation import NEAR_DUPLICATE_SHARE
from transfer_meta.records import ID_COLUMNS, FloatArray, OnProgress, TaskProfile

N_SOURCE_FOLDS = 4
"""Folds of `TrainingPairs.held_out_sources`."""
MIN_LABEL_JACCARD = 0.5
"""Tasks with less similar label sets are different tasks, even on the same texts."""
BASELINE_COLUMN = "baseline"
"""Feature of mode ``measured``: the target's own score. The nearer to the ceiling, the less there is to gain."""


@dataclass(frozen=True)
class TrainingPairs:
    """Measured pairs of a library with their features; rows correspond to those of `X`.

    Parameters
    ----------
    X : DataFrame
        ``setting``, ``source``, ``target`` and features.
    y : array of shape (n,)
        Mean gain over seeds, a fraction.
    weight : array of shape (n,)
        Sample weight, from the number of seeds.
    target_features : DataFrame
        Input of `MeanGainModel`, indexed by target.
    twins : dict of str to str
        By task, the name that it shares with tasks of the same labels and partly the same texts; these are held
        out together.
    """

    X: pd.DataFrame
    y: FloatArray
    weight: FloatArray
    target_features: pd.DataFrame
    twins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_library(cls, library: Library, mode: str) -> TrainingPairs:
        """Build the pairs of all outcomes of a library."""
        tasks = task_features(list(library.profiles.values()), mode)
        blocks: dict[tuple[str, ...], pd.DataFrame] = {}
        tables = []
        for (setting, target), pairs in library.pairs.groupby(["setting", "target"], sort=True):
            names = sorted(pairs["source"])
            scores = library.scores_on(str(target), str(setting)) if mode == "sources" else None
            key = (str(target), str(scores is not None), *names)
            if key not in blocks:
                blocks[key] = pair_table(
                    target=library.profiles[str(target)],
                    sources=[library.profiles[name] for name in names],
                    vectors=library.vectors,
                    reference=[True] * len(names),
                    mode=mode,
                    scores=scores,
                )
            tables.append(blocks[key].assign(setting=str(setting)))
        table = pd.concat(tables, ignore_index=True)
        measured = table[list(ID_COLUMNS)].merge(library.pairs, on=list(ID_COLUMNS), how="left")
        return cls(
            X=learned_columns(table, tasks, mode),
            y=measured["gain"].to_numpy(dtype=float),
            weight=measured["weight"].to_numpy(dtype=float),
            target_features=target_level_features(tasks, library.baselines, mode),
            twins=find_twins(list(library.profiles.values())),
        )

    def without(self, *tasks: str) -> TrainingPairs:
        """Return the pairs without those that have one of the tasks, or a twin, as target or source."""
        groups = {self.group_of(task) for task in tasks}
        out = self._groups("target").isin(groups) | self._groups("source").isin(groups)
        return self._where(~out.to_numpy())

    def without_encoder(self, encoder: str) -> TrainingPairs:
        """Return the pairs of the settings of other encoders; settings begin with the encoder's name."""
        return self._where(~self.X["setting"].map(encoder_of).eq(encoder).to_numpy())

    def only(self, setting: str) -> TrainingPairs:
        """Return the pairs of one setting."""
        return self._where((self.X["setting"] == setting).to_numpy())

    def _where(self, keep: NDArray[np.bool_]) -> TrainingPairs:
        X = self.X[keep].reset_index(drop=True)
        return replace(self, X=X, y=self.y[keep], weight=self.weight[keep])

    def group_of(self, task: str) -> str:
        """Return the name that a task shares with its twins."""
        return self.twins.get(task, task)

    def _groups(self, role: str) -> pd.Series:
        return self.X[role].map(self.group_of)

    @property
    def targets(self) -> list[str]:
        """Groups of targets that are held out together, sorted."""
        return sorted(self._groups("target").unique())

    @property
    def settings(self) -> list[str]:
        """Names of the settings, sorted."""
        return sorted(self.X["setting"].unique())

    def fit(self) -> GainModel:
        """Fit a gain model on all pairs."""
        return GainModel.fit(self.X, self.y, self.weight, self.target_features)

    def held_out(
        self,
        settings: Collection[str] | None = None,
        *,
        on_progress: OnProgress = lambda done, total: None,
    ) -> FloatArray:
        """Predict each pair from pairs without its target in either role.

        Parameters
        ----------
        settings : collection of str, optional
            Predict the pairs of these only.
        on_progress : callable
            Called with the number of targets that were held out, and of all.

        Returns
        -------
        array of shape (2, n)
            Expected gains and probabilities of gain; NaN in other settings.
        """
        result = np.full((2, len(self.y)), np.nan)
        wanted = self.settings if settings is None else settings
        blocks = {group: [b for b in self._blocks(group) if b[0] in wanted] for group in self.targets}
        blocks = {group: found for group, found in blocks.items() if found}
        for done, (group, found) in enumerate(blocks.items(), start=1):
            gain_model = self.without(group).fit()
            on_progress(done, len(blocks))
            for setting, rows in found:
                X, features = self._rows(rows)
                # All targets of a setting may share examples: without them it is one without outcomes.
                known = setting if setting in gain_model.scales else None
                result[0, rows] = gain_model.expected(X, features, np.ones(len(X), dtype=bool), known)
                result[1, rows] = gain_model.probability(result[0, rows], known)
        return result

    def held_out_encoders(self) -> FloatArray:
        """Predict each pair from pairs with other encoders, and without its target in either role.

        Features are relative to the sources with outcomes in any of the other settings.

        Returns
        -------
        array of shape (2, n)
            Expected gains and probabilities of gain; NaN if there is one encoder only.
        """
        result = np.full((2, len(self.y)), np.nan)
        encoders = self.X["setting"].map(encoder_of)
        for encoder in encoders.unique() if encoders.nunique() > 1 else ():
            others = self.without_encoder(encoder)
            for group in self.targets:
                blocks = [b for b in self._blocks(group) if encoder_of(b[0]) == encoder]
                if not blocks:
                    continue
                known = others.without(group)
                gain_model = known.fit()
                for _, rows in blocks:
                    X, features = self._rows(rows)
                    reference = X["source"].isin(set(known.X["source"])).to_numpy()
                    result[0, rows] = gain_model.expected(X, features, reference, None)
                    result[1, rows] = gain_model.probability(result[0, rows], None)
        return result

    def held_out_sources(self) -> dict[str, FloatArray]:
        """Predict each pair from pairs without its target and without its source, as for a source without outcomes.

        The sources of a target are held out in `N_SOURCE_FOLDS` folds.

        Returns
        -------
        dict of str to array of shape (n,)
            Expected gains by each basis of `GainModel.untried`; for `SCORES` those of pairs with a score.
        """
        result = {name: np.full(len(self.y), np.nan) for name in self.untried_bases}
        ranked = {DESCRIPTION: np.ones(len(self.y), dtype=bool), SCORES: self._is_scored()}
        sources = np.array(sorted(self.X["source"].unique()), dtype=object)
        fold_of = {name: i % N_SOURCE_FOLDS for i, name in enumerate(sources)}
        for group in self.targets:
            # The mean gain of a target is that over all sources: refitted without some, it would tell them apart.
            whole = self.without(group).fit()
            for fold in range(min(N_SOURCE_FOLDS, len(sources))):
                held_out = [name for name in sources if fold_of[name] == fold]
                gain_model = self.without(group, *held_out).fit()
                for setting, rows in self._blocks(group):
                    X, features = self._rows(rows)
                    new = X["source"].isin(held_out).to_numpy()
                    if not new.any() or new.all():
                        continue
                    for name, found in result.items():
                        basis = np.where(new, name, OUTCOMES).astype(object)
                        effects = gain_model.effects(X, ~new, setting, basis).to_numpy().sum(axis=1)
                        chosen = new & ranked[name][rows]
                        found[rows[chosen]] = whole.level(features, setting) + effects[chosen]
        return result

    @property
    def untried_bases(self) -> tuple[str, ...]:
        """What sources without outcomes can be ranked by: `DESCRIPTION`, and `SCORES` if there are any."""
        return (DESCRIPTION, SCORES) if self._is_scored().any() else (DESCRIPTION,)

    def _is_scored(self) -> NDArray[np.bool_]:
        """Return which pairs have a score of the source's encoder, shape (n,)."""
        scores = self.X.reindex(columns=[f"pair.{name}" for name in SCORE_FEATURES])
        return np.asarray(scores.notna().any(axis=1))

    def _blocks(self, group: str) -> list[tuple[str, NDArray[np.intp]]]:
        """Return the setting and the rows of each target of a group in each setting."""
        blocks: dict[tuple[str, str], list[int]] = {}
        for row in np.flatnonzero(self._groups("target") == group):
            key = (str(self.X["setting"].iloc[row]), str(self.X["target"].iloc[row]))
            blocks.setdefault(key, []).append(int(row))
        return [(setting, np.array(rows)) for (setting, _), rows in sorted(blocks.items())]

    def _rows(self, rows: NDArray[np.intp]) -> tuple[pd.DataFrame, FloatArray]:
        """Return the pairs of one target, and its features for `MeanGainModel`."""
        X = self.X.iloc[rows].reset_index(drop=True)
        return X, self.target_features.loc[X["target"].iloc[0]].to_numpy(dtype=float)


def encoder_of(setting: str) -> str:
    """Return the encoder of a setting's name.

    Examples
    --------
    >>> encoder_of("t5-base adapter, 1,000 examples")
    't5-base'
    """
    return setting.split(",")[0].split(" ")[0]


def find_twins(profiles: Sequence[TaskProfile]) -> dict[str, str]:
    """Return, for tasks with the same labels and partly the same texts, the name of the first of them."""
    twins: dict[str, str] = {}
    # Tasks that are known by their descriptions alone have no texts to compare.
    profiles = [profile for profile in profiles if profile.sketches]
    for i, profile in enumerate(profiles):
        others = [p for p in profiles[:i] if p.type == profile.type]
        if not others:
            continue
        frame = compare_profiles(sources=others, target=profile)
        covered = frame[["pair.examples_covered_target", "pair.examples_covered_source"]].max(axis=1)
        labels = frame["pair.labels_jaccard"].fillna(1.0)  # question answering has none
        same = (covered >= NEAR_DUPLICATE_SHARE) & (labels >= MIN_LABEL_JACCARD)
        for name in frame.loc[same, "source"]:
            group = twins.setdefault(str(name), str(name))
            before = twins.get(profile.name, group)
            twins = {task: group if g == before else g for task, g in twins.items()}
            twins[profile.name] = group
    return twins


def learned_columns(table: pd.DataFrame, tasks: pd.DataFrame, mode: str) -> pd.DataFrame:
    """Return the id columns and the features that the gain model uses, from a pair table and task features."""
    X, _ = pair_inputs(table, tasks, pair_features=tuple(pair_columns(mode)))
    return X[[c for c in X if c in ID_COLUMNS or re.search(LEARNED_COLUMNS, str(c))]]


def target_level_features(tasks: pd.DataFrame, baselines: pd.Series, mode: str) -> pd.DataFrame:
    """Return the input of `MeanGainModel`: task features and, for mode ``measured``, the baseline score."""
    if mode != "measured":
        return tasks
    return tasks.assign(**{BASELINE_COLUMN: baselines.reindex(tasks.index)})
