"""Candidate sources of a target, their features as pairs with it, and texts shared between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.recommender.describe_target import TargetDescription
from transfer_meta.recommender.inputs import pair_table, task_features
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import learned_columns, target_level_features
from transfer_meta.records import TaskProfile

MIN_KNOWN_SHARE = 0.9
"""A target is a known task if that task, of the same type and labels, has at least this share of its examples."""
MIN_LABEL_JACCARD = 0.5
"""Tasks with less similar label sets are different tasks, even on the same texts."""


@dataclass(frozen=True)
class Candidate:
    """A source that may be ranked.

    Parameters
    ----------
    name : str
    is_own : bool
        Whether it is a task of the user, without outcomes, rather than one of the library.
    profile : TaskProfile
        Its name is the candidate's label.
    vectors : Vectors
    """

    name: str
    is_own: bool
    profile: TaskProfile
    vectors: Vectors

    @property
    def label(self) -> str:
        """Unique among the candidates: the name, marked if a library task has the same one."""
        return self.profile.name


class CandidatePairs:
    """A target paired with known sources and with the user's own ones.

    Attributes
    ----------
    candidates : list of Candidate
    is_known : array of bool, shape (n_candidates,)
        Which candidates are in the library; features are relative to these.
    target : TaskProfile
        Under a name that no candidate and no task of the library has.
    vectors : dict of str to Vectors
        By label, and of the target.
    X : DataFrame
        Features, one row per candidate.
    target_features : array of shape (p,)
        Input of `MeanGainModel`.
    """

    def __init__(
        self,
        target: TargetDescription,
        library: Library,
        known: Sequence[str],
        own: Sequence[TargetDescription],
    ) -> None:
        self.candidates = [
            Candidate(name, False, library.profiles[name], library.vectors[name]) for name in known
        ]
        for task in own:
            name, profile = task.profile.name, task.profile
            if name in library.profiles:
                profile = replace(profile, name=f"{name} (own file)")
            self.candidates.append(Candidate(name, True, profile, task.vectors))
        self.is_known = np.array([not c.is_own for c in self.candidates], dtype=bool)
        profiles = [c.profile for c in self.candidates]
        name = target.profile.name
        if name in {*library.profiles, *(p.name for p in profiles)}:
            name = f"{name} (target)"
        self.target = replace(target.profile, name=name)
        self.vectors = {c.label: c.vectors for c in self.candidates} | {name: target.vectors}
        table = pair_table(
            target=self.target,
            sources=profiles,
            vectors=self.vectors,
            reference=self.is_known.tolist(),
            mode=target.mode,
        )
        tasks = task_features([self.target, *profiles], target.mode)
        self.X = learned_columns(table, tasks, target.mode)
        baseline = pd.Series({name: target.baseline}, dtype=float)
        features = target_level_features(tasks.iloc[:1], baseline, target.mode)
        self.target_features = features.to_numpy(dtype=float)[0]


def known_as(target: TargetDescription, library: Library) -> str | None:
    """Return the library task that the target is, or is a part of; None for a new task."""
    for name, profile in library.profiles.items():
        if profile.digest == target.profile.digest:
            return name
    same_type = [p for p in library.profiles.values() if p.type == target.profile.type]
    if not same_type:
        return None
    frame = compare_profiles(sources=same_type, target=target.profile)
    covered = frame["pair.examples_covered_target"].fillna(0.0)
    labels = frame["pair.labels_jaccard"].fillna(1.0)
    matches = frame.loc[(covered >= MIN_KNOWN_SHARE) & (labels >= MIN_LABEL_JACCARD), "source"]
    return str(matches.iloc[0]) if len(matches) else None


def shared_examples(target: TaskProfile, sources: Sequence[TaskProfile]) -> list[float]:
    """Return, per source, the share of examples in common, 0-1: of the target's or its own, the larger."""
    frame = compare_profiles(sources=sources, target=target)
    columns = ["pair.examples_covered_target", "pair.examples_covered_source"]
    return frame[columns].fillna(0.0).max(axis=1).tolist()
