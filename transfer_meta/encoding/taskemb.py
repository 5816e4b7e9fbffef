"""TaskEmb: the diagonal Fisher information of an encoder on one task, through a head fitted to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer_meta.encoding.batching import Batcher, EncodedBatch
from transfer_meta.encoding.encoders import Encoder
from transfer_meta.encoding.fisher import Forward, diagonal_fisher
from transfer_meta.encoding.frozen_features import Reading, encode_examples, run_encoder
from transfer_meta.encoding.heads import Head, RegressionHead, build_head, pool
from transfer_meta.encoding.likelihood import draw_target, log_likelihood
from transfer_meta.errors import InputError, RunFailed, unknown
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.label_kinds import check_label
from transfer_meta.tasks.task import Task

VARIANTS = ("empirical", "theoretical", "batch-summed", "gradient")


@dataclass(frozen=True)
class FisherSettings:
    """Which Fisher information.

    Parameters
    ----------
    variant
        ``empirical``: gradients for the labels of the data; ``theoretical``: for labels drawn from the
        model; ``batch-summed``: gradients summed over a batch before they are squared, as public code
        does it; ``gradient``: the mean gradient, not squared.
    draws
        Labels drawn for each example (``theoretical``).
    batch_size
        Examples a batch (``batch-summed``; the others do not depend on it).
    embeddings
        Also the word embeddings and their layer norm.
    head_steps
        Most steps of the head's fit.
    seed
        Of the draws.
    """

    variant: str = "empirical"
    draws: int = 1
    batch_size: int = 32
    embeddings: bool = False
    head_steps: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise unknown("Fisher variant", self.variant, VARIANTS)
        for name in ("draws", "batch_size", "head_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} (expected at least 1)")


def task_vectors(
    encoder: Encoder, task: Task, settings: FisherSettings, reading: Reading
) -> dict[str, NDArray[np.float32]]:
    """The components of TaskEmb from a training split, see `fisher.diagonal_fisher`.

    A question's windows count as one example each; question answering has no pooled output.

    Raises
    ------
    InputError
        A single class, an encoder whose parts are not known.
    RunFailed
        A label that cannot be learned from.
    """
    fitted = fit_head(encoder, task, reading, steps=settings.head_steps)
    return fisher_of_head(encoder, fitted, settings, reading)


def fisher_of_head(
    encoder: Encoder, fitted: FittedHead, settings: FisherSettings, reading: Reading
) -> dict[str, NDArray[np.float32]]:
    """The components of TaskEmb for the examples that a head was fitted to."""
    batcher, head, type = fitted.batcher, fitted.head, fitted.type
    generator = torch.Generator(device=batcher.device).manual_seed(settings.seed)

    def forward(units: NDArray[np.int64]) -> Forward:
        batch = batcher.batch(units)
        outputs = head(run_encoder(encoder, batch), batch)
        gold = _standardised(head, batch.target)
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
        batches = batcher.by_length(reading.max_tokens)
    vectors = diagonal_fisher(
        encoder.model,
        batches,
        forward,
        squared=settings.variant != "gradient",
        per_example=settings.variant != "batch-summed",
        embeddings=settings.embeddings,
    )
    if type is TaskType.QUESTION_ANSWERING:
        # A softmax over tokens does not see a shift of all of them: what is there is rounding.
        del vectors["pooled_output"]
    return vectors


@dataclass(frozen=True)
class FittedHead:
    """A head, the classes of its outputs, and the examples that it belongs to."""

    type: TaskType
    head: Head
    labels: tuple[str, ...]
    batcher: Batcher


def new_head(encoder: Encoder, task: Task, reading: Reading) -> FittedHead:
    """A head with weights of zero for the classes of a training split, in evaluation mode.

    Raises
    ------
    InputError
        A single class.
    RunFailed
        A label that cannot be learned from.
    """
    type, labels, examples = task.type, task.labels(), checked_examples(task)
    if type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION) and len(labels) < 2:
        raise InputError(
            f"task '{task.name}' has a single class ('{labels[0]}'): a head has nothing to learn"
        )
    encoded, batcher = encode_examples(encoder, type, examples, reading, labels)
    mean, deviation = 0.0, 1.0
    if type is TaskType.REGRESSION:
        mean, deviation = float(encoded.target.mean()), float(encoded.target.std())
    head = build_head(type, encoder.width, labels=len(labels), mean=mean, deviation=deviation)
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    return FittedHead(type, head.to(batcher.device).eval(), labels, batcher)


def fit_head(encoder: Encoder, task: Task, reading: Reading, *, steps: int) -> FittedHead:
    """Fit a new head to frozen features: a convex problem, so neither a seed nor a rate matters.

    Mean loss plus ‖W‖² / 2n by L-BFGS from zero, on token vectors that are computed once.
    """
    fitted = new_head(encoder, task, reading)
    head, batcher = fitted.head, fitted.batcher
    encoder.model.eval()
    inputs: list[tuple[Tensor, EncodedBatch]] = []
    with torch.no_grad():
        for units in batcher.by_length(reading.max_tokens):
            batch = batcher.batch(units)
            hidden = run_encoder(encoder, batch).float()
            if not head.per_token:
                # The head would take this mean at every step: one vector an item is all that it needs.
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
    return fitted


def checked_examples(task: Task) -> list[Example]:
    """The training examples; RunFailed at the first label that cannot be learned from."""
    examples = list(task.examples())
    for number, example in enumerate(examples, start=1):
        try:
            check_label(task.type, example)
        except RunFailed as error:
            raise RunFailed(
                f"bad label: task '{task.name}', train example {number}: {error}"
            ) from error
    return examples


def _standardised(head: Head, target: Tensor) -> Tensor:
    """Regression targets in the units of the head's output; others as they are."""
    return (target - head.mean) / head.deviation if isinstance(head, RegressionHead) else target


def _owner(batch: EncodedBatch, units: int) -> Tensor:
    """The unit of each item."""
    owner = torch.arange(units, device=batch.ids.device)
    return owner if batch.slots is None else owner.repeat_interleave((batch.slots >= 0).sum(1))
