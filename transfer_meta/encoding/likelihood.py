"""The log-likelihood that a task's head stands for, and labels drawn from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.records import TaskType


def log_likelihood(type: TaskType, outputs: Tensor, target: Tensor) -> Tensor:
    """Ln p(y | x) of every unit, in nats.

    Classes and choices: the log-softmax at the label; tags: its sum over a sentence's words; spans: of
    first and last token; regression: a Gaussian of unit variance around the output, in units of the
    training labels' standard deviation, without its constant.  A label that the head does not know adds
    0.

    Parameters
    ----------
    type
        Task type.
    outputs : tensor
        What the head put out: (units, classes), (items, tokens, tags), (items, tokens, 2), (units, 1).
    target : tensor
        As in `batching.EncodedBatch`; for regression standardised.

    Returns
    -------
    tensor of shape (units,)
    """
    if type is TaskType.REGRESSION:
        return -(outputs.squeeze(1) - target).square() / 2
    if type is TaskType.TOKEN_CLASSIFICATION:
        return -_cross_entropy(outputs.transpose(1, 2), target).sum(dim=1)
    if type is TaskType.QUESTION_ANSWERING:
        return -_cross_entropy(outputs, target).sum(dim=1)
    return -_cross_entropy(outputs, target)


def draw_target(type: TaskType, outputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    """Labels drawn from the head's own distribution, of the shape of `target`.

    Unlabelled tokens stay unlabelled, so that tags are drawn for the words alone.
    """
    outputs = outputs.detach()
    if type is TaskType.REGRESSION:
        noise = torch.randn(len(outputs), generator=generator, device=outputs.device)
        return outputs.squeeze(1) + noise
    if type is TaskType.QUESTION_ANSWERING:
        outputs = outputs.transpose(1, 2)
    chances = outputs.softmax(dim=-1)
    drawn = torch.multinomial(chances.flatten(0, -2), 1, generator=generator).view(chances.shape[:-1])
    return drawn.where(target != IGNORED, IGNORED)


def _cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """Classes in the second dimension; nothing is summed."""
    return functional.cross_entropy(outputs, target, reduction="none", ignore_index=IGNORED)
