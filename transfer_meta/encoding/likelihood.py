"""Log-likelihood of labels under a task head, and labels sampled from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.records import TaskType


def log_likelihood(type: TaskType, outputs: Tensor, target: Tensor) -> Tensor:
    """Return ln p(y | x) of every unit in nats.

    Classes and choices: the log-softmax at the label; tags: its sum over the words of a sentence; spans:
    its sum over first and last token; regression: a Gaussian of unit variance around the output, in units
    of the training labels' standard deviation, without the constant.  Unknown labels contribute 0.

    Parameters
    ----------
    type : TaskType
    outputs : tensor
        Head outputs: (units, classes), (items, tokens, tags), (items, tokens, 2) or (units, 1).
    target : tensor
        As in `batching.EncodedBatch`; standardised for regression.

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
    """Sample labels from the head's distribution, in the shape of `target`.

    Unlabelled tokens stay unlabelled: tags are sampled at first tokens of words only.
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
    """Return the unreduced cross-entropy; dimension 1 holds the classes."""
    return functional.cross_entropy(outputs, target, reduction="none", ignore_index=IGNORED)
