"""The tasks that a recommender knows: their profiles, their vectors, and what training on one did for another."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.outcomes.shipped import Shipped, find_shipped
from transfer_meta.outcomes.tables import OutcomeTable, build_table
from transfer_meta.readers.whole_table import read_table
from transfer_meta.records import TaskProfile

DEFAULT_LIBRARY = "minilm-grid"
LIBRARY_METHODS = ("intermediate", "multitask")
"""How a source can be used: trained on before the target, or beside it."""
FEWEST_TARGETS = 8
"""A method with outcomes on fewer has no model: what held-out targets say of it would be chance."""


@dataclass(frozen=True)
class Library:
    """Known tasks and their transfers by one method in one regime.

    Parameters
    ----------
    name : str
        Of the shipped table.
    method, regime : str
        As in `transfer_meta.records.Outcome`.
    outcomes : OutcomeTable
    profiles : mapping of str to TaskProfile
        Of every task in the outcomes, with sketches and features of the learning curve.
    vectors : mapping of str to Vectors
        The same, by the names that `transfer_meta.features.vectors.similarities` knows.
    profile_examples : int or None
        So many training examples at most were profiled and embedded of each.
    embedding : mapping
        How the vectors were made, see `transfer_meta.features.vectors.vector_files`.
    training : mapping
        Fields of `transfer_meta.training.stage.TrainingSettings` that the outcomes were made with.
    encoder : str
        What was fine-tuned.
    """

    name: str
    method: str
    regime: str
    outcomes: OutcomeTable
    profiles: Mapping[str, TaskProfile] = field(repr=False)
    vectors: Mapping[str, Vectors] = field(repr=False)
    profile_examples: int | None = None
    embedding: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = "offline"

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that outcomes are known of."""
        return tuple(sorted(self.outcomes.pairs["source"].unique()))

    @property
    def examples(self) -> tuple[int | None, int | None]:
        """Training examples of a source and of a target in the regime; None: all of them."""
        source, _, target = self.regime.partition("-")
        return _count(source), _count(target)

    @property
    def baselines(self) -> pd.Series:
        """Each target's own score, the mean over its runs."""
        pairs = self.outcomes.pairs
        return (
            pairs.groupby("target")["baseline"].mean()
            if "baseline" in pairs
            else pd.Series(dtype=float)
        )

    def count_outcomes(self, source: str, *, without: str | None = None) -> int:
        """Runs with a source, those on one target left out."""
        runs = self.outcomes.runs
        return int(((runs["source"] == source) & (runs["target"] != without)).sum())


def open_library(name: str = DEFAULT_LIBRARY, *, method: str = "intermediate") -> Library:
    """A shipped table with the profiles and vectors of its tasks.

    Raises
    ------
    InputError
        No such table, one without profiles or vectors, or one without outcomes of that method.
    """
    return read_library(find_shipped(name), method=method)


def read_library(shipped: Shipped, *, method: str = "intermediate") -> Library:
    """The same from a table's folder."""
    frame = one_setting(_outcomes(shipped), method=method, name=shipped.name)
    outcomes = build_table(frame, name=shipped.name)
    vectors: dict[str, dict[str, Any]] = {}
    embedding: dict[str, Any] = {}
    for file in shipped.vectors.values():
        found, embedding = load_vectors(file)
        vectors |= found
    involved = sorted({*outcomes.pairs["source"], *outcomes.pairs["target"]})
    for task in involved:
        if task not in shipped.profiles or task not in vectors:
            lacking = "vectors" if task in shipped.profiles else "profile"
            raise InputError(
                f"'{shipped.name}' has no {lacking} of its task '{task}': it cannot recommend"
            )
    plan = tomllib.loads((shipped.folder / "plan.toml").read_text(encoding="utf-8"))
    return Library(
        name=shipped.name,
        method=method,
        regime=str(frame["regime"].iloc[0]) if "regime" in frame else "full-full",
        outcomes=outcomes,
        profiles={task: load_profile(shipped.profiles[task]) for task in involved},
        vectors={task: vectors[task] for task in involved},
        profile_examples=shipped.profile_examples,
        embedding=embedding,
        training=plan.get("training", {}),
        encoder=str(plan.get("encoder", "offline")),
    )


def methods_of(dataset: str) -> tuple[str, ...]:
    """The methods that a shipped table has outcomes enough of."""
    frame = _outcomes(find_shipped(dataset))
    found = []
    for method in LIBRARY_METHODS:
        with contextlib.suppress(InputError):
            one_setting(frame, method=method, name=dataset)
            found.append(method)
    return tuple(found)


def one_setting(frame: pd.DataFrame, *, method: str, name: str) -> pd.DataFrame:
    """The outcomes of one method, in the regime that most of them have."""
    if "method" in frame:
        known = sorted(frame["method"].dropna().astype(str).unique())
        if method not in known:
            raise InputError(
                f"'{name}' has no outcomes of method '{method}' to learn from (it has: {', '.join(known)})"
            )
        frame = frame[frame["method"] == method]
    if "regime" in frame:
        frame = frame[frame["regime"] == frame["regime"].mode().iloc[0]]
    # Several sources in one name are no task that anybody could look at.
    single = ~frame["source"].astype(str).str.contains("[>+]")
    frame = frame[single].reset_index(drop=True)
    n_targets = frame["target"].nunique()
    if n_targets < FEWEST_TARGETS:
        raise InputError(
            f"'{name}' has outcomes of method '{method}' for {n_targets} targets"
            f" (expected at least {FEWEST_TARGETS}, to hold some out)"
        )
    return frame


def _outcomes(shipped: Shipped) -> pd.DataFrame:
    """The outcomes of a table by all methods and in all regimes."""
    return pd.concat(
        [read_table(f) for f in (shipped.outcomes, shipped.others) if f], ignore_index=True
    )


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None
