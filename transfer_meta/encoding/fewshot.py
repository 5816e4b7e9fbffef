"""Few-shot loss of a source checkpoint on a target, and class probabilities of a source head."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, check_positive
from transfer_meta.encoding.taskemb import FittedHead, new_head
from transfer_meta.records import TaskType
from transfer_meta.tasks.subsets import generator
from transfer_meta.tasks.task import Task


@dataclass(frozen=True)
class FewShot:
    """Settings of few-shot fine-tuning.

    Parameters
    ----------
    steps : int
        AdamW updates.
    examples : int
        Number of training examples, the first ones.
    batch_size : int
        Examples per step, drawn without replacement within an epoch.
    learning_rate : float
        Constant learning rate.
    seed : int
        Seed of the order of the examples.
    """

    steps: int = 20
    examples: int = 64
    batch_size: int = 16
    learning_rate: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "steps", "examples", "batch_size")


def few_shot_loss(
    encoder: Encoder,
    task: Task,
    settings: FewShot | None = None,
    encoding: EncodingSettings | None = None,
) -> float:
    """Return the mean loss per target on a few examples after a few steps of fine-tuning on them.

    A copy of the encoder and a new head are trained together.  The head starts from zero weights and
    dropout is off, so that two checkpoints differ in nothing else.  Lower is better: the negative loss
    ranks sources.

    Returns
    -------
    float
        Nats per label; for regression the squared error in units of the labels' variance.

    Raises
    ------
    InputError
        The task has a single class.
    RunFailed
        A label that cannot be learned from.
    """
    settings, encoding = settings or FewShot(), encoding or EncodingSettings()
    few = replace(task, splits={"train": list(itertools.islice(task.examples(), settings.examples))})
    trained = replace(encoder, model=copy.deepcopy(encoder.model).eval().requires_grad_(True))
    fitted = new_head(trained, few, encoding)
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
        outputs = head(trained.vectors(batch.ids, batch.types, batch.mask), batch)
        (head.loss(outputs, batch) / batch.weight).backward()
        optimizer.step()
    total, weight = 0.0, 0
    with torch.inference_mode():
        for units in batcher.by_length(encoding.max_tokens):
            batch = batcher.batch(units)
            outputs = head(trained.vectors(batch.ids, batch.types, batch.mask), batch)
            total += float(head.loss(outputs, batch))
            weight += batch.weight
    return total / weight


def class_probabilities(fitted: FittedHead, vectors: ArrayLike) -> NDArray[np.float64] | None:
    """Return a source head's class probabilities on target vectors, for LEEP and NCE.

    Parameters
    ----------
    fitted : FittedHead
        Head of the source task.
    vectors : array of shape (n, width)
        Target vectors of the same encoder, see `frozen_features.labelled_vectors`.

    Returns
    -------
    array of shape (n, source classes), or None if the source has no classes
    """
    if fitted.type not in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        return None
    given = torch.as_tensor(np.asarray(vectors, dtype=np.float32), device=fitted.batcher.device)
    with torch.inference_mode():
        return fitted.head.linear(given).double().softmax(dim=1).cpu().numpy()
