"""From a new task to the sources worth trying: ranked, with probability, interval, reasons and a plain verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.recommender.candidates import Pairs, known_as, shared_examples
from transfer_meta.recommender.describe_target import (
    TargetDescription,
    Tell,
    best_mode,
    describe_target,
)
from transfer_meta.recommender.fitting import Recommender
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import DEFAULT_LIBRARY, LIBRARY_METHODS, Library, open_library
from transfer_meta.recommender.notes import notes_on, what_more
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.reasons import Explainer
from transfer_meta.recommender.recommendation import RankedSource, Recommendation, verdict_of
from transfer_meta.recommender.training_pairs import Training
from transfer_meta.tasks import Task
from transfer_meta.tasks.resolve import find_tasks, load_named
from transfer_meta.tasks.settings import ReadSettings

NEAR_DUPLICATE = 0.05
"""Share of either one's examples in the other from which on it is said."""
WORTH_SAYING = 1.05
"""By how much intervals have to be wider for the answer to say so."""


def recommend(
    task: Task | str | Path,
    *,
    sources: Iterable[str | Task] | None = None,
    top: int = 5,
    method: str = "intermediate",
    mode: str | None = None,
    measure: bool = False,
    description: str | None = None,
    settings: ReadSettings | None = None,
    dataset: str = DEFAULT_LIBRARY,
    tell: Tell = lambda _: None,
) -> Recommendation:
    """The sources worth training on before a target, or beside it.

    Parameters
    ----------
    task : Task, str or Path
        The target: a task, or what `transfer_meta.tasks.resolve_tasks` takes, such as a file.
    sources : iterable of str or Task, optional
        Names of known sources, or tasks and files of one's own; None: all known sources.
    top : int
        How many to give.
    method : str
        ``intermediate`` or ``multitask``.
    mode : str, optional
        ``text``, ``encoder`` or ``measured``; None: what this installation can do, short of training.
    measure : bool
        Train on the target alone for its learning curve: mode ``measured``.
    description : str, optional
        What the task is, in a sentence or two; None: the task's own.
    settings : ReadSettings, optional
        How files are read.
    dataset : str
        The shipped table that it is learned from.
    tell : callable
        Told what is being done, in a line.

    Raises
    ------
    InputError
        A task that cannot be read, an unknown source, a method without outcomes, a mode that needs what is not
        installed.
    """
    if top < 1:
        raise InputError(f"top = {top} (expected at least 1)")
    if method not in LIBRARY_METHODS:
        raise unknown("method", method, LIBRARY_METHODS)
    if mode is not None and mode not in MODES:
        raise unknown("mode", mode, MODES)
    settings = settings or ReadSettings()
    library = open_library(dataset, method=method)
    target = _load(task, settings)
    if description is not None:
        target = replace(target, description=description)
    names, own_tasks = _sources(sources, library, settings)
    mode = mode or best_mode(library, measure=measure)
    look = describe_target(target, library, mode, tell=tell)
    # Own sources are not trained on here: that is what the answer is to save.
    of_source = "encoder" if look.mode == "measured" else look.mode
    own = {t.name: describe_target(t, library, of_source, tell=tell) for t in own_tasks}
    return advise(look, library, shipped_recommender(library, look.mode), own=own, names=names, top=top)


def advise(
    target: TargetDescription,
    library: Library,
    recommender: Recommender,
    *,
    own: dict[str, TargetDescription] | None = None,
    names: Sequence[str] | None = None,
    top: int = 5,
) -> Recommendation:
    """The same from tasks that were looked at already.

    Parameters
    ----------
    target : Look
    library, recommender
        What is known, and the model of the target's mode.
    own : dict of str to Look
        Further sources, by name.
    names : sequence of str, optional
        Known sources to rank; None: all, unless there are sources of one's own.
    top : int
    """
    own = dict(own or {})
    notes = list(target.notes)
    same = known_as(target, library)
    if same is not None:
        notes.append(
            f"the target is the known task {same}: that is left out as a source, and its outcomes out of the model"
        )
        recommender = replace(
            recommender, advisor=Training.of(library, target.mode).without(same).fit()
        )
    for name in [n for n, look in own.items() if look.profile.digest == target.profile.digest]:
        notes.append(f"{name} is the target itself and is left out as a source")
        del own[name]
    known = [name for name in library.sources if name != same]
    asked = set(known if names is None else names) - {same}
    pairs = Pairs(target, library, known, own)
    candidates = [i for i, name in enumerate(pairs.names) if name in asked or not pairs.reference[i]]
    if not candidates:
        raise InputError(f"no source is left beside the target itself (known: {', '.join(known)})")

    advisor = recommender.advisor
    effects = advisor.effects(pairs.X, pairs.reference)
    expected = advisor.level(pairs.own[None])[0] + effects.to_numpy().sum(axis=1)
    widened, outside = recommender.domain.place(
        pairs.target, [library.profiles[n] for n in known], pairs.vectors, target.mode
    )
    if outside and widened >= WORTH_SAYING:
        notes.append(
            "the target lies outside of what was learned from: intervals are"
            f" {widened:.1f} times as wide, probabilities nearer to one half ("
            + f"{'; '.join(outside)})"
        )
    ranked = sorted(candidates, key=lambda i: (-expected[i], pairs.names[i]))[:top]
    explainer = Explainer(
        advisor,
        library,
        effects=effects,
        X=pairs.X,
        reference=pairs.reference,
        profiles=pairs.profiles,
        target=pairs.target,
    )
    shared = shared_examples(target.profile, [pairs.profiles[i] for i in ranked])
    advice = []
    for rank, (i, overlap) in enumerate(zip(ranked, shared, strict=True), start=1):
        is_known = bool(pairs.reference[i])
        conformal = recommender.conformal if is_known else recommender.conformal_new
        low, high = (float(v) for v in conformal.interval(expected[i], widen=widened))
        ceiling = 1 / target.baseline - 1 if target.baseline else np.inf
        advice.append(
            RankedSource(
                source=pairs.names[i],
                rank=rank,
                probability=float(advisor.probability(expected[i : i + 1], doubt=widened)[0]),
                expected_gain=float(min(expected[i], ceiling)),
                # A score is never below 0 nor above 1.
                low=max(low, -1.0),
                high=min(high, ceiling),
                reasons=explainer.reasons(i),
                n_outcomes=library.count_outcomes(pairs.names[i], without=same) if is_known else 0,
                near_duplicate=overlap >= NEAR_DUPLICATE,
                shared=overlap,
            )
        )
    notes += notes_on(advice, target, library)
    card = recommender.card
    figures = card["figures"]
    return Recommendation(
        target=target.profile.name,
        mode=target.mode,
        verdict=verdict_of(
            tuple(advice), coverage=figures["coverage_promised"], skill=figures["spearman"]
        ),
        sources=tuple(advice),
        n_candidates=len(candidates),
        notes=(*notes, *what_more(target.mode, library)),
        widened=widened,
        model={
            k: card[k] for k in ("dataset", "method", "regime", "n_targets", "n_outcomes", "protocol")
        }
        | {"figures": dict(figures), "reliability": list(card["reliability"])},
    )


def _load(task: Task | str | Path, settings: ReadSettings) -> Task:
    if isinstance(task, Task):
        return task
    found = find_tasks([str(task)])
    if len(found) != 1:
        raise InputError(f"expected one target, got {len(found)} tasks in '{task}'")
    return load_named(found[0], settings)


def _sources(
    sources: Iterable[str | Task] | None, library: Library, settings: ReadSettings
) -> tuple[list[str] | None, list[Task]]:
    """Names of known sources (None: all of them) and tasks of one's own."""
    if sources is None:
        return None, []
    names: list[str] = []
    own: dict[str, Task] = {}
    for source in sources:
        if isinstance(source, str) and source in library.sources:
            names.append(source)
            continue
        for task in (
            [source] if isinstance(source, Task) else _own_tasks(str(source), library, settings)
        ):
            if task.name in own:
                raise InputError(f"two sources are named '{task.name}'; name one of them in a card")
            own[task.name] = task
    return names, list(own.values())


def _own_tasks(name: str, library: Library, settings: ReadSettings) -> list[Task]:
    try:
        return [load_named(found, settings) for found in find_tasks([name])]
    except InputError as error:
        if "no such file" not in str(error):
            raise
        raise InputError(
            f"unknown source '{name}': no file, and not among the known ones ({', '.join(library.sources)})"
            f"{nearest(name, library.sources)}"
        ) from error
