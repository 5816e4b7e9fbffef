"""TaskEmb: diagonal Fisher information of an encoder on a task, with a head fitted to the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer_meta.encoding.batching import Batcher, EncodedBatch, encode_examples
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings
from transfer_meta.encoding.fisher import Forward, diagonal_fisher
from transfer_meta.encoding.heads import Head, RegressionHead, build_head, pool
from transfer_meta.encoding.likelihood import draw_target, log_likelihood
from transfer_meta.encoding.tokens import checked_examples
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks.task import Task


def task_vectors(
    encoder: Encoder, task: Task, settings: FisherSettings, encoding: EncodingSettings
) -> dict[str, NDArray[np.float32]]:
    """Return the components of TaskEmb of a training split, see `fisher.diagonal_fisher`.

    Each window of a question counts as one example; question answering has no pooled output.

    Raises
    ------
    InputError
        A single class, or an encoder with unknown parts.
    RunFailed
        A label that cannot be learned from.
    """
    fitted = fit_head(encoder, task, encoding, steps=settings.head_steps)
    return fisher_of_head(encoder, fitted, settings, encoding)


def fisher_of_head(
    encoder: Encoder, fitted: FittedHead, settings: FisherSettings, encoding: EncodingSettings
) -> dict[str, NDArray[np.float32]]:
    """Return the components of TaskEmb for the examples that a head was fitted to."""
    batcher, head, type = fitted.batcher, fitted.head, fitted.type
    generator = torch.Generator(device=batcher.device).manual_seed(settings.seed)

    def forward(units: NDArray[np.int64]) -> Forward:
        batch = batcher.batch(units)
        outputs = head(encoder.vectors(batch.ids, batch.types, batch.mask), batch)
        gold = standardised(head, batch.target)
        targets = [gold]
        if settings.variant == "theoretical":
            targets = [draw_target(type, outputs, gold, generator) for _ in range(settings.draws)]
        rows = torch.stack([log_likelihood(type, outputs, target) for target in targets])
        return Forward(rows, _owner(batch, len(units)), batch.mask)

    if settings.variant == "batch-summed":
        order = np.arange(len(batcher))
        batches = [
            order[i : i + settings.batch_size] for i in range(0, len(order), settings.batch_size)
        ]
    else:
        batches = batcher.by_length(encoding.max_tokens)
    vectors = diagonal_fisher(
        encoder.model,
        batches,
        forward,
        squared=settings.variant != "gradient",
        per_example=settings.variant != "batch-summed",
        embeddings=settings.embeddings,
    )
    if type is TaskType.QUESTION_ANSWERING:
        # A softmax over tokens is invariant to a shift of all tokens: only rounding errors remain.
        del vectors["pooled_output"]
    return vectors


@dataclass(frozen=True)
class FittedHead:
    """A head, the classes of its outputs, and the batches of its examples."""

    type: TaskType
    head: Head
    labels: tuple[str, ...]
    batcher: Batcher


def new_head(encoder: Encoder, task: Task, encoding: EncodingSettings) -> FittedHead:
    """Return a zero-initialised head for a training split, in evaluation mode.

    Raises
    ------
    InputError
        A single class.
    RunFailed
        A label that cannot be learned from.
    """
    type, labels = task.type, task.labels()
    examples = checked_examples(task)
    if type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION) and len(labels) < 2:
        raise InputError(
            f"task '{task.name}' has a single class ('{labels[0]}'): a head has nothing to learn"
        )
    encoded, batcher = encode_examples(encoder, type, examples, encoding, labels)
    head = build_head(type, encoder.width, labels=len(labels), targets=encoded.target)
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    return FittedHead(type, head.to(batcher.device).eval(), labels, batcher)


def fit_head(encoder: Encoder, task: Task, encoding: EncodingSettings, *, steps: int) -> FittedHead:
    """Fit a new head to frozen features: minimise the mean loss plus ‖W‖² / 2n by L-BFGS from zero.

    The problem is convex, so the result depends on no seed or learning rate.
    """
    fitted = new_head(encoder, task, encoding)
    batches = fitted.batcher.by_length(encoding.max_tokens)
    fit_linear(encoder, fitted.head, fitted.batcher, batches, steps=steps)
    return fitted


def fit_linear(
    encoder: Encoder,
    head: Head,
    batcher: Batcher,
    batches: Sequence[NDArray[np.int64]],
    *,
    steps: int,
) -> None:
    """Fit a head, from zero, to the frozen features of some batches of units, see `fit_head`."""
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    encoder.model.eval()
    inputs: list[tuple[Tensor, EncodedBatch]] = []
    with torch.no_grad():
        for units in batches:
            batch = batcher.batch(units)
            hidden = encoder.vectors(batch.ids, batch.types, batch.mask).float()
            if not head.per_token:
                # Pool once here instead of in every iteration.
                hidden, batch = pool(hidden, batch.mask)[:, None], replace(batch, mask=None)
            inputs.append((hidden, batch))
    weight = sum(batch.weight for _, batch in inputs)
    optimizer = torch.optim.LBFGS(
        head.linear.parameters(), max_iter=steps, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros((), device=batcher.device)
        for hidden, batch in inputs:
            part = head.loss(head(hidden, batch), batch) / weight
            part.backward()
            total += part.detach()
        penalty = head.linear.weight.square().sum() / (2 * weight)
        penalty.backward()
        return total + penalty.detach()

    optimizer.step(loss)
    head.requires_grad_(False)


def standardised(head: Head, target: Tensor) -> Tensor:
    """Return regression targets in units of the head's output; other targets unchanged."""
    return (target - head.mean) / head.deviation if isinstance(head, RegressionHead) else target


def _owner(batch: EncodedBatch, units: int) -> Tensor:
    """Return the unit of each item."""
    owner = torch.arange(units, device=batch.ids.device)
    return owner if batch.slots is None else owner.repeat_interleave((batch.slots >= 0).sum(1))
