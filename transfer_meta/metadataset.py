"""Meta-dataset: one row per pair, with features of its tasks and its outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.errors import InputError, nearest
from transfer_meta.features.ratios import safe_ratio
from transfer_meta.features.vectors.similarities import (
    Vectors,
    reciprocal_rank_fusion,
    similarity_features,
)
from transfer_meta.features.vectors.vector_files import load_task_space
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.predictors.feature_groups import GROUPS, column_group
from transfer_meta.records import ID_COLUMNS, FloatArray
from transfer_meta.tasks.source_sets import parse_sources

ALL_BUT = "all-but-"
"""Prefix of a feature set that selects all other features."""


@dataclass(frozen=True)
class MetaDataset:
    """Features and outcomes of n pairs.

    Parameters
    ----------
    X : DataFrame
        Columns ``setting``, ``source``, ``target`` (text) and one float column per feature, named ``role.feature``:
        ``target.size``, ``source.size``, ``ratio.size``, ``pair.jsd``.  NaN where unknown.
    value : array of shape (n,)
        Gain (a fraction), or score for outcomes without baselines.
    baseline : array of shape (n,) or None
        Score of the target without transfer.
    has_gain : bool
        Whether `value` is a gain.
    features : DataFrame
        One row per feature column of `X`: ``column``, ``feature``, ``role``, ``group`` (one of `GROUPS`).
    name, feature_set : str
        Names of the outcome table and of the feature set.
    """

    X: pd.DataFrame
    value: FloatArray
    baseline: FloatArray | None
    has_gain: bool
    features: pd.DataFrame
    name: str
    feature_set: str

    @property
    def helped(self) -> NDArray[np.bool_]:
        """Whether the source helped: gain > 0."""
        if not self.has_gain:
            raise InputError(
                f"'{self.name}' has scores without baselines: gains are unknown, only ranking is possible"
            )
        return self.value > 0

    @property
    def target(self) -> NDArray[np.object_]:
        """Name of each pair's target."""
        return self.X["target"].to_numpy(dtype=object)

    @property
    def source(self) -> NDArray[np.object_]:
        """Name of each pair's source."""
        return self.X["source"].to_numpy(dtype=object)


def build_metadataset(table: OutcomeTable, features: str = "all") -> MetaDataset:
    """Return the features and outcomes of all pairs of a table.

    Parameters
    ----------
    table : OutcomeTable
        Outcomes, with or without task features and pair features.
    features : str
        ``all``, one of `GROUPS`, a kind of task vectors (``textemb``, ``taskemb``: its similarities), a feature set
        of the table, ``all-but-`` followed by one of these, or a regular expression that is searched in the column
        names (``role.feature``).

    Raises
    ------
    InputError
        The table has features, but none is selected.
    """
    pairs = table.pairs
    X, described = pair_inputs(pairs, table.tasks, pair_features=table.pair_features)
    columns = select_features(described, features, table.feature_sets)
    described = described[described["column"].isin(columns)].reset_index(drop=True)
    value = pairs["gain" if table.has_gain else "score"].to_numpy(dtype=float)
    return MetaDataset(
        X=X[[*ID_COLUMNS, *columns]],
        value=value,
        baseline=pairs["baseline"].to_numpy(dtype=float) if "baseline" in pairs else None,
        has_gain=table.has_gain,
        features=described,
        name=table.name,
        feature_set=features,
    )


def pair_inputs(
    pairs: pd.DataFrame, tasks: pd.DataFrame, *, pair_features: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features of target and source, their ratio, and the features of the pair.

    Parameters
    ----------
    pairs : DataFrame
        Columns ``source``, ``target`` and those of `pair_features`; ``setting`` if there are several.
    tasks : DataFrame
        One row per task, one column per feature.
    pair_features : tuple of str
        Columns of `pairs` that are features.

    Returns
    -------
    X, features : DataFrame
        As in `MetaDataset`.
    """
    for column in pair_features:
        if column not in pairs:
            raise InputError(
                f"missing column '{column}': a feature of the pair{nearest(column, map(str, pairs))}"
            )
    blocks = {
        "setting": pairs["setting"].to_numpy()
        if "setting" in pairs
        else np.full(len(pairs), "", dtype=object),
        "source": pairs["source"].to_numpy(),
        "target": pairs["target"].to_numpy(),
    }
    rows = []
    if len(tasks.columns):
        values = {role: _rows_of(tasks, pairs[role]) for role in ("target", "source")}
        values["ratio"] = safe_ratio(target=values["target"], source=values["source"])
        for role, block in values.items():
            for position, feature in enumerate(tasks.columns):
                column = f"{role}.{feature}"
                blocks[column] = block[:, position]
                rows.append((column, feature, role, column_group(column)))
    for feature in pair_features:
        blocks[f"pair.{feature}"] = pairs[feature].to_numpy(dtype=float)
        rows.append((f"pair.{feature}", feature, "pair", column_group(f"pair.{feature}")))
    described = pd.DataFrame(rows, columns=["column", "feature", "role", "group"])
    return pd.DataFrame(blocks), described


def _rows_of(tasks: pd.DataFrame, names: pd.Series) -> FloatArray:
    """Return the features of each task; of a set of sources the means over its tasks."""
    values = tasks.to_numpy(dtype=float)
    positions = tasks.index.get_indexer(pd.Index(names))
    found = values[positions]
    for row in np.flatnonzero(positions < 0):
        members = parse_sources(str(names.iloc[row])).members
        places = tasks.index.get_indexer(pd.Index(members))
        if (places < 0).any():
            task = members[int(np.argmax(places < 0))]
            raise InputError(f"task '{task}' has no features{nearest(task, tasks.index)}")
        found[row] = values[places].mean(axis=0)
    return found


def similarity_table(pairs: pd.DataFrame, vectors: Mapping[str, Vectors]) -> pd.DataFrame:
    """Return similarities of task vectors for pairs, with fused ranks among the sources of each target.

    Parameters
    ----------
    pairs : DataFrame
        Columns ``source`` and ``target``; a pair may occur more than once.
    vectors
        Of every task: name of a vector to array, see `features.vectors.similarities`.

    Returns
    -------
    DataFrame
        One row per pair: ``source``, ``target``, ``mean_KIND``, ``centred_KIND`` and ``rrf_KIND`` for every kind of
        vector, ``rrf_all``, ``rrf_centred``, and ``rrf_text_task``, the fusion of the rankings by TextEmb and
        TaskEmb (Vu et al. 2020).

    Raises
    ------
    InputError
        A task has no vectors.
    """
    blocks = []
    for target, names in pairs.groupby("target", sort=False)["source"]:
        candidates = list(dict.fromkeys(names))
        for task in (str(target), *candidates):
            if task not in vectors:
                raise InputError(f"task '{task}' has no vectors{nearest(task, vectors)}")
        features = similarity_features(
            target=vectors[str(target)], sources={name: vectors[name] for name in candidates}
        )
        features = features[[c for c in features if not str(c).startswith(("cosine_", "concat_"))]]
        if {"mean_textemb", "rrf_taskemb"} <= set(features):
            both = features[["mean_textemb", "rrf_taskemb"]].to_numpy()
            features = features.assign(rrf_text_task=reciprocal_rank_fusion(both))
        blocks.append(features.assign(target=target).set_index("target", append=True).reset_index())
    return pd.concat(blocks, ignore_index=True)


def with_similarities(table: OutcomeTable, vectors: Mapping[str, Vectors]) -> OutcomeTable:
    """Return the table with `similarity_table` as further pair features.

    Raises
    ------
    InputError
        A task has no vectors.
    """
    similarities = similarity_table(table.pairs, vectors)
    added = [str(c) for c in similarities if c not in ("source", "target")]
    return replace(
        table,
        pairs=table.pairs.drop(columns=[c for c in added if c in table.pairs]).merge(
            similarities, on=["source", "target"], how="left", validate="many_to_one"
        ),
        pair_features=(*(f for f in table.pair_features if f not in added), *added),
    )


def open_table(
    data: OutcomeTable | str | Path | pd.DataFrame,
    *,
    features: str | None = None,
    vectors: str | Path | None = None,
) -> OutcomeTable:
    """Return a table of outcomes, loaded by `load_outcomes` unless it is one already.

    Parameters
    ----------
    data : OutcomeTable, str, Path or DataFrame
        A table, the name of a shipped one, a file, or a data frame of outcomes.
    features : str, optional
        `TableSettings.features` of a table that is loaded here.
    vectors : str or Path, optional
        Task vectors written by ``embed``: their similarities are added as features of the pairs.

    Raises
    ------
    InputError
        The table or the vectors cannot be used.
    """
    if isinstance(data, OutcomeTable):
        table = data
    else:
        table = load_outcomes(data, settings=TableSettings(features=features))
    return table if vectors is None else with_similarities(table, load_task_space(vectors)[0])


def ablation_sets(table: OutcomeTable) -> tuple[str, ...]:
    """Return the feature sets of an ablation: ``all``, every group in the table, and all but each group."""
    described = build_metadataset(table).features
    groups = [name for name in (*GROUPS, *_vector_kinds(described)) if name != "embedding"]
    groups = [name for name in groups if _wanted(described, name, {}).any()]
    return ("all", *groups, *(f"{ALL_BUT}{name}" for name in groups if len(groups) > 1))


def select_features(
    described: pd.DataFrame, features: str, feature_sets: Mapping[str, tuple[str, ...]] | None = None
) -> list[str]:
    """Return the columns of a feature set (see `build_metadataset`)."""
    named = dict(feature_sets or {})
    wanted = _wanted(described, features, named)
    if wanted.any() or (features == "all" and described.empty):
        return described.loc[wanted, "column"].tolist()
    valid = ["all", *named, *described["group"].unique(), *_vector_kinds(described)]
    name = features.removeprefix(ALL_BUT)
    raise InputError(
        f"no feature matches '{name}' (sets: {', '.join(dict.fromkeys(valid))}; {ALL_BUT} before one; or a regular"
        f" expression over columns such as {', '.join(described['column'][:3])}){nearest(name, valid)}"
    )


def _wanted(described: pd.DataFrame, features: str, named: Mapping[str, tuple[str, ...]]) -> pd.Series:
    """Return the mask of the features in a set; empty if a set to be left out is empty."""
    kinds = _vector_kinds(described)
    if features in named:
        wanted = described["feature"].isin(named[features])
        return wanted | (described["role"] == "pair") if features == "all" else wanted
    if features == "all":
        return pd.Series(True, index=described.index)
    if features in GROUPS:
        return described["group"] == features
    if features in kinds:
        return (described["group"] == "embedding") & described["feature"].str.endswith(f"_{features}")
    if features.startswith(ALL_BUT):
        name = features.removeprefix(ALL_BUT)
        left_out = _wanted(described, name, named)
        if not left_out.any():
            return left_out
        if name in kinds:  # features that fuse several kinds are left out with each of them
            of_one = pd.concat([_wanted(described, kind, {}) for kind in kinds], axis=1).any(axis=1)
            left_out |= (described["group"] == "embedding") & ~of_one
        return _wanted(described, "all", named) & ~left_out
    try:
        return described["column"].str.contains(re.compile(features))
    except re.error as error:
        raise InputError(
            f"features '{features}' is no set and no regular expression: {error}"
        ) from error


def _vector_kinds(described: pd.DataFrame) -> list[str]:
    """Return the kinds of task vectors whose similarities are among the features."""
    names = described.loc[described["group"] == "embedding", "feature"]
    return [str(name).removeprefix("mean_") for name in names if str(name).startswith("mean_")]
