"""A new target beside every source that may be ranked for it, and what tasks have in common with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from transfer_meta.features.pair_features import pair_features
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.recommender.describe_target import TargetDescription
from transfer_meta.recommender.inputs import pair_table, task_features
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import level_features, used_columns
from transfer_meta.records import TaskProfile

SAME = 0.9
"""Share of the target's examples in a known task of its type and labels from which on it is that task."""


class Pairs:
    """The target with every known source and every one of one's own, under names that do not clash."""

    def __init__(
        self,
        target: TargetDescription,
        library: Library,
        known: list[str],
        own: dict[str, TargetDescription],
    ) -> None:
        taken = {*library.profiles, *own}
        name = target.profile.name
        self.target = replace(target.profile, name=f"{name} (target)" if name in taken else name)
        renamed = {f"{n} (own file)" if n in library.profiles else n: look for n, look in own.items()}
        self.profiles: list[TaskProfile] = [
            *(library.profiles[n] for n in known),
            *(
                look.profile if look.profile.name == n else replace(look.profile, name=n)
                for n, look in renamed.items()
            ),
        ]
        self.names = [p.name for p in self.profiles]
        self.reference = np.arange(len(self.names)) < len(known)
        self.vectors: dict[str, Vectors] = {
            **{n: library.vectors[n] for n in known},
            **{n: look.vectors for n, look in renamed.items()},
            self.target.name: target.vectors,
        }
        table = pair_table(
            target=self.target,
            sources=self.profiles,
            vectors=self.vectors,
            reference=self.reference.tolist(),
            mode=target.mode,
        )
        tasks = task_features([self.target, *self.profiles], target.mode)
        self.X = used_columns(table, tasks, target.mode)
        baseline = pd.Series({self.target.name: target.baseline}, dtype=float)
        # The target's own features, which its level is predicted from.
        own_features = level_features(tasks.iloc[:1], baseline, target.mode)
        self.own = own_features.to_numpy(dtype=float)[0]


def known_as(target: TargetDescription, library: Library) -> str | None:
    """The known task that the target is, or a part of; None where it is new."""
    for name, profile in library.profiles.items():
        if profile.digest == target.profile.digest:
            return name
    alike = [p for p in library.profiles.values() if p.type == target.profile.type]
    if not alike:
        return None
    frame = pair_features(sources=alike, target=target.profile)
    covered = frame["pair.examples_covered_target"].fillna(0.0)
    # Several tasks may label the same texts: what tells them apart is their labels.
    labels = frame["pair.labels_jaccard"].fillna(1.0)
    matches = frame.loc[(covered >= SAME) & (labels >= 0.5), "source"]
    return str(matches.iloc[0]) if len(matches) else None


def shared_examples(target: TaskProfile, sources: Sequence[TaskProfile]) -> list[float]:
    """The larger of the shares of the target's examples in each source and the other way round, 0-1."""
    frame = pair_features(sources=sources, target=target)
    columns = ["pair.examples_covered_target", "pair.examples_covered_source"]
    return frame[columns].fillna(0.0).max(axis=1).tolist()
