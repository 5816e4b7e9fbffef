"""One stage, from its settings to its score: set up, train, test, save."""

from __future__ import annotations

import contextlib
import json
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer_meta.encoding.encoders import Encoder, load_encoder, save_encoder
from transfer_meta.errors import InputError, RunFailed, Stopped
from transfer_meta.files import digest
from transfer_meta.provenance import package_versions
from transfer_meta.records import LearningCurve
from transfer_meta.tasks.subsets import generator
from transfer_meta.tasks.task import Task
from transfer_meta.training.loop import Loop, compile_encoder
from transfer_meta.training.lora import add_lora, merge_lora
from transfer_meta.training.seen_embedding import compact, restore
from transfer_meta.training.stage import Mixing, Stage
from transfer_meta.training.task_data import TaskData, select
from transfer_meta.training.task_metrics import main_metric, on_unit_scale

__all__ = ["RunFailed", "StageResult", "Stopped", "finetune"]


@dataclass(frozen=True)
class StageResult:
    """What one stage gave.

    Parameters
    ----------
    score
        The main metric on the target's test split, 0-1.
    scores
        All metrics on the test split; correlations are on -1 to 1.
    main_metric
        Which of them decides.
    curve
        Training loss at each step that trained on the target, and its dev split.
    seconds
        Wall time of the whole stage.
    tokens_per_second
        Tokens trained on, padding not counted, a second of training; evaluation apart.
    peak_memory_bytes
        On a GPU the most that was allocated, on the CPU the most that the process ever held.
    device
        The device's name.
    versions
        Of Python and of the libraries that decide the result.
    notes
        ``best_step``, ``micro_batches`` a batch was cut into, ``subsets``: digest of each task's training
        examples, ``steps``, ``examples``: training examples of each task.
    source_curves
        Training loss of each source of multi-task training at the steps that trained on it.
    """

    score: float
    scores: Mapping[str, float]
    main_metric: str
    curve: LearningCurve
    seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    device: str
    versions: Mapping[str, str]
    notes: Mapping[str, Any] = field(default_factory=dict)
    source_curves: Mapping[str, LearningCurve] = field(default_factory=dict)


def _never() -> bool:
    return False


def _silent(done: int, total: int) -> None:
    pass


def finetune(
    stage: Stage,
    tasks: Mapping[str, Task],
    *,
    start: Path | None = None,
    save: Path | None = None,
    resume: Path | None = None,
    device: str = "cpu",
    cache: Path | None = None,
    should_stop: Callable[[], bool] = _never,
    on_progress: Callable[[int, int], None] = _silent,
) -> StageResult:
    """Fine-tune an encoder on a stage's tasks and test it on the target.

    Parameters
    ----------
    stage
        What to train and how.
    tasks
        The stage's tasks by name; sources need no test split.
    start
        The encoder that ``stage.start`` left; given exactly where that is.
    save
        Where to write this stage's encoder, as safetensors; None: nowhere.
    resume
        Where a stopped run leaves its state and finds it again: it goes on as if it had never stopped.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    cache
        Folder of tokenised splits, shared by all runs; None: tokenise anew.
    should_stop
        Asked before every step.
    on_progress
        Told steps done and steps in all after every step.

    Raises
    ------
    InputError
        The stage contradicts itself; nothing was begun.
    RunFailed
        This run cannot give a score, for the one reason in the message.
    Stopped
        `should_stop` said so.
    """
    problems = stage.problems()
    if (start is None) != (stage.start is None):
        problems.append("start and stage.start go together: one is given without the other")
    if problems:
        raise InputError("; ".join(problems))
    place = torch.device(device)
    with _reproducible(place):
        try:
            return _finetune(
                stage,
                tasks,
                start=start,
                save=save,
                resume=resume,
                device=place,
                cache=cache,
                should_stop=should_stop,
                on_progress=on_progress,
            )
        except (InputError, OSError) as error:
            raise RunFailed(str(error).split("\n", 1)[0]) from error


def _finetune(
    stage: Stage,
    tasks: Mapping[str, Task],
    *,
    start: Path | None,
    save: Path | None,
    resume: Path | None,
    device: torch.device,
    cache: Path | None,
    should_stop: Callable[[], bool],
    on_progress: Callable[[int, int], None],
) -> StageResult:
    began = time.perf_counter()
    training = stage.training
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

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
    encoder = load_encoder(stage.encoder, words=_words(stage.encoder, selections), start=start)
    if save:
        _check_disk(save, encoder)
    encoder.model.to(device)
    data = [
        TaskData(
            selection,
            encoder,
            max_length=training.max_length,
            stride=training.stride,
            seed=stage.seed,
            device=device,
            cache=cache,
        )
        for selection in selections
    ]

    torch.manual_seed(int(generator("dropout", stage.seed).integers(2**62)))
    trained, table = encoder, None
    if training.lora_rank:
        trained = add_lora(encoder, training.lora_rank)
    else:
        ids = np.unique(np.concatenate([task.train.encoded.ids for task in data]))
        table = compact(encoder.model, torch.from_numpy(ids).long().to(device))
    compile_encoder(trained, training.compile)
    loop = Loop(
        trained,
        data,
        _schedule(stage, data),
        device=device,
        batch_size=training.batch_size,
        peak_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        warmup_fraction=training.warmup_fraction,
        max_grad_norm=training.max_grad_norm,
        evaluations=training.evaluations,
        keep_best=training.checkpoint == "best",
        precision=training.precision,
    )
    name = digest(json.dumps(stage.to_dict(), sort_keys=True), *(s.digest for s in selections))
    loop.run(should_stop=should_stop, on_progress=on_progress, resume=resume, name=name)
    target = data[0]
    assert target.test is not None
    _, scores = loop.measure(target, target.test)
    metric = main_metric(target.type, scores)
    if training.lora_rank:
        merge_lora(trained)
    if table:
        restore(encoder.model, table)
    if save:
        save_encoder(encoder, save)
    if resume:
        resume.unlink(missing_ok=True)
    return StageResult(
        score=on_unit_scale(metric, scores[metric]),
        scores=scores,
        main_metric=metric,
        curve=loop.curve(),
        seconds=time.perf_counter() - began,
        tokens_per_second=loop.tokens / max(loop.seconds, 1e-9),
        peak_memory_bytes=_peak_memory(device),
        device=_device_name(device),
        versions=package_versions(),
        notes={
            "steps": loop.step,
            "micro_batches": loop.pieces,
            "best_step": loop.best_step or loop.step,
            "examples": {s.name: len(s.train) for s in selections},
            "subsets": {s.name: s.digest for s in selections},
        },
        source_curves={task.name: loop.curve(i) for i, task in enumerate(data) if i},
    )


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """On a GPU choose algorithms that give the same result every time; leave no random state behind."""
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
        memory.fill_uninitialized_memory = False  # costs time, and nothing reads it
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warns)
            memory.fill_uninitialized_memory = filled


def _schedule(stage: Stage, data: list[TaskData]) -> list[list[tuple[int, float]]]:
    """For each step the tasks trained on and the weights of their losses (see `Mixing`)."""
    batches = stage.training.epochs * data[0].steps_an_epoch(stage.training.batch_size)
    mixing = stage.mixing or Mixing()
    if mixing.weights:
        return [list(enumerate(mixing.weights))] * batches
    shares = mixing.probabilities(tuple(len(task.train.examples) for task in data))
    steps = round(batches / shares[0])
    drawn = generator("mixing", stage.seed, *stage.tasks).choice(len(data), size=steps, p=shares)
    return [[(int(task), 1.0)] for task in drawn]


def _words(encoder: str, selections: list[Any]) -> set[str]:
    """The words of all texts, for the one encoder that makes its vocabulary of them."""
    if not encoder.startswith("bilstm"):
        return set()
    from transfer_meta.encoding.bilstm import words_of

    return words_of(text for selection in selections for text in selection.texts())


def _check_disk(path: Path, encoder: Encoder) -> None:
    """Raise RunFailed where an encoder has no room on the disk."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    needed = sum(w.numel() * w.element_size() for w in encoder.model.state_dict().values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunFailed(
            f"too little disk: '{folder}' has {free / 1e6:.0f} MB, the encoder needs {needed / 1e6:.0f} MB"
        )


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.machine()}, {torch.get_num_threads()} threads"
