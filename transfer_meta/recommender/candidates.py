"""Candidate sources of a target, their features as pairs with it, and texts shared between tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.recommender.catalogue_facts import catalogue_profile, catalogue_vectors, facts_of
from transfer_meta.recommender.describe_target import TargetDescription
from transfer_meta.recommender.inputs import (
    DESCRIPTION,
    OUTCOMES,
    SCORE_FEATURES,
    SCORES,
    pair_table,
    task_features,
)
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.training_pairs import (
    MIN_LABEL_JACCARD,
    learned_columns,
    target_level_features,
)
from transfer_meta.records import TaskProfile
from transfer_meta.tasks.catalogue import CatalogueSource

MIN_KNOWN_SHARE = 0.9
"""A target is a known task of the same type and labels if at least this share of the examples of one of them is in
the other."""


@dataclass(frozen=True)
class Candidate:
    """A source that may be ranked.

    Parameters
    ----------
    name : str
    is_own : bool
        Whether it is a task of the user rather than one of the library or the catalogue.
    is_tried : bool
        Whether it has outcomes, with whatever encoder.
    profile : TaskProfile
        Its name is the candidate's label.
    vectors : Vectors
    facts : CatalogueSource or None
        Its entry in the catalogue.
    encoder : str or None
        Name of the source encoder of a task of the user; None if it has none.
    """

    name: str
    is_own: bool
    is_tried: bool
    profile: TaskProfile
    vectors: Vectors
    facts: CatalogueSource | None = None
    encoder: str | None = None

    @property
    def label(self) -> str:
        """Unique among the candidates: the name, marked if a library task has the same one."""
        return self.profile.name


class CandidatePairs:
    """A target paired with known sources, with those of the catalogue, and with the user's own ones.

    Attributes
    ----------
    candidates : list of Candidate
    is_known : array of bool, shape (n_candidates,)
        Which candidates have outcomes in the setting; features are relative to these.
    basis : array of shape (n_candidates,)
        What the expected gain of each candidate rests on, one of `inputs.BASES`.
    setting : str or None
        That of the answer; None for an encoder without outcomes.
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
        *,
        setting: str | None,
        listed: Sequence[CatalogueSource] = (),
        without: Collection[str] = (),
    ) -> None:
        self.setting = setting
        # Outcomes on the target itself, or on its twins, tell nothing here.
        ever_tried = library.tried_in(None, without=without)
        of_user = set() if library.own is None else set(library.own.tasks)
        self.candidates = [
            Candidate(
                n,
                n in of_user,
                n in ever_tried,
                library.profiles[n],
                library.vectors[n],
                # A task of the user may have the name of another one in the catalogue.
                facts=None if n in of_user else facts_of(n),
                encoder=n if n in of_user else None,
            )
            for n in known
        ]
        vectors = catalogue_vectors() if listed else {}
        self.candidates += [
            Candidate(s.name, False, False, catalogue_profile(s), vectors.get(s.name, {}), s)
            for s in listed
        ]
        names = {candidate.label for candidate in self.candidates} | set(library.profiles)
        for task in own:
            name, profile = task.profile.name, task.profile
            if name in names:
                profile = replace(profile, name=f"{name} (own file)")
            self.candidates.append(
                Candidate(name, True, False, profile, task.vectors, encoder=task.encoder)
            )
        tried = library.tried_in(setting, without=without)
        is_tried = np.array([c.is_tried for c in self.candidates], dtype=bool)
        self.is_known = is_tried & np.array([c.name in tried for c in self.candidates], dtype=bool)
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
            scores=self._scores(target),
        )
        is_scored = table.reindex(columns=list(SCORE_FEATURES)).notna().any(axis=1).to_numpy()
        untried = np.where(is_scored, SCORES, DESCRIPTION)
        self.basis = np.where(is_tried, OUTCOMES, untried).astype(object)
        tasks = task_features([self.target, *profiles], target.mode)
        self.X = learned_columns(table, tasks, target.mode)
        baseline = pd.Series({name: target.baseline}, dtype=float)
        features = target_level_features(tasks.iloc[:1], baseline, target.mode)
        self.target_features = features.to_numpy(dtype=float)[0]

    def _scores(self, target: TargetDescription) -> pd.DataFrame | None:
        """Return the scores of the candidates' encoders on the target, indexed by label."""
        if target.scores is None:
            return None
        rows = {c.label: _encoder_name(c, target.scores.index) for c in self.candidates}
        known = {label: name for label, name in rows.items() if name is not None}
        return target.scores.loc[list(known.values())].set_axis(list(known), axis=0)


def _encoder_name(candidate: Candidate, names: Collection[str]) -> str | None:
    """Return the name of a candidate's source encoder; None if it has none."""
    if candidate.is_own:
        return candidate.encoder if candidate.encoder in names else None
    aliases = candidate.facts.names if candidate.facts is not None else ()
    return next((name for name in (candidate.name, *aliases) if name in names), None)


def known_as(target: TargetDescription, library: Library) -> str | None:
    """Return the library task that the target is, is a part of, or contains; None for a new task."""
    for name, profile in library.profiles.items():
        if profile.digest and profile.digest == target.profile.digest:
            return name
    same_type = [p for p in library.profiles.values() if p.type == target.profile.type and p.sketches]
    if not same_type:
        return None
    if not target.profile.sketches:  # known by its description alone
        return None
    frame = compare_profiles(sources=same_type, target=target.profile)
    shares = frame[["pair.examples_covered_target", "pair.examples_covered_source"]]
    covered = shares.fillna(0.0).max(axis=1)
    labels = frame["pair.labels_jaccard"].fillna(1.0)
    matches = frame.loc[(covered >= MIN_KNOWN_SHARE) & (labels >= MIN_LABEL_JACCARD), "source"]
    return str(matches.iloc[0]) if len(matches) else None


def shared_examples(target: TaskProfile, sources: Sequence[TaskProfile]) -> list[float]:
    """Return, per source, the share of examples in common, 0-1: of the target's or its own, the larger.

    0 where the texts of the source or of the target are not known.
    """
    with_text = [source for source in sources if source.sketches] if target.sketches else []
    if not with_text:
        return [0.0] * len(sources)
    frame = compare_profiles(sources=with_text, target=target)
    columns = ["pair.examples_covered_target", "pair.examples_covered_source"]
    shared = dict(zip(frame["source"], frame[columns].fillna(0.0).max(axis=1), strict=True))
    return [float(shared.get(source.name, 0.0)) for source in sources]
