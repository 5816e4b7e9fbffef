"""Library of known tasks: profiles, task vectors and measured transfers between them."""

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
"""Train on the source before the target, or on both together."""
MIN_TARGETS = 8
"""Targets with outcomes that a method needs: with fewer, an evaluation on held-out targets is mere chance."""


@dataclass(frozen=True)
class Library:
    """Known tasks and their transfers by one method in one regime.

    Parameters
    ----------
    name : str
        Name of the shipped table.
    method, regime : str
        As in `transfer_meta.records.Outcome`.
    outcomes : OutcomeTable
    profiles : mapping of str to TaskProfile
        By task, with sketches and features of the learning curve.
    vectors : mapping of str to Vectors
        By task.
    profile_examples : int or None
        Most training examples of a task that were profiled and embedded.
    embedding : mapping
        Settings of the vectors, see `transfer_meta.features.vectors.vector_files`.
    training : mapping
        Fields of `transfer_meta.training.stage.TrainingSettings` of the runs.
    encoder : str
        The fine-tuned encoder.
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
        """Sources with outcomes, sorted."""
        return tuple(sorted(self.outcomes.pairs["source"].unique()))

    @property
    def examples(self) -> tuple[int | None, int | None]:
        """Training examples of a source and of a target in the regime; None for all of them."""
        source, target = (int(n) if n.isdigit() else None for n in self.regime.split("-"))
        return source, target

    @property
    def baselines(self) -> pd.Series:
        """Mean score of each target alone."""
        pairs = self.outcomes.pairs
        if "baseline" not in pairs:
            return pd.Series(dtype=float)
        return pairs.groupby("target")["baseline"].mean()

    def count_outcomes(self, source: str, *, without: str | None = None) -> int:
        """Return the number of runs with a source, not counting those on one target."""
        runs = self.outcomes.runs
        return int(((runs["source"] == source) & (runs["target"] != without)).sum())


def open_library(name: str = DEFAULT_LIBRARY, *, method: str = "intermediate") -> Library:
    """Read a shipped table with the profiles and vectors of its tasks.

    Raises
    ------
    InputError
        No such table, one without profiles or vectors, or one without outcomes of that method.
    """
    shipped = find_shipped(name)
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
    """Return the methods that a shipped table has enough outcomes of."""
    frame = _outcomes(find_shipped(dataset))
    found = []
    for method in LIBRARY_METHODS:
        with contextlib.suppress(InputError):
            one_setting(frame, method=method, name=dataset)
            found.append(method)
    return tuple(found)


def one_setting(frame: pd.DataFrame, *, method: str, name: str) -> pd.DataFrame:
    """Return the outcomes of single sources by one method, in the most common regime."""
    if "method" in frame:
        known = sorted(frame["method"].dropna().astype(str).unique())
        if method not in known:
            raise InputError(
                f"'{name}' has no outcomes of method '{method}' to learn from (it has: {', '.join(known)})"
            )
        frame = frame[frame["method"] == method]
    if "regime" in frame:
        frame = frame[frame["regime"] == frame["regime"].mode().iloc[0]]
    several_sources = frame["source"].astype(str).str.contains("[>+]")
    frame = frame[~several_sources].reset_index(drop=True)
    n_targets = frame["target"].nunique()
    if n_targets < MIN_TARGETS:
        raise InputError(
            f"'{name}' has outcomes of method '{method}' for {n_targets} targets"
            f" (expected at least {MIN_TARGETS}, to hold some out)"
        )
    return frame


def _outcomes(shipped: Shipped) -> pd.DataFrame:
    """Return the outcomes of all methods and regimes."""
    files = filter(None, (shipped.outcomes, shipped.others))
    return pd.concat(map(read_table, files), ignore_index=True)
