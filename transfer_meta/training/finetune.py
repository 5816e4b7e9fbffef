"""Fine-tune an encoder for one stage: set up, train, test, save."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoder_parts import token_table
from transfer_meta.encoding.encoders import encoder_revision, save_encoder
from transfer_meta.encoding.encoding_settings import SPLIT, TRANSFORMERS_HEAD, is_bilstm
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained, model_kind
from transfer_meta.encoding.tokens import Encoded
from transfer_meta.errors import InputError, RunFailed, first_line
from transfer_meta.files import digest
from transfer_meta.provenance import package_versions
from transfer_meta.records import TaskType
from transfer_meta.tasks.label_kinds import answers
from transfer_meta.tasks.subsets import generator
from transfer_meta.tasks.task import Task
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.loop import Hooks, Loop, compile_encoder
from transfer_meta.training.lora import add_lora, merge_lora
from transfer_meta.training.loss_weights import UncertaintyWeights, step_schedule
from transfer_meta.training.method_settings import UNCERTAINTY, check_tie
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.seen_embedding import SeenEmbedding, compact, restore
from transfer_meta.training.soft_sharing import Tie, copies_of
from transfer_meta.training.stage import Stage
from transfer_meta.training.task_data import Selection, TaskData, select
from transfer_meta.training.task_metrics import TASK_METRICS, main_metric, on_unit_scale
from transfer_meta.training.text_task_data import TextTaskData
from transfer_meta.training.trained_facts import TextFacts, TrainedFacts
from transfer_meta.training.trained_file import save_trained_file


def finetune(
    stage: Stage,
    tasks: Mapping[str, Task],
    *,
    start: Path | None = None,
    save: Path | None = None,
    save_model: Path | None = None,
    resume: Path | None = None,
    device: str = "cpu",
    cache: Path | None = None,
    **hooks: Unpack[Hooks],
) -> RunResult:
    """Fine-tune an encoder on a stage's tasks and test it on the target.

    Parameters
    ----------
    stage : Stage
    tasks : mapping of str to Task
        The stage's tasks by name; sources need no test split.
    start : Path, optional
        Encoder saved by the run of ``stage.prerequisite``; required if and only if that is set.
    save : Path, optional
        Safetensors file for the trained encoder.
    save_model : Path, optional
        Safetensors file for the whole trained model, see `transfer_meta.training.trained_file`.
    resume : Path, optional
        File in which a stopped run saves its state and from which it resumes, bit for bit.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    cache : Path, optional
        Folder of tokenised splits shared by all runs.
    **hooks
        ``should_stop``, called before every step; ``on_progress``, called after every step with the number of
        finished steps and of all steps.

    Raises
    ------
    InputError
        The stage is invalid; nothing was started.
    RunFailed
        The run cannot give a score, for the reason in the message.
    Stopped
        `should_stop` returned True.
    """
    problems = stage.problems()
    first = stage.prerequisite
    if (start is None) != (first is None):
        problems.append("start and stage.prerequisite go together: one is given without the other")
    if save_model and is_bilstm(stage.encoder):
        problems.append(f"save_model needs a transformer (got encoder '{stage.encoder}')")
    if not problems:
        with _failing_in_one_line():
            problems += stage.problems_of_kind(model_kind(stage.encoder))
    if problems:
        raise InputError("; ".join(problems))
    began = time.perf_counter()
    training, place = stage.training, torch.device(device)
    with _reproducible(place), _failing_in_one_line():
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats(place)
        selections = [
            select(
                tasks[name],
                stage.examples_of(name),
                seed=stage.seed,
                dev_examples=training.dev_examples,
                with_test=name == stage.target,
            )
            for name in stage.tasks
        ]
        if stage.soft:
            check_tie(stage.soft, selections)
        needs_pooler = stage.head == TRANSFORMERS_HEAD
        seed = int(generator("pooler", stage.seed).integers(2**62)) if needs_pooler else None

        def load(file: Path | None) -> Encoder:
            loaded = load_pretrained(
                stage.encoder,
                texts=(text for selection in selections for text in selection.texts()),
                start=file,
                start_run=first.run_name if file and first else "",
                pooler_seed=seed,
            )
            loaded.model.to(place)
            return loaded

        encoder = load(start if stage.start else None)
        for path in (save, save_model):
            if path:
                _check_disk(path, encoder)
        # Without a stage to start from, the file is of the run that the difficulty of the examples is of.
        earlier = load(start) if start and not stage.start else None
        data = [
            _task_data(stage, s, tasks[s.name], encoder, earlier=earlier, cache=cache)
            for s in selections
        ]
        del earlier
        trained, table, loop = _set_up(stage, encoder, data)
        name = digest(json.dumps(stage.to_dict(), sort_keys=True), *(s.digest for s in selections))
        loop.run(resume=resume, name=name, **hooks)

        target = data[0]
        scored = target.test or target.dev
        scores: dict[str, Any] = {}
        metric, score = TASK_METRICS[target.type][0], math.nan
        if scored is not None:
            _, scores = loop.measure(target, scored)
            metric = main_metric(target.type, scores)
            score = on_unit_scale(metric, scores[metric])
        if training.lora_rank:
            merge_lora(trained)
        if table:
            restore(encoder.model, table)
        if save:
            save_encoder(encoder, save, run=stage.run_name)
        if save_model:
            facts = _facts(stage, selections[0], encoder, target)
            save_trained_file(save_model, encoder, target.head, facts, run=stage.run_name)
        if resume:
            resume.unlink(missing_ok=True)
        return RunResult(
            score=score,
            scores=scores,
            main_metric=metric,
            curve=loop.curve(),
            seconds=time.perf_counter() - began,
            tokens_per_second=loop.tokens / max(loop.seconds, 1e-9),
            peak_memory_bytes=_peak_memory(place),
            device=_device_name(place),
            versions=package_versions(),
            notes={
                "steps": loop.step,
                "micro_batches": loop.pieces,
                "best_step": loop.best_step or loop.step,
                "examples": {s.name: len(s.train) for s in selections},
                "subsets": {s.name: s.digest for s in selections},
                "scored_on": _scored_on(tasks[stage.target], target),
                **_cut(data, training.long_inputs),
                **_how_shared(stage, loop),
                **({"discarded_state": loop.discarded} if loop.discarded else {}),
            },
            source_curves={task.name: loop.curve(i) for i, task in enumerate(data) if i},
        )


def _task_data(
    stage: Stage,
    selection: Selection,
    task: Task,
    encoder: Encoder,
    *,
    earlier: Encoder | None,
    cache: Path | None,
) -> TaskData:
    """Return the data of a task, as text where a language model is trained."""
    if isinstance(encoder, LanguageModel):
        return TextTaskData(
            selection,
            encoder,
            stage.training,
            templates=TextTemplates.of_task(task),
            seed=stage.seed,
            curriculum=stage.curriculum,
        )
    return TaskData(
        selection,
        encoder,
        stage.training,
        seed=stage.seed,
        cache=cache,
        head=stage.head,
        curriculum=stage.curriculum,
        earlier=earlier,
    )


def _facts(stage: Stage, selection: Selection, encoder: Encoder, data: TaskData) -> TrainedFacts:
    """Return the facts of the trained model of a stage."""
    text = None
    if isinstance(encoder, LanguageModel) and isinstance(data, TextTaskData):
        templates = data.templates
        text = TextFacts(
            kind=encoder.kind,
            template=templates.of_texts(pair=False),
            pair_template=templates.of_texts(pair=True),
            words=templates.words,
            numbers=templates.numbers,
            answer_tokens=data.answer_tokens,
        )
    held = (*selection.train, *selection.dev)
    return TrainedFacts(
        task=stage.target,
        type=selection.type,
        labels=selection.labels,
        encoder=stage.encoder,
        revision=encoder_revision(stage.encoder),
        head="" if text else stage.head,
        max_length=min(stage.training.max_length, encoder.max_length),
        stride=stage.training.stride,
        may_be_empty=selection.type is TaskType.QUESTION_ANSWERING and not all(map(answers, held)),
        long_inputs=stage.training.long_inputs,
        text=text,
    )


def _cut(data: Sequence[TaskData], long_inputs: str) -> dict[str, Any]:
    """Return the notes on long training examples: the share of those cut, or the mean number of segments."""
    notes: dict[str, dict[str, float]] = {}
    for task in data:
        encoded = task.train.encoded
        # Prompts of a language model are cut, never split.
        is_split = isinstance(encoded, Encoded) and (
            task.type is TaskType.QUESTION_ANSWERING or long_inputs in SPLIT
        )
        value = len(encoded.lengths) / len(task.train.examples) if is_split else encoded.is_long.mean()
        notes.setdefault("segments" if is_split else "cut", {})[task.name] = round(float(value), 4)
    return notes


def _scored_on(task: Task, data: TaskData) -> str:
    """Return the split that a run is scored on; empty if there is none."""
    return task.test_from if data.test else "held out of train" if data.dev else ""


@contextlib.contextmanager
def _failing_in_one_line() -> Iterator[None]:
    """Turn unusable input and operating system errors, those of safetensors too, into RunFailed."""
    from safetensors import SafetensorError

    try:
        yield
    except RunFailed:
        raise
    except (InputError, OSError, SafetensorError) as error:
        raise RunFailed(first_line(error)) from error


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms on a GPU, and restore torch's random state afterwards."""
    if device.type != "cuda":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    with torch.cuda.device(device), torch.random.fork_rng(devices=[torch.cuda.current_device()]):
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False  # slow, and uninitialised memory is never read here
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warns)
            memory.fill_uninitialized_memory = filled


def _set_up(
    stage: Stage, encoder: Encoder, data: Sequence[TaskData]
) -> tuple[Encoder, SeenEmbedding | None, Loop]:
    """Return the target's encoder as it is trained, its token table while it is a part of it, and the loop."""
    training = stage.training
    batches = training.epochs * data[0].steps_per_epoch(training.batch_size)
    schedule = step_schedule(stage, [len(task.train.examples) for task in data], batches)
    in_use = sorted({task for step in schedule for task, _ in step})
    writes = isinstance(encoder, LanguageModel)
    # A language model may write any token: all rows of its table are trained.
    everything = np.arange(token_table(encoder.model).num_embeddings) if writes else None
    ids = [np.unique(task.train.encoded.ids) if everything is None else everything for task in data]
    common = np.unique(np.concatenate([ids[task] for task in in_use]))
    encoders, seen = [encoder], [common]
    if stage.soft:
        encoders = copies_of(encoder, training, tasks=len(data), seen=len(common))
        # Encoders that are tied have the same weights; without a tie each has those of its task alone.
        seen = [common] * len(data) if stage.soft.strength else ids
    tables: list[SeenEmbedding | None] = []
    for index, own in enumerate(seen):
        torch.manual_seed(int(generator("dropout", stage.seed).integers(2**62)))
        if training.lora_rank:
            encoders[index] = add_lora(encoders[index], training.lora_rank)
        if training.lora_rank or writes:
            tables.append(None)
        else:
            rows = torch.from_numpy(own).long().to(encoder.device)
            tables.append(compact(encoders[index].model, rows))
        compile_encoder(encoders[index], training.compile)
    tie = Tie(encoders, [task.head for task in data], stage.soft) if stage.soft else None
    learned = None
    if stage.mixing and stage.mixing.weighting == UNCERTAINTY:
        # A language model's loss is a cross-entropy whatever the type.
        types = [TaskType.GENERATION if writes else task.type for task in data]
        learned = UncertaintyWeights(types).to(encoder.device)
    return encoders[0], tables[0], Loop(encoders[0], data, schedule, training, learned=learned, tie=tie)


def _how_shared(stage: Stage, loop: Loop) -> dict[str, Any]:
    """Return the notes on what a run learned about how its tasks share."""
    notes: dict[str, Any] = {}
    if loop.learned:
        notes["weights"] = dict(zip(stage.tasks, loop.learned.values(), strict=True))
    if loop.tie and loop.tie.settings.strength:
        notes["encoder_distance"] = loop.tie.distance()
    return notes


def _check_disk(path: Path, encoder: Encoder) -> None:
    """Raise RunFailed if the disk has too little space for an encoder."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    needed = sum(w.numel() * w.element_size() for w in encoder.model.state_dict().values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunFailed(
            f"too little disk: '{folder}' has {free / 1e6:.0f} MB, the encoder needs {needed / 1e6:.0f} MB"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        return f"cuda:{number}: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.machine()}, {torch.get_num_threads()} threads"
