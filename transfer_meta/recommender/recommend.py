"""Recommend sources for a target: ranked, with probability, interval, reasons and a verdict."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.recommender.absolute_terms import AbsoluteTerms, absolute_terms
from transfer_meta.recommender.candidates import Candidate, CandidatePairs, known_as, shared_examples
from transfer_meta.recommender.catalogue_facts import catalogue, facts_of
from transfer_meta.recommender.describe_target import (
    TargetDescription,
    best_mode,
    describe_target,
    describe_words,
    stored_sources,
)
from transfer_meta.recommender.fitting import UNKNOWN_SETTING, Recommender
from transfer_meta.recommender.inputs import DESCRIPTION, MODES, NEW_SOURCE_COLUMNS
from transfer_meta.recommender.library import (
    ATLAS,
    DEFAULT_LIBRARY,
    LIBRARY_METHODS,
    Evidence,
    Library,
    shipped_library,
)
from transfer_meta.recommender.notes import mode_notes, own_notes, setting_notes, source_notes
from transfer_meta.recommender.own_outcomes import add_outcomes
from transfer_meta.recommender.own_recommender import (
    borrowed_settings,
    load_own_recommender,
    outcome_notes,
    own_recommender,
)
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.ranked_sets import rank_sets
from transfer_meta.recommender.reasons import Explainer
from transfer_meta.recommender.recommendation import (
    RankedSet,
    RankedSource,
    Recommendation,
    skill_of,
    verdict_of,
)
from transfer_meta.recommender.source_readers import SourceReaders
from transfer_meta.recommender.starting_points import StartingPoints, profile_facts, starting_points
from transfer_meta.recommender.training_pairs import TrainingPairs
from transfer_meta.records import OnProgress, Tell
from transfer_meta.tasks import Task
from transfer_meta.tasks.catalogue import CatalogueSource, SourceFilter
from transfer_meta.tasks.demo import expand_demo
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.load import load_task
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import find_tasks
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.source_sets import MAX_SOURCES

MIN_WIDENING_NOTED = 1.05
"""Smaller factors of the intervals' width are not mentioned in the notes."""
CHAIN_ORDER_COLUMN = "pair.centred_textemb"
"""Similarity of source and target by which the sources of a chain are ordered, where vectors are at hand."""


@dataclass(frozen=True, kw_only=True)
class RecommendSettings(SourceFilter):
    """Settings of `recommend`; those of `SourceFilter` are among them.

    Parameters
    ----------
    top : int
        Number of sources to return, and of sets of sources at most.
    sources_at_once : int
        Sources in a set, 2 to 5: the sets with the largest expected gains are returned too, chains with method
        ``intermediate``, mixtures with ``multitask``; 1 for no sets.
    method : str
        ``intermediate`` or ``multitask``.
    mode : str, optional
        One of `inputs.MODES`; by default the best one that is installed, short of training.
    measure : bool
        Train on the target alone first: mode ``measured``.
    cost_per_hour : float, optional
        Cost of an hour of training, for the cost of each way; with ``measure`` only.
    description : str, optional
        What the target is, in a sentence or two; by default the task's own.
    encoder : str, optional
        The model that will be tuned: a name on the Hugging Face Hub, or ``offline``, the default.
    examples : int, optional
        Training examples of the target; by default those of its file.
    checkpoints : int
        Number of published checkpoints to start from, in place of the encoder.
    dataset : str
        What to learn from: ``atlas``, all tables, or the name of a shipped table.
    outcomes : sequence of str, Path, DataFrame or OutcomeTable
        Own outcomes to learn from too, as `load_outcomes` takes them.
    tasks_folder : str or Path, optional
        Files and cards of the tasks of `outcomes`; those that ship need none.
    model : str or Path, optional
        Folder that `fit_own_recommender` made, in place of `outcomes`.
    read : ReadSettings
        How to read files.

    Raises
    ------
    InputError
        A value out of range.
    """

    top: int = 5
    sources_at_once: int = 1
    method: str = "intermediate"
    mode: str | None = None
    measure: bool = False
    cost_per_hour: float | None = None
    description: str | None = None
    encoder: str | None = None
    examples: int | None = None
    checkpoints: int = 3
    dataset: str = DEFAULT_LIBRARY
    outcomes: Sequence[Any] = ()
    tasks_folder: str | Path | None = None
    model: str | Path | None = None
    read: ReadSettings = field(default_factory=ReadSettings)

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InputError(f"top = {self.top} (expected at least 1)")
        if not 1 <= self.sources_at_once <= MAX_SOURCES:
            raise InputError(
                f"sources_at_once = {self.sources_at_once} (expected 2 to {MAX_SOURCES}, or 1 for no sets)"
            )
        if self.method not in LIBRARY_METHODS:
            raise unknown("method", self.method, LIBRARY_METHODS)
        if self.mode is not None and self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        if self.measure and self.mode not in (None, "measured"):
            raise InputError(f"measure and mode '{self.mode}' exclude each other")
        if self.cost_per_hour is not None:
            if not 0 < self.cost_per_hour < float("inf"):
                raise InputError(f"cost_per_hour = {self.cost_per_hour} (expected a positive number)")
            if not self.measure and self.mode != "measured":
                raise InputError("cost_per_hour is of training runs: it needs measure")
        if self.model is not None and (len(self.outcomes) or self.tasks_folder is not None):
            raise InputError("model has its own outcomes: outcomes and tasks_folder are for `fit`")
        if self.tasks_folder is not None and not len(self.outcomes):
            raise InputError("tasks_folder has no effect without outcomes")
        super().__post_init__()
        for name, least in (("examples", 1), ("checkpoints", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} = {value} (expected at least {least})")


def recommend(
    target: Any = None,
    settings: RecommendSettings | None = None,
    *,
    sources: Iterable[Any] | None = None,
    tell: Tell = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> Recommendation:
    """Rank sources by how much training on each is expected to help a target.

    Parameters
    ----------
    target : str, Path, Task, DataFrame, Dataset, pair or mapping
        Whatever `load_task` takes: a file, a data frame, texts and labels, a task.  Without it the target is known
        by `RecommendSettings.description`, and by ``read.type``, alone.
    settings : RecommendSettings, optional
    sources : iterable, optional
        Names of known sources and of those added by `add_source`, and own tasks: each a `Task` or what else
        `load_task` takes; by default all known and added sources.
    tell : callable
        Called with a line per step.
    on_progress : callable
        Called with the number of source encoders that have read the target, and of all, in mode ``sources``.

    Raises
    ------
    InputError
        A task that cannot be read, an unknown source, a method without outcomes, a mode that needs a package
        that is not installed.
    """
    settings = settings or RecommendSettings()
    library, fitted = _open_library(settings, tell)
    known, stored, own_tasks = _split_sources(sources, library, settings.read, tell)
    mode = settings.mode or best_mode(library, measure=settings.measure)
    readers = _readers(settings.encoder, library, tell)
    is_added = bool(stored) or any(task.digest in readers.names for task in own_tasks)
    has_scores = library.scores is not None and target is not None
    if settings.mode is None and mode == "encoder" and is_added and has_scores:
        mode = "sources"
    if target is None:
        described = describe_words(settings.description, settings.read.type, library, mode, tell=tell)
    else:
        task = load_task(target, settings=None if isinstance(target, Task) else settings.read)
        if settings.description is not None:
            task = replace(task, description=settings.description)
        described = describe_target(
            task, library, mode, readers=readers, tell=tell, on_progress=on_progress
        )
        if settings.read.verbose:
            for line in task.reading_notes(verbose=True):
                tell(f"{task.name}: {line}")
    # Never train on the user's sources here: avoiding that cost is the purpose.
    own_mode = "text" if described.mode == "text" else "encoder"
    own = list(stored)
    for source in own_tasks:
        found = describe_target(source, library, own_mode, tell=tell)
        own.append(replace(found, encoder=readers.names.get(source.digest)))
        for line in source.reading_notes(verbose=settings.read.verbose):
            tell(f"{source.name}: {line}")
    recommender = _find_recommender(library, described.mode, fitted, tell)
    return recommend_described(described, library, recommender, settings, known=known, own=own)


def _open_library(
    settings: RecommendSettings, tell: Tell
) -> tuple[Library, Mapping[str, Recommender] | None]:
    """Return the library, with own outcomes if there are any, and the recommenders of a folder that was named."""
    if settings.model is not None:
        found = load_own_recommender(settings.model)
        if found.library.method != settings.method:
            raise InputError(
                f"the model in '{settings.model}' is of method '{found.library.method}', not '{settings.method}'"
            )
        return found.library, found.models
    library = shipped_library(settings.dataset, method=settings.method)
    if not len(settings.outcomes):
        return library, None
    mode = settings.mode or best_mode(library, measure=settings.measure)
    library, _ = add_outcomes(
        library,
        settings.outcomes,
        settings.tasks_folder,
        mode=mode,
        encoder=settings.encoder,
        tell=tell,
    )
    return library, None


def _find_recommender(
    library: Library, mode: str, fitted: Mapping[str, Recommender] | None, tell: Tell
) -> Recommender:
    """Return the recommender of a mode: from a folder, fitted with own outcomes, or the one that ships."""
    if fitted is not None:
        if mode not in fitted:
            raise unknown("mode of the model", mode, fitted)
        return fitted[mode]
    return (
        shipped_recommender(library, mode)
        if library.own is None
        else own_recommender(library, mode, tell=tell)
    )


def recommend_described(
    target: TargetDescription,
    library: Library,
    recommender: Recommender,
    settings: RecommendSettings | None = None,
    *,
    known: Sequence[str] | None = None,
    own: Sequence[TargetDescription] = (),
) -> Recommendation:
    """Rank sources for a target, from descriptions of the tasks.

    Parameters
    ----------
    target, library
    recommender
        For the target's mode.
    settings : RecommendSettings, optional
    known : sequence of str, optional
        Names of sources of the library or the catalogue to rank; by default all.
    own : sequence of TargetDescription
        Further sources.
    """
    settings = settings or RecommendSettings()
    notes = list(target.notes)
    n_examples = settings.examples or target.n_examples or None
    setting = library.find_setting(settings.encoder, n_examples)
    if setting is None or setting.name not in borrowed_settings(library):
        notes += setting_notes(library, settings.encoder, setting)
    key = None if setting is None else setting.name
    gain_model = recommender.gain_model
    known_target = known_as(target, library)
    left_out: set[str] = set()
    if known_target is not None:
        notes.append(
            f"the target is the known task {known_target}: it is not ranked, and the model is fitted without it"
        )
        training = TrainingPairs.from_library(library, target.mode)
        left_out = {
            n for n in library.profiles if training.group_of(n) == training.group_of(known_target)
        }
        gain_model = (
            training.without(known_target)
            .fit()
            .with_calibration(gain_model, borrowed=borrowed_settings(library))
        )
    same = [task for task in own if task.profile.digest == target.profile.digest]
    notes += [f"{task.profile.name} is the target itself: it is not ranked" for task in same]
    own = [task for task in own if task.profile.digest != target.profile.digest]
    borrowed = borrowed_settings(library)
    if key in borrowed and not library.tried_in(key, without=left_out):
        key = None
    # Features are relative to all known sources, so these are among the candidates even if they are not ranked.
    all_known = [name for name in library.sources if name not in left_out]
    taken = {target.profile.name, *(task.profile.name for task in own)}
    listed = _listed(library, taken) if library.name == ATLAS else []
    pairs = CandidatePairs(
        target,
        library,
        all_known,
        own,
        # Of too few outcomes no typical source is known.
        setting=None if key in borrowed else key,
        listed=listed,
        without=left_out,
    )
    rows, left = _wanted(pairs.candidates, known, settings)
    notes += left
    if not rows:
        raise InputError(f"no source is left to rank (known: {', '.join(all_known)})")

    effects = gain_model.effects(pairs.X, pairs.is_known, key, pairs.basis)
    expected = gain_model.level(pairs.target_features, key) + effects.to_numpy().sum(axis=1)
    widened = 1.0
    if target.profile.sketches:
        known_profiles = [p for p in map(library.profiles.__getitem__, all_known) if p.sketches]
        widened, outside = recommender.domain.widening(
            pairs.target, known_profiles, pairs.vectors, target.mode
        )
        if outside and widened >= MIN_WIDENING_NOTED:
            notes.append(
                f"the target lies outside the range of the known tasks: intervals are {widened:.1f} times as wide,"
                f" probabilities nearer to one half ({'; '.join(outside)})"
            )
    # Similarities far above the typical are cut off: what is left of them orders equal expectations.
    near = pairs.X[[c for c in NEW_SOURCE_COLUMNS if c in pairs.X]].mean(axis=1)
    described_only = {
        c.label for c, basis in zip(pairs.candidates, pairs.basis, strict=True) if basis == DESCRIPTION
    }
    undescribed = {
        c.label
        for c, alike in zip(pairs.candidates, near, strict=True)
        if c.label in described_only and np.isnan(alike)
    }
    near = near.fillna(-1.0)
    ranked = sorted(rows, key=lambda i: (-expected[i], -near[i], pairs.candidates[i].label))
    ranked = ranked[: settings.top]
    explainer = Explainer(gain_model, library, pairs, effects)
    shared = shared_examples(target.profile, [pairs.candidates[i].profile for i in ranked])
    chosen = [pairs.candidates[i] for i in ranked]
    lacking = [c.label for c in chosen if c.is_own and not c.is_tried and c.encoder is None]
    max_gain = 1 / target.baseline - 1 if target.baseline else np.inf

    def with_interval(i: int) -> tuple[float, float, float]:
        """Return the expected gain of a candidate and the ends of its interval; scores are within 0-1."""
        conformal = recommender.interval(key, basis=str(pairs.basis[i]))
        low, high = (float(v) for v in conformal.interval(expected[i], widen=widened))
        return float(min(expected[i], max_gain)), max(low, -1.0), min(high, max_gain)

    sources = []
    for rank, (i, share) in enumerate(zip(ranked, shared, strict=True), start=1):
        candidate = pairs.candidates[i]
        basis = str(pairs.basis[i])
        gain, low, high = with_interval(i)
        behind = library.behind(candidate.name, without=left_out) if candidate.is_tried else Evidence()
        sources.append(
            RankedSource(
                source=candidate.name,
                label=candidate.label,
                is_own=candidate.is_own,
                rank=rank,
                probability=float(
                    gain_model.probability(expected[i : i + 1], key, basis=basis, doubt=widened)[0]
                ),
                expected_gain=gain,
                low=low,
                high=high,
                reasons=explainer.reasons(i),
                evidence=behind,
                shared=share,
                facts=candidate.facts,
                basis=basis,
            )
        )
    sets: tuple[RankedSet, ...] = ()
    if settings.sources_at_once > 1:
        # Of descriptions alone a source's gain is hardly known.
        is_based = [i for i in rows if pairs.basis[i] != DESCRIPTION]
        gains = {pairs.candidates[i].label: with_interval(i) for i in is_based}
        frame = pd.DataFrame.from_dict(gains, orient="index", columns=["gain", "low", "high"])
        if CHAIN_ORDER_COLUMN in pairs.X:
            frame["similarity"] = pairs.X[CHAIN_ORDER_COLUMN].to_numpy()[is_based]
        sets, of_sets = rank_sets(
            frame,
            {c.label: c.profile for c in pairs.candidates},
            settings.sources_at_once,
            ordered=library.method == "intermediate",
            n=settings.top,
            best_gain=sources[0].expected_gain,
        )
        notes += of_sets
    card, figures = recommender.card, recommender.figures(key)
    copied = ("dataset", "method", "n_targets", "n_outcomes", "protocol")
    where = key if key is not None and recommender.measures(key) else UNKNOWN_SETTING
    own_tables = () if library.own is None else library.own.tables
    # Figures of the modes that ship do not compare with those of own outcomes.
    slower = [] if key in card.get("measured_own", ()) else mode_notes(target.mode, library, where)
    skills = [skill_of(figures, source.basis) for source in sources]
    return Recommendation(
        target=target.profile.name,
        mode=target.mode,
        verdict=verdict_of(
            tuple(sources),
            coverage=figures["coverage_promised"],
            # Whatever is ranked by what tells nothing has a gain near the mean, and does not lead the list.
            skill=max(
                (skill for skill in skills if np.isfinite(skill)),
                default=np.nan,
            ),
        ),
        sources=tuple(sources),
        sets=sets,
        n_candidates=len(rows),
        notes=(
            *notes,
            *outcome_notes(library, recommender, key, known_target),
            *source_notes(sources, n_examples, setting, figures, undescribed=undescribed),
            *own_notes(lacking, library, where),
            *slower,
        ),
        widened=widened,
        model={key: card[key] for key in copied}
        | {
            "setting": where,
            "encoders": sorted({found.encoder for found in library.settings}),
            "tables": list(dict.fromkeys([*library.tables, *own_tables])),
            "figures": figures,
            "reliability": list(card["reliability"][where]),
        },
        checkpoints=_checkpoints(target, library, settings, n_examples),
        absolute=_absolute(target, library, settings, sources, [pairs.candidates[i] for i in ranked]),
    )


def _absolute(
    target: TargetDescription,
    library: Library,
    settings: RecommendSettings,
    sources: Sequence[RankedSource],
    candidates: Sequence[Candidate],
) -> AbsoluteTerms | None:
    """Return the recommendation in absolute terms, if there were training runs."""
    runs = target.size_runs
    if runs is None:
        return None
    # Joint training takes as many batches of the source as of the target.
    in_turn = library.method == "intermediate"
    return absolute_terms(
        runs,
        target.profile,
        [(s, c.profile) for s, c in zip(sources, candidates, strict=True)],
        source_examples=library.trained.examples[0] if in_turn else runs.sizes[-1],
        cost_per_hour=settings.cost_per_hour,
    )


def _checkpoints(
    target: TargetDescription, library: Library, settings: RecommendSettings, n_examples: int | None
) -> StartingPoints | None:
    """Return the published checkpoints of an encoder that was named."""
    if settings.encoder is None or not settings.checkpoints or library.name != ATLAS:
        return None
    facts = profile_facts(target.profile, description=target.description, n_examples=n_examples)
    return starting_points(settings.encoder, facts, type=target.profile.type, top=settings.checkpoints)


def _listed(library: Library, taken: Collection[str]) -> list[CatalogueSource]:
    """Return the sources of the catalogue whose names are not in the library and not taken."""
    names = {name.casefold() for name in (*library.profiles, *taken)}
    return [source for source in catalogue() if not names & {n.casefold() for n in source.names}]


def _wanted(
    candidates: Sequence[Candidate], known: Sequence[str] | None, settings: RecommendSettings
) -> tuple[list[int], list[str]]:
    """Return the positions of the candidates to rank, and a note on those that a filter left out."""
    chosen = [
        i
        for i, c in enumerate(candidates)
        if known is None or (c.is_own and not c.is_tried) or c.name in known
    ]
    rows = [i for i in chosen if candidates[i].is_own or _passes(candidates[i], settings)]
    left = len(chosen) - len(rows)
    return rows, [
        f"{left} of {len(chosen)} sources are left out by type, licence or size"
    ] if left else []


def _passes(candidate: Candidate, settings: RecommendSettings) -> bool:
    if candidate.facts is not None:
        return settings.keeps(candidate.facts)
    unknown_facts = settings.licence or settings.max_size is not None
    return not unknown_facts and (not settings.types or candidate.profile.type in settings.types)


def _readers(encoder: str | None, library: Library, tell: Tell) -> SourceReaders:
    """Return the source encoders of the model to be tuned."""
    setting = library.find_setting(encoder)
    is_library = setting is not None and setting.encoder == library.trained.encoder
    if encoder is None:
        encoder = library.encoder if setting is None else setting.encoder
    return SourceReaders.of(library.encoder if is_library else encoder, tell=tell)


def _split_sources(
    sources: Iterable[Any] | None, library: Library, settings: ReadSettings, tell: Tell
) -> tuple[list[str] | None, list[TargetDescription], list[Task]]:
    """Return the names of known sources (None: all of them), the sources added, and the user's own tasks."""
    if sources is None:
        return None, stored_sources(library, tell=tell), []
    known: list[str] = []
    stored: dict[str, TargetDescription] = {}
    own: dict[str, Task] = {}
    tried = {} if library.own is None else {library.profiles[n].digest: n for n in library.own.tasks}
    for source in sources:
        is_name = isinstance(source, str) and source not in library.profiles
        added = stored_sources(library, [source], tell=tell) if is_name else []
        if added:
            stored |= {one.profile.name: one for one in added}
            continue
        name = _known_name(source, library)
        if name is not None:
            known.append(name)
            continue
        for task in _own_tasks(source, library, settings):
            if tried.get(task.digest) in library.sources:
                known.append(tried[task.digest])
                continue
            if task.name in own:
                raise InputError(f"two sources are named '{task.name}'; name one of them in a card")
            own[task.name] = task
    for name in stored.keys() & own.keys():
        raise InputError(f"two sources are named '{name}': an added one, and a file; give one of them")
    return known, list(stored.values()), list(own.values())


def _known_name(source: Any, library: Library) -> str | None:
    """Return the name in the library or the catalogue of a source that is named."""
    if not isinstance(source, str):
        return None
    if source in library.sources:
        return source
    facts = facts_of(source) if library.name == ATLAS else None
    if facts is None:
        return None
    return next((name for name in facts.names if name in library.sources), facts.name)


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
