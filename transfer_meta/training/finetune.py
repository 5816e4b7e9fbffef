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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision, load_encoder, save_encoder
from transfer_meta.encoding.encoding_settings import TRANSFORMERS_HEAD, is_bilstm
from transfer_meta.errors import InputError, RunFailed, first_line
from transfer_meta.files import digest
from transfer_meta.provenance import package_versions
from transfer_meta.records import TaskType
from transfer_meta.tasks.label_kinds import answers
from transfer_meta.tasks.subsets import generator
from transfer_meta.tasks.task import Task
from transfer_meta.training.loop import Hooks, Loop, compile_encoder
from transfer_meta.training.lora import add_lora, merge_lora
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.seen_embedding import compact, restore
from transfer_meta.training.stage import Mixing, Stage
from transfer_meta.training.task_data import Selection, TaskData, select
from transfer_meta.training.task_metrics import TASK_METRICS, main_metric, on_unit_scale
from transfer_meta.training.trained_file import TrainedFacts, save_trained_file


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
        Encoder saved by the run of ``stage.start``; required if and only if that is set.
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
    if (start is None) != (stage.start is None):
        problems.append("start and stage.start go together: one is given without the other")
    if save_model and is_bilstm(stage.encoder):
        problems.append(f"save_model needs a transformer (got encoder '{stage.encoder}')")
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
                stage.target_examples if name == stage.target else stage.source_examples,
                seed=stage.seed,
                dev_examples=training.dev_examples,
                with_test=name == stage.target,
            )
            for name in stage.tasks
        ]
        texts = (text for selection in selections for text in selection.texts())
        needs_pooler = stage.head == TRANSFORMERS_HEAD
        seed = int(generator("pooler", stage.seed).integers(2**62)) if needs_pooler else None
        encoder = load_encoder(
            stage.encoder,
            texts=texts,
            start=start,
            start_run=_run_name(stage.start) if stage.start else "",
            pooler_seed=seed,
        )
        for path in (save, save_model):
            if path:
                _check_disk(path, encoder)
        encoder.model.to(place)
        data = [
            TaskData(s, encoder, training, seed=stage.seed, cache=cache, head=stage.head)
            for s in selections
        ]

        torch.manual_seed(int(generator("dropout", stage.seed).integers(2**62)))
        trained, table = encoder, None
        if training.lora_rank:
            trained = add_lora(encoder, training.lora_rank)
        else:
            ids = np.unique(np.concatenate([task.train.encoded.ids for task in data]))
            table = compact(encoder.model, torch.from_numpy(ids).long().to(place))
        compile_encoder(trained, training.compile)
        loop = Loop(trained, data, _schedule(stage, data), training)
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
            save_encoder(encoder, save, run=_run_name(stage))
        if save_model:
            save_trained_file(save_model, encoder, target.head, _facts(stage, selections[0], encoder))
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
                **({"discarded_state": loop.discarded} if loop.discarded else {}),
            },
            source_curves={task.name: loop.curve(i) for i, task in enumerate(data) if i},
        )


def _run_name(stage: Stage) -> str:
    """Return a digest of a stage: an encoder's file says by it which run it is from."""
    return digest(json.dumps(stage.to_dict(), sort_keys=True))


def _facts(stage: Stage, selection: Selection, encoder: Encoder) -> TrainedFacts:
    """Return the facts of the trained model of a stage."""
    held = (*selection.train, *selection.dev)
    return TrainedFacts(
        task=stage.target,
        type=selection.type,
        labels=selection.labels,
        encoder=stage.encoder,
        revision=encoder_revision(stage.encoder),
        head=stage.head,
        max_length=min(stage.training.max_length, encoder.max_length),
        stride=stage.training.stride,
        may_be_empty=selection.type is TaskType.QUESTION_ANSWERING and not all(map(answers, held)),
    )


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


def _schedule(stage: Stage, data: list[TaskData]) -> list[list[tuple[int, float]]]:
    """Return for each step the tasks trained on, by index, and the weights of their losses."""
    batches = stage.training.epochs * data[0].steps_per_epoch(stage.training.batch_size)
    mixing = stage.mixing or Mixing()
    if mixing.weights:
        return [list(enumerate(mixing.weights))] * batches
    shares = mixing.probabilities(tuple(len(task.train.examples) for task in data))
    steps = round(batches / shares[0])
    drawn = generator("mixing", stage.seed, *stage.tasks).choice(len(data), size=steps, p=shares)
    return [[(int(task), 1.0)] for task in drawn]


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
