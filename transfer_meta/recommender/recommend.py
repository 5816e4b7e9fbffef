"""Recommend sources for a target: ranked, with probability, interval, reasons and a verdict."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.recommender.candidates import CandidatePairs, known_as, shared_examples
from transfer_meta.recommender.describe_target import TargetDescription, best_mode, describe_target
from transfer_meta.recommender.fitting import Recommender
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import DEFAULT_LIBRARY, LIBRARY_METHODS, Library, open_library
from transfer_meta.recommender.notes import mode_notes, source_notes
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.reasons import Explainer
from transfer_meta.recommender.recommendation import RankedSource, Recommendation, verdict_of
from transfer_meta.recommender.training_pairs import TrainingPairs
from transfer_meta.records import Tell
from transfer_meta.tasks import Task
from transfer_meta.tasks.demo import expand_demo
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.load import load_task
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import find_tasks
from transfer_meta.tasks.settings import ReadSettings

MIN_WIDENING_NOTED = 1.05
"""Smaller factors of the intervals' width are not mentioned in the notes."""


@dataclass(frozen=True, kw_only=True)
class RecommendSettings:
    """Settings of `recommend`.

    Parameters
    ----------
    top : int
        Number of sources to return.
    method : str
        ``intermediate`` or ``multitask``.
    mode : str, optional
        One of `inputs.MODES`; by default the best one that is installed, short of training.
    measure : bool
        Train on the target alone first: mode ``measured``.
    description : str, optional
        What the target is, in a sentence or two; by default the task's own.
    dataset : str
        Shipped table to learn from.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        A value out of range.
    """

    top: int = 5
    method: str = "intermediate"
    mode: str | None = None
    measure: bool = False
    description: str | None = None
    dataset: str = DEFAULT_LIBRARY
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InputError(f"top = {self.top} (expected at least 1)")
        if self.method not in LIBRARY_METHODS:
            raise unknown("method", self.method, LIBRARY_METHODS)
        if self.mode is not None and self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        if self.measure and self.mode not in (None, "measured"):
            raise InputError(f"measure and mode '{self.mode}' exclude each other")


def recommend(
    target: Any,
    settings: RecommendSettings | None = None,
    *,
    sources: Iterable[Any] | None = None,
    tell: Tell = lambda _: None,
) -> Recommendation:
    """Rank sources by how much training on each is expected to help a target.

    Parameters
    ----------
    target : str, Path, Task, DataFrame, Dataset, pair or mapping
        Whatever `load_task` takes: a file, a data frame, texts and labels, a task.
    settings : RecommendSettings, optional
    sources : iterable, optional
        Names of known sources, and own tasks: each a `Task` or what else `load_task` takes; by default all known
        sources.
    tell : callable
        Called with a line per step.

    Raises
    ------
    InputError
        A task that cannot be read, an unknown source, a method without outcomes, a mode that needs a package
        that is not installed.
    """
    settings = settings or RecommendSettings()
    library = open_library(settings.dataset, method=settings.method)
    task = load_task(target, settings=None if isinstance(target, Task) else settings.read)
    if settings.description is not None:
        task = replace(task, description=settings.description)
    known, own_tasks = _split_sources(sources, library, settings.read)
    mode = settings.mode or best_mode(library, measure=settings.measure)
    described = describe_target(task, library, mode, tell=tell)
    if settings.read.verbose:
        for line in task.reading_notes(verbose=True):
            tell(f"{task.name}: {line}")
    # Never train on the user's sources here: avoiding that cost is the purpose.
    own_mode = "encoder" if described.mode == "measured" else described.mode
    own = []
    for source in own_tasks:
        own.append(describe_target(source, library, own_mode, tell=tell))
        for line in source.reading_notes(verbose=settings.read.verbose):
            tell(f"{source.name}: {line}")
    return recommend_described(
        described,
        library,
        shipped_recommender(library, described.mode),
        known=known,
        own=own,
        top=settings.top,
    )


def recommend_described(
    target: TargetDescription,
    library: Library,
    recommender: Recommender,
    *,
    known: Sequence[str] | None = None,
    own: Sequence[TargetDescription] = (),
    top: int = 5,
) -> Recommendation:
    """Rank sources for a target, from descriptions of the tasks.

    Parameters
    ----------
    target, library
    recommender
        For the target's mode.
    known : sequence of str, optional
        Names of known sources to rank; by default all.
    own : sequence of TargetDescription
        Further sources.
    top : int
        Number of sources to return.
    """
    notes = list(target.notes)
    gain_model = recommender.gain_model
    known_target = known_as(target, library)
    if known_target is not None:
        notes.append(
            f"the target is the known task {known_target}: it is not ranked, and the model is fitted without it"
        )
        gain_model = TrainingPairs.from_library(library, target.mode).without(known_target).fit()
    same = [task for task in own if task.profile.digest == target.profile.digest]
    notes += [f"{task.profile.name} is the target itself: it is not ranked" for task in same]
    own = [task for task in own if task.profile.digest != target.profile.digest]
    # Features are relative to all known sources, so these are among the candidates even if they are not ranked.
    all_known = [name for name in library.sources if name != known_target]
    pairs = CandidatePairs(target, library, all_known, own)
    wanted = set(all_known if known is None else known)
    rows = [i for i, c in enumerate(pairs.candidates) if c.is_own or c.name in wanted]
    if not rows:
        raise InputError(f"no source is left beside the target itself (known: {', '.join(all_known)})")

    effects = gain_model.effects(pairs.X, pairs.is_known)
    mean_gain = gain_model.mean_gain.predict(pairs.target_features[None])[0]
    expected = mean_gain + effects.to_numpy().sum(axis=1)
    known_profiles = [library.profiles[name] for name in all_known]
    widened, outside = recommender.domain.widening(
        pairs.target, known_profiles, pairs.vectors, target.mode
    )
    if outside and widened >= MIN_WIDENING_NOTED:
        notes.append(
            f"the target lies outside the range of the known tasks: intervals are {widened:.1f} times as wide,"
            f" probabilities nearer to one half ({'; '.join(outside)})"
        )
    ranked = sorted(rows, key=lambda i: (-expected[i], pairs.candidates[i].label))[:top]
    explainer = Explainer(gain_model, library, pairs, effects)
    shared = shared_examples(target.profile, [pairs.candidates[i].profile for i in ranked])
    max_gain = 1 / target.baseline - 1 if target.baseline else np.inf
    sources = []
    for rank, (i, share) in enumerate(zip(ranked, shared, strict=True), start=1):
        candidate = pairs.candidates[i]
        conformal = recommender.conformal_new if candidate.is_own else recommender.conformal
        low, high = (float(v) for v in conformal.interval(expected[i], widen=widened))
        n_outcomes = library.count_outcomes(candidate.name, without=known_target)
        sources.append(
            RankedSource(
                source=candidate.name,
                label=candidate.label,
                is_own=candidate.is_own,
                rank=rank,
                probability=float(gain_model.probability(expected[i : i + 1], doubt=widened)[0]),
                expected_gain=float(min(expected[i], max_gain)),
                # Scores are within 0-1.
                low=max(low, -1.0),
                high=min(high, max_gain),
                reasons=explainer.reasons(i),
                n_outcomes=0 if candidate.is_own else n_outcomes,
                shared=share,
            )
        )
    card = recommender.card
    figures = card["figures"]
    copied = ("dataset", "method", "regime", "n_targets", "n_outcomes", "protocol")
    return Recommendation(
        target=target.profile.name,
        mode=target.mode,
        verdict=verdict_of(
            tuple(sources), coverage=figures["coverage_promised"], skill=figures["spearman"]
        ),
        sources=tuple(sources),
        n_candidates=len(rows),
        notes=(*notes, *source_notes(sources, target, library), *mode_notes(target.mode, library)),
        widened=widened,
        model={key: card[key] for key in copied}
        | {"figures": dict(figures), "reliability": list(card["reliability"])},
    )


def _split_sources(
    sources: Iterable[Any] | None, library: Library, settings: ReadSettings
) -> tuple[list[str] | None, list[Task]]:
    """Return the names of known sources (None: all of them) and the user's own tasks."""
    if sources is None:
        return None, []
    known: list[str] = []
    own: dict[str, Task] = {}
    for source in sources:
        if isinstance(source, str) and source in library.sources:
            known.append(source)
            continue
        for task in _own_tasks(source, library, settings):
            if task.name in own:
                raise InputError(f"two sources are named '{task.name}'; name one of them in a card")
            own[task.name] = task
    return known, list(own.values())


def _own_tasks(source: Any, library: Library, settings: ReadSettings) -> list[Task]:
    """Return the tasks of a source: those of its files, a folder or the Hub, or the one of data in memory."""
    if isinstance(source, Task):
        return [source]
    if not isinstance(source, str | Path):
        return [load_task(source, settings=settings)]
    address = expand_demo(str(source))
    is_file = Path(address).exists() or any(glob.iglob(glob.escape(address) + ".*"))
    if not is_file and not is_hub_address(address):
        raise InputError(
            f"unknown source '{address}': no file, and not among the known ones ({', '.join(library.sources)})"
            f"{nearest(address, library.sources)}"
        )
    return [read_task(found, settings) for found in find_tasks([address])]
