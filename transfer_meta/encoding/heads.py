"""What sits on the encoder for a task: outputs from token vectors, and their loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from transfer_meta.encoding.batching import EncodedBatch
from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.records import TaskType

HEAD_DROPOUT = 0.1
LONGEST_ANSWER = 30  # tokens
NEVER = -1e4  # a logit, not infinite: a window may have no context left


class Head(nn.Module):
    """Dropout and one linear layer.

    Parameters
    ----------
    width
        Size of a token's vector.
    outputs
        Numbers that come out for an item, or for a token of it where `per_token`.
    """

    per_token = False

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        self.linear = nn.Linear(width, outputs)

    def forward(self, hidden: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Outputs in float32 from token vectors of shape (items, tokens, width)."""
        vectors = hidden if self.per_token else pool(hidden, batch.mask)
        return self.linear(self.dropout(vectors)).float()

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Loss summed over the batch's targets; divided by `batch.weight` it is their mean."""
        raise NotImplementedError

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """What the outputs say, one row a unit."""
        raise NotImplementedError


class ClassificationHead(Head):
    """One logit a class for a text or a pair."""

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Cross-entropy in nats."""
        return functional.cross_entropy(outputs, batch.target, reduction="sum", ignore_index=IGNORED)

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Index of the highest logit."""
        return outputs.argmax(dim=1)


class RegressionHead(Head):
    """One number a text or pair, in units of the training labels' standard deviation."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, width: int, *, mean: float, deviation: float) -> None:
        super().__init__(width, 1)
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation if deviation > 0 else 1.0))

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Squared error of the standardised label."""
        return (outputs.squeeze(1) - (batch.target - self.mean) / self.deviation).square().sum()

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """The number on the labels' own scale."""
        return outputs.squeeze(1) * self.deviation + self.mean


class TaggingHead(Head):
    """One logit a tag at every token; a word's tag is that of its first token."""

    per_token = True

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Cross-entropy in nats."""
        return functional.cross_entropy(
            outputs.flatten(0, 1), batch.target.flatten(), reduction="sum", ignore_index=IGNORED
        )

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Index of the highest logit at each token."""
        return outputs.argmax(dim=2)


class SpanHead(Head):
    """Logits of the answer's first and last token; the mean of their two cross-entropies.

    The answer lies in the context or, where there is none, at the item's first token.
    """

    per_token = True

    def __init__(self, width: int) -> None:
        super().__init__(width, 2)

    def forward(self, hidden: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Outputs of shape (items, tokens, 2), very low where no answer can begin or end."""
        assert batch.context is not None
        return super().forward(hidden, batch).masked_fill(~batch.context[..., None], NEVER)

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Cross-entropy in nats."""
        return functional.cross_entropy(outputs, batch.target, reduction="sum") / 2

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Score, first and last token of each item's best span, and the score of no answer."""
        begin, end = outputs.unbind(dim=2)
        width = outputs.shape[1]
        allowed = torch.ones(width, width, dtype=torch.bool, device=outputs.device).triu()
        allowed &= ~allowed.triu(LONGEST_ANSWER)
        allowed[0] = False
        scores = (begin[:, :, None] + end[:, None, :]).masked_fill(~allowed, 2 * NEVER)
        best, place = scores.flatten(1).max(dim=1)
        none = begin[:, 0] + end[:, 0]
        return torch.stack([best, place // width, place % width, none], dim=1)


class ChoiceHead(Head):
    """One logit a choice, compared among the choices of an example."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)

    def forward(self, hidden: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Outputs of shape (units, choices)."""
        scores = super().forward(hidden, batch).squeeze(1)
        assert batch.slots is not None
        return scores[batch.slots.clamp(min=0)].masked_fill(batch.slots < 0, -torch.inf)

    def loss(self, outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        """Cross-entropy in nats."""
        return functional.cross_entropy(outputs, batch.target, reduction="sum")

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Index of the highest logit."""
        return outputs.argmax(dim=1)


def build_head(type: TaskType, width: int, *, labels: int, mean: float, deviation: float) -> Head:
    """The head of a task type; `mean` and `deviation` are those of regression's training labels."""
    if type is TaskType.CLASSIFICATION:
        return ClassificationHead(width, labels)
    if type is TaskType.TOKEN_CLASSIFICATION:
        return TaggingHead(width, labels)
    if type is TaskType.REGRESSION:
        return RegressionHead(width, mean=mean, deviation=deviation)
    return SpanHead(width) if type is TaskType.QUESTION_ANSWERING else ChoiceHead(width)


def pool(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean of an item's token vectors: it suits every encoder, with or without a first special token."""
    if mask is None:
        return hidden.mean(dim=1)
    shares = mask.to(hidden.dtype)
    return torch.einsum("itw,it->iw", hidden, shares) / shares.sum(dim=1, keepdim=True)
