"""Fine-tune an encoder on a source, and keep it as a source encoder."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision, load_encoder
from transfer_meta.encoding.encoding_settings import MEMORY, OFFLINE_NAMES, EncodingSettings, is_bilstm
from transfer_meta.encoding.frozen_features import text_vectors
from transfer_meta.encoding.source_encoders import (
    LinearHead,
    SourceEncoder,
    SwitchableEncoder,
    linear_weights,
    load_source_encoder,
    low_rank_difference,
    save_source_encoder,
)
from transfer_meta.encoding.source_files import SourceEncoderFacts
from transfer_meta.encoding.taskemb import fit_head
from transfer_meta.errors import InputError, RunFailed
from transfer_meta.records import OnProgress, TaskType
from transfer_meta.tasks.subsets import dev_size, draw_examples
from transfer_meta.tasks.task import Task
from transfer_meta.training.finetune import finetune
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import SOURCE_EXAMPLES, SOURCE_TRAINING, TrainingSettings

HEAD_EXAMPLES, HEAD_STEPS = 500, 50
"""Drawn training examples, on which the fidelity is told too, and L-BFGS iterations of the head that is kept."""
DEFAULT_RANK = 16
"""Rank of the differences that are kept first of a training of all weights."""
MIN_FIDELITY = 0.95
"""Mean cosine of the stored encoder's vectors with those of the trained one, below which the rank is doubled."""
MAX_RANK = 128
"""Rank above which none is raised: 5 MB for all-MiniLM-L6-v2."""


def train_source(
    task: Task,
    *,
    encoder: str = "offline",
    training: TrainingSettings = SOURCE_TRAINING,
    examples: int = SOURCE_EXAMPLES,
    device: str = "cpu",
    resume: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: OnProgress = lambda done, total: None,
) -> SourceEncoder:
    """Fine-tune an encoder on a task and return it as a difference from the pretrained one.

    Parameters
    ----------
    task : Task
    encoder : str
        See `transfer_meta.encoding.encoders.load_encoder`.
    training : TrainingSettings
        Without a `lora_rank` all weights are trained, and the nearest difference of rank `DEFAULT_RANK` is kept.
        While the stored encoder's vectors have a mean cosine below `MIN_FIDELITY` with those of the trained one,
        the rank is doubled, to at most `MAX_RANK`.
    examples : int
        Maximum number of training examples beside the dev split.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    resume : Path, optional
        File in which a stopped training saves its state and from which it resumes.
    should_stop, on_progress : callable
        See `transfer_meta.training.finetune.finetune`.

    Raises
    ------
    InputError
        An encoder without linear layers, such as the bi-LSTM, or invalid settings; nothing was trained.
    RunFailed
        The training gives no encoder, for the reason in the message.
    Stopped
        `should_stop` returned True.
    """
    stage = source_stage(task, encoder=encoder, training=training, examples=examples)
    pretrained = load_encoder(stage.encoder)
    before = linear_weights(pretrained.model)
    if not before:
        raise _no_layers(encoder)
    sample = replace(task, splits={"train": draw_examples(task, "train", HEAD_EXAMPLES)[0]})
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "encoder.safetensors"
        result = finetune(
            stage,
            {task.name: task.with_test()},
            save=weights,
            resume=resume,
            device=device,
            should_stop=should_stop,
            on_progress=on_progress,
        )
        trained = load_encoder(stage.encoder, start=weights)
    head, labels = _head(trained, sample)
    rank = training.lora_rank or DEFAULT_RANK
    facts = SourceEncoderFacts(
        name=task.name,
        type=task.type,
        labels=labels,
        encoder=stage.encoder,
        revision=encoder_revision(stage.encoder),
        digest=task.digest,
        rank=rank,
        examples=result.notes["examples"][task.name],
        training=training.to_dict(),
        metric=result.main_metric,
        score=None if math.isnan(result.score) else result.score,
        licence=task.licence or "unknown",
    )
    source = SourceEncoder(facts, low_rank_difference(before, trained.model, rank=rank), head)
    return _faithful(source, trained, pretrained, sample)


def _faithful(
    source: SourceEncoder, trained: Encoder, pretrained: Encoder, sample: Task
) -> SourceEncoder:
    """Return a source encoder with its fidelity, the rank raised until that is reached; `pretrained` is changed."""
    switchable = SwitchableEncoder(pretrained)
    wanted = text_vectors(trained, sample, EncodingSettings())
    while True:
        with tempfile.TemporaryDirectory() as folder:
            save_source_encoder(source, Path(folder) / "stored.safetensors")
            stored = switchable.use(load_source_encoder(Path(folder) / "stored.safetensors"))
        fidelity = centred_cosine(wanted, text_vectors(stored, sample, EncodingSettings()))
        rank = source.facts.rank
        source = replace(source, facts=replace(source.facts, fidelity=fidelity))
        if fidelity >= MIN_FIDELITY or 2 * rank > MAX_RANK:
            return source
        # Of what is lacking, the rounding to 8 bits included, so that it helps where LoRA has this very rank too.
        lacking = low_rank_difference(linear_weights(stored.model), trained.model, rank=rank)
        layers = {name: part.joined(lacking[name]) for name, part in source.layers.items()}
        source = replace(source, facts=replace(source.facts, rank=2 * rank), layers=layers)


def storage_notes(facts: SourceEncoderFacts) -> list[str]:
    """Return a line if the rank of a source encoder was raised, and one if its fidelity is still too low."""
    first = facts.training.get("lora_rank") or DEFAULT_RANK
    notes = []
    if facts.rank > first:
        notes.append(
            f"stored with rank {facts.rank}: with rank {facts.rank // 2} the mean cosine of its vectors with those"
            f" of the trained encoder is below {MIN_FIDELITY}"
        )
    if facts.fidelity is not None and facts.fidelity < MIN_FIDELITY:
        notes.append(
            f"the stored encoder's vectors have a mean cosine of {facts.fidelity:.3f} with those of the trained one"
            f" (expected at least {MIN_FIDELITY}; the rank is raised to at most {MAX_RANK})"
        )
    return notes


def source_stage(task: Task, *, encoder: str, training: TrainingSettings, examples: int) -> Stage:
    """Return the stage that trains a source encoder on at most `examples` examples of a task.

    Raises
    ------
    InputError
        The bi-LSTM, a task without labels or training examples, or invalid settings.
    """
    refuse_bilstm(encoder)
    if training.long_inputs == MEMORY:
        raise InputError(
            f"long_inputs = '{MEMORY}': a source encoder has no place for the memory's vectors"
        )
    if not task.is_labelled or "train" not in task.splits:
        lacking = "train split" if task.is_labelled else "labels"
        raise InputError(f"task '{task.name}' has no {lacking}: no encoder can be trained on it")
    size = sum(1 for _ in task.examples("train"))
    there = size - dev_size(size, training.dev_examples)
    if not there:
        raise InputError(f"task '{task.name}' has no training examples")
    stage = Stage(
        task.name,
        seed=0,
        # One name: source encoders of one pretrained encoder are scored together.
        encoder=OFFLINE_NAMES[0] if encoder in OFFLINE_NAMES else encoder,
        training=training,
        target_examples=min(examples, there),
    )
    if problems := stage.problems():
        raise InputError("; ".join(problems))
    return stage


def refuse_bilstm(encoder: str) -> None:
    """Raise an InputError for the name of a bi-LSTM."""
    if is_bilstm(encoder):
        raise _no_layers(encoder)


def _no_layers(encoder: str) -> InputError:
    return InputError(
        f"encoder '{encoder}' has no linear layers, whose differences could be kept (expected a transformer)"
    )


def centred_cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the mean cosine similarity of the rows of two arrays, both less their mean.

    Examples
    --------
    >>> centred_cosine(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[3.0, 1.0], [1.0, 3.0]]))
    1.0
    """
    a, b = (each.astype(np.float64) - each.mean(axis=0, dtype=np.float64) for each in (first, second))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Vectors of no length, of a single example or of equal texts, are those of their mean: nothing is lost.
    cosines = np.divide((a * b).sum(axis=1), norms, out=np.ones_like(norms), where=norms > 0)
    return round(float(cosines.mean()), 6)


def _head(encoder: Encoder, sample: Task) -> tuple[LinearHead | None, tuple[str, ...]]:
    """Return a head fitted to frozen features, and the classes of its outputs; no head for other types."""
    if sample.type not in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        return None, ()
    try:
        fitted = fit_head(encoder, sample, EncodingSettings(), steps=HEAD_STEPS)
    except InputError as error:  # a single class
        raise RunFailed(str(error)) from error
    linear = fitted.head.linear
    return LinearHead(linear.weight.detach(), linear.bias.detach()), tuple(map(str, fitted.labels))
