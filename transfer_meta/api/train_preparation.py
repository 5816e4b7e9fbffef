"""Preparation of `train`: the tasks are found and read, the runs planned."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.api.source_search import find_target
from transfer_meta.api.train_settings import TrainSettings
from transfer_meta.api.train_sources import (
    NO_SOURCE,
    RecommendedSource,
    named_sources,
    recommended_sources,
)
from transfer_meta.errors import InputError, RunFailed
from transfer_meta.tasks.source_sets import IN_TURN, TOGETHER

if TYPE_CHECKING:
    from transfer_meta.records import Tell
    from transfer_meta.runs.plan import EncoderFacts, Plan
    from transfer_meta.runs.trials import Trial
    from transfer_meta.tasks import Task


@dataclass(frozen=True)
class PreparedTraining:
    """What is to be trained.

    Parameters
    ----------
    target : str
        Name of the task.
    tasks : dict of str to Task
        The target and the sources that may be used, by name.
    plans : list of Plan
        For `TrialRunner`.
    trials : list of Trial
        The target alone first.
    recommended : list of RecommendedSource
        With source ``auto``.
    notes : list of str
    """

    target: str
    tasks: dict[str, Task]
    plans: list[Plan]
    trials: list[Trial]
    recommended: list[RecommendedSource]
    notes: list[str] = field(default_factory=list)


def check_folder(settings: TrainSettings) -> None:
    """Raise an InputError if the folder of the model could not be written when the training is over."""
    from transfer_meta.training.model_folder import check_model_folder

    check_model_folder(settings.out, overwrite=settings.overwrite)
    parent = next(folder for folder in Path(settings.out).absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(
            f"cannot write the model to '{settings.out}': '{parent}' is no folder to write to"
        )


def prepare_training(target: str, settings: TrainSettings, tell: Tell) -> PreparedTraining:
    """Find the tasks, read them, and plan the runs."""
    from transfer_meta.runs.methods import WITHOUT_SOURCES
    from transfer_meta.runs.plan import compile_plan, make_plan
    from transfer_meta.runs.plan_file import PlanFile, Regime
    from transfer_meta.runs.trials import find_trials
    from transfer_meta.tasks.subsets import dev_size
    from transfer_meta.training.method_settings import Curriculum

    tasks, name = find_target(target, list(map(str, settings.sources)))
    facts = _encoder_facts(settings.encoder)
    recommended: list[RecommendedSource] = []
    groups: list[tuple[str, ...]] = []
    checkpoint: str | None = None
    remarks: list[str] = []
    if settings.is_auto:
        recommended, remarks = recommended_sources(
            name,
            tasks,
            tries=settings.tries,
            method="multitask" if settings.mix else "intermediate",
            encoder=settings.encoder,
            tell=tell,
        )
        groups = [(source.name,) for source in recommended]
    elif settings.source != (NO_SOURCE,):
        named = named_sources(list(settings.source), tasks, name)
        groups, checkpoint = [named.names] if named.names else [], named.checkpoint
        if settings.mix and named.ordered:
            raise InputError(
                f"mix has no effect with source '{IN_TURN.join(named.names)}', which is a chain"
                f" (expected '{TOGETHER.join(named.names)}')"
            )
        settings = replace(settings, mix=settings.mix or named.ordered is False)
        settings.check_mixed()
    used = {name, *(source for group in groups for source in group)}
    file = PlanFile(
        path=Path("train"),
        tasks={task: tasks[task] for task in used},
        sources=tuple(groups),
        targets=(name,),
        methods=settings.methods if groups and checkpoint is None else ("single",),
        regimes=(Regime(settings.source_examples, settings.examples),),
        seeds=tuple(range(settings.seeds)),
        encoder=settings.encoder,
        training=settings.training(facts),
        mixing=settings.mixing,
        curriculum=Curriculum(settings.curriculum) if settings.curriculum else None,
        allow_fewer=True,
    )
    plan = make_plan(file, encoder_facts=lambda _: facts, needs_test=False)
    plans = [plan]
    digests = {task: read.source.digest for task, read in plan.tasks.items()}
    for source in used - {name}:
        if digests[source] == digests[name]:
            raise InputError(f"source '{source}' is the target itself (expected another task)")
    if not dev_size(plan.tasks[name].train, file.training.dev_examples):
        raise InputError(
            f"'{name}' has {plan.tasks[name].train} training examples (expected at least 5, to choose on a fifth)"
        )
    if checkpoint is not None:
        found = _encoder_facts(checkpoint)
        other = replace(
            file,
            encoder=checkpoint,
            training=settings.training(found),
            methods=settings.methods if groups else ("single",),
        )
        plans.append(compile_plan(other, plan.tasks, found))
        trials = [
            find_trials(plan)[0],
            *(t for t in find_trials(plans[1]) if (t.method not in WITHOUT_SOURCES) == bool(groups)),
        ]
    else:
        trials = find_trials(plan)
    notes = [*remarks, *plan.notes, *_fewer(plan, settings)]
    for note in notes:
        tell(note)
    loaded = {task: read.source.load() for task, read in plan.tasks.items()}
    return PreparedTraining(name, loaded, plans, trials, recommended, notes)


def _encoder_facts(name: str) -> EncoderFacts:
    """Return the properties of an encoder, or raise an InputError if its models are none of transformers."""
    from transfer_meta.encoding.encoders import is_bilstm
    from transfer_meta.runs.plan import read_encoder_facts

    if is_bilstm(name):
        raise InputError(
            f"encoder '{name}': a bi-LSTM cannot be written as a Hugging Face folder (expected a transformer)"
        )
    try:
        return read_encoder_facts(name)
    except RunFailed as error:
        raise InputError(str(error)) from error


def _fewer(plan: Plan, settings: TrainSettings) -> list[str]:
    """Return a note for each task that has fewer training examples than asked for."""
    target = plan.file.targets[0]
    notes = []
    for name, facts in plan.tasks.items():
        wanted = settings.examples if name == target else settings.source_examples
        there = facts.training_examples(plan.file.training.dev_examples)
        if name == target and wanted is not None and there < wanted:
            notes.append(
                f"{name}: {there} training examples beside those held out, {wanted} were asked for"
            )
    return notes
