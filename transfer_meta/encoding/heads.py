"""Task heads: outputs from the encoder's, losses and predictions."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from transfer_meta.encoding.batching import EncodedBatch
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import MEMORY_VECTORS
from transfer_meta.encoding.recurrent_memory import check_takes_memory
from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.encoding.transformers_head import TransformersScorer
from transfer_meta.records import TaskType
from transfer_meta.tasks.label_kinds import check_has_head

HEAD_DROPOUT = 0.1
LONGEST_ANSWER = 30
"""Maximum length of a predicted answer, in tokens."""
IMPOSSIBLE_LOGIT = -1e4
"""Logit of positions outside the context; finite because a window may contain no context at all."""


class Head(nn.Module):
    """Dropout and one linear layer, or a head of transformers; a softmax over the outputs, targets class indices.

    Parameters
    ----------
    width : int
        Size of a token vector.
    outputs : int
        Number of outputs per item, or per token if `per_token`.
    scorer : TransformersScorer, optional
        Computes the outputs in place of the linear layer.

    Attributes
    ----------
    memory : Embedding or None
        Vectors that long texts are read with, see `transfer_meta.encoding.recurrent_memory`: new for every task, as
        the linear layer.
    votes : bool
        Whether the segments of a long text are trained and read one by one, and the class is the one that most of
        them have; else their outputs are averaged.
    """

    per_token = False

    def __init__(self, width: int, outputs: int, *, scorer: TransformersScorer | None = None) -> None:
        super().__init__()
        self.scorer = scorer
        self.memory: nn.Embedding | None = None
        self.votes = False
        if scorer is None:
            self.dropout = nn.Dropout(HEAD_DROPOUT)
            self.linear = nn.Linear(width, outputs)

    def forward(
        self, hidden: torch.Tensor, batch: EncodedBatch, pooled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return float32 outputs from token vectors of shape (items, tokens, width).

        `pooled`, of shape (items, width), is the output of the encoder's pooler, which some scorers need.  The
        outputs of a text in segments are the mean of those of its segments; with `votes`, the mean of their
        log-probabilities while training, whose loss is the mean loss of the segments, and else the logarithm of the
        share of votes.
        """
        outputs = self._of_items(hidden, batch, pooled)
        if batch.slots is None:
            return outputs
        if not self.votes:
            return _mean_of_segments(outputs, batch.slots)
        shares = outputs.log_softmax(dim=-1)
        return _mean_of_segments(shares, batch.slots) if self.training else _votes(shares, batch.slots)

    def add_memory(self, encoder: Encoder) -> nn.Embedding:
        """Add memory vectors for an encoder, of random values."""
        check_takes_memory(encoder)
        device = next(self.parameters()).device
        self.memory = nn.Embedding(MEMORY_VECTORS, encoder.width, device=device)
        return self.memory

    def _of_items(
        self, hidden: torch.Tensor, batch: EncodedBatch, pooled: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the outputs of each item, or of each text that was read with a memory."""
        if self.scorer is not None:
            return self.scorer(hidden, batch, pooled)
        mask = batch.mask if batch.memory is None else batch.memory.mask
        vectors = hidden if self.per_token else pool(hidden, mask)
        return self.linear(self.dropout(vectors)).float()

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Return the loss summed over targets; divided by `batch.weight` it is the mean."""
        if self.votes and batch.slots is not None:
            # Log-probabilities; their mean over segments is not to be normalised again.
            return functional.nll_loss(outputs, batch.target, reduction="sum")
        return functional.cross_entropy(
            outputs.flatten(0, -2), batch.target.flatten(), reduction="sum", ignore_index=IGNORED
        )

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return predictions, one row per unit."""
        return outputs.argmax(dim=-1)


class TaggingHead(Head):
    """One logit per tag at every token; a word's tag is that of its first token."""

    per_token = True


class ChoiceHead(Head):
    """One logit per choice, compared among the choices of an example."""

    def __init__(self, width: int, *, scorer: TransformersScorer | None = None) -> None:
        super().__init__(width, 1, scorer=scorer)

    def forward(
        self, hidden: torch.Tensor, batch: EncodedBatch, pooled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits of shape (units, choices)."""
        scores = self._of_items(hidden, batch, pooled).squeeze(1)
        assert batch.slots is not None
        return scores[batch.slots.clamp(min=0)].masked_fill(batch.slots < 0, -torch.inf)


class RegressionHead(Head):
    """One number per text or pair, in units of the training labels' standard deviation."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        width: int,
        *,
        mean: float,
        deviation: float,
        scorer: TransformersScorer | None = None,
    ) -> None:
        super().__init__(width, 1, scorer=scorer)
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation if deviation > 0 else 1.0))

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Return the summed squared error of the standardised labels."""
        return (outputs.squeeze(1) - (batch.target - self.mean) / self.deviation).square().sum()

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return numbers on the scale of the labels."""
        return outputs.squeeze(1) * self.deviation + self.mean


class SpanHead(Head):
    """Logits of the answer's first and last token.

    The answer lies in the context or, if there is none, at the item's first token.
    """

    per_token = True

    def __init__(self, width: int, *, scorer: TransformersScorer | None = None) -> None:
        super().__init__(width, 2, scorer=scorer)

    def forward(
        self, hidden: torch.Tensor, batch: EncodedBatch, pooled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits of shape (items, tokens, 2), `IMPOSSIBLE_LOGIT` outside the context."""
        assert batch.context is not None
        logits = super().forward(hidden, batch, pooled)
        return logits.masked_fill(~batch.context[..., None], IMPOSSIBLE_LOGIT)

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Return the mean of the two positions' summed cross-entropies in nats."""
        return functional.cross_entropy(outputs, batch.target, reduction="sum") / 2

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return score, first and last token of each item's best span, and the score of no answer."""
        begin, end = outputs.unbind(dim=2)
        width = outputs.shape[1]
        allowed = torch.ones(width, width, dtype=torch.bool, device=outputs.device).triu()
        allowed &= ~allowed.triu(LONGEST_ANSWER)
        allowed[0] = False
        scores = (begin[:, :, None] + end[:, None, :]).masked_fill(~allowed, 2 * IMPOSSIBLE_LOGIT)
        best, place = scores.flatten(1).max(dim=1)
        none = begin[:, 0] + end[:, 0]
        return torch.stack([best, place // width, place % width, none], dim=1)


def build_head(
    type: TaskType,
    width: int,
    *,
    labels: int,
    targets: NDArray[Any],
    scorer: TransformersScorer | None = None,
) -> Head:
    """Return a new head for a task type; regression standardises by the training targets."""
    check_has_head(type)
    if type is TaskType.CLASSIFICATION:
        return Head(width, labels, scorer=scorer)
    if type is TaskType.TOKEN_CLASSIFICATION:
        return TaggingHead(width, labels, scorer=scorer)
    if type is TaskType.REGRESSION:
        mean, deviation = float(targets.mean()), float(targets.std())
        return RegressionHead(width, mean=mean, deviation=deviation, scorer=scorer)
    if type is TaskType.QUESTION_ANSWERING:
        return SpanHead(width, scorer=scorer)
    return ChoiceHead(width, scorer=scorer)


def pool(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of each item's token vectors, which needs no special first token."""
    if mask is None:
        return hidden.mean(dim=1)
    shares = mask.to(hidden.dtype)
    return torch.einsum("itw,it->iw", hidden, shares) / shares.sum(dim=1, keepdim=True)


def _mean_of_segments(outputs: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Return the mean of the outputs of each unit's items; `slots` are those of `EncodedBatch`."""
    is_there = slots >= 0
    sums = outputs[slots.clamp(min=0)].masked_fill(~is_there[..., None], 0.0).sum(dim=1)
    return sums / is_there.sum(dim=1, keepdim=True)


def _votes(shares: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of each class's share of the votes of a unit's items, from their log-probabilities.

    The mean of their probabilities counts as one more vote: it decides between equal numbers, and leaves no share
    of 0.  A single item has its own probabilities.
    """
    votes = functional.one_hot(shares.argmax(dim=-1), shares.shape[-1]).to(shares.dtype)
    counts = (slots >= 0).sum(dim=1, keepdim=True)
    counted = counts * _mean_of_segments(votes, slots)
    mean = _mean_of_segments(shares.exp(), slots)
    found = torch.where(counts > 1, (counted + mean) / (counts + 1), mean)
    return found.clamp(min=torch.finfo(shares.dtype).tiny).log()
