"""What a source checkpoint is worth for a target: the loss after a few steps, and its classes' chances."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from transfer_meta.encoding.encoders import Encoder
from transfer_meta.encoding.frozen_features import Reading, run_encoder
from transfer_meta.encoding.taskemb import FittedHead, new_head
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks.subsets import generator
from transfer_meta.tasks.task import Task


@dataclass(frozen=True)
class FewShot:
    """How few steps on how few examples.

    Parameters
    ----------
    steps
        Updates of AdamW.
    examples
        The first so many training examples.
    batch_size
        Examples a step, drawn without replacement pass by pass.
    learning_rate
        Constant.
    seed
        Of the order of the examples.
    """

    steps: int = 20
    examples: int = 64
    batch_size: int = 16
    learning_rate: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "examples", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} (expected at least 1)")


def few_shot_loss(
    encoder: Encoder, task: Task, settings: FewShot | None = None, reading: Reading | None = None
) -> float:
    """The mean loss per target on a few examples after a few steps of fine-tuning on them.

    Encoder and a new head are trained together, from weights of zero in the head, so that what differs
    between two checkpoints is the checkpoint alone; dropout is off.  The lower, the better: its negative
    ranks sources.  The encoder given is not changed.

    Returns
    -------
    float
        Nats a label; for regression the squared error in units of the labels' variance.

    Raises
    ------
    InputError
        A single class.
    RunFailed
        A label that cannot be learned from.
    """
    settings, reading = settings or FewShot(), reading or Reading()
    few = replace(task, splits={"train": list(itertools.islice(task.examples(), settings.examples))})
    trained = replace(encoder, model=copy.deepcopy(encoder.model).eval().requires_grad_(True))
    fitted = new_head(trained, few, reading)
    head, batcher = fitted.head, fitted.batcher
    weights = [*trained.model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    order = generator("few-shot", settings.seed)
    batches: list[NDArray[np.int64]] = []
    for _ in range(settings.steps):
        if not batches:
            batches = batcher.epoch(settings.batch_size, order)
        batch = batcher.batch(batches.pop())
        optimizer.zero_grad()
        (head.loss(head(run_encoder(trained, batch), batch), batch) / batch.weight).backward()
        optimizer.step()
    total, weight = 0.0, 0
    with torch.inference_mode():
        for units in batcher.by_length(reading.max_tokens):
            batch = batcher.batch(units)
            total += float(head.loss(head(run_encoder(trained, batch), batch), batch))
            weight += batch.weight
    return total / weight


def class_probabilities(fitted: FittedHead, vectors: ArrayLike) -> NDArray[np.float64] | None:
    """A source head's class probabilities on a target's vectors, for LEEP and NCE.

    Parameters
    ----------
    fitted
        Head of the source task, see `taskemb.fit_head`.
    vectors : array of shape (n, width)
        Of the same encoder, see `frozen.labelled_vectors`.

    Returns
    -------
    array of shape (n, source classes), or None where the source has no classes
    """
    if fitted.type not in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        return None
    given = torch.as_tensor(np.asarray(vectors, dtype=np.float32), device=fitted.batcher.device)
    with torch.inference_mode():
        return fitted.head.linear(given).double().softmax(dim=1).cpu().numpy()
