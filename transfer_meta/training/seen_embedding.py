"""Training only those rows of a token table that can change at all."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class SeenEmbedding(nn.Module):
    """A token table of which the rows of `seen` tokens are trained and the others rest.

    The gradient of a token's row is zero at every step that its token is not part of, and AdamW without
    weight decay leaves a row alone that never had another gradient.  A run that meets 3,000 of 30,000
    tokens therefore gets exactly the weights it would get from the whole table, while gradients, norms and
    optimizer moments of the rest are neither kept nor computed: in a small encoder most of them are.

    Parameters
    ----------
    full
        The table; its weight is written to when the module leaves training mode.
    seen
        Ids of the tokens of the training examples, distinct.
    """

    row_of: torch.Tensor
    seen: torch.Tensor

    def __init__(self, full: nn.Embedding, seen: torch.Tensor) -> None:
        super().__init__()
        self.full = full.requires_grad_(False)
        self.weight = nn.Parameter(full.weight.detach()[seen].clone())
        row_of = torch.zeros(full.num_embeddings, dtype=torch.long, device=seen.device)
        row_of[seen] = torch.arange(len(seen), device=seen.device)
        self.register_buffer("row_of", row_of, persistent=False)
        self.register_buffer("seen", seen, persistent=False)
        padding = full.padding_idx
        self.padding = int(row_of[padding]) if padding is not None and padding in seen else None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors of tokens; in training mode all of them must be among the seen."""
        if not self.training:
            return self.full(ids)
        return functional.embedding(self.row_of[ids], self.weight, padding_idx=self.padding)

    def train(self, mode: bool = True) -> SeenEmbedding:
        """Switch mode; leaving training mode writes the trained rows into the whole table."""
        if self.training and not mode:
            self.write_back()
        return super().train(mode)

    @torch.no_grad()
    def write_back(self) -> None:
        """Put the trained rows into the whole table."""
        self.full.weight[self.seen] = self.weight


def compact(model: nn.Module, seen: torch.Tensor) -> SeenEmbedding | None:
    """Put a `SeenEmbedding` in the place of a model's token table.

    Returns None, and leaves the model alone, where its table is not a plain one.
    """
    table = model.get_input_embeddings()  # type: ignore[operator]
    if type(table) is not nn.Embedding or table.max_norm is not None or table.scale_grad_by_freq:
        return None
    small = SeenEmbedding(table, seen)
    model.set_input_embeddings(small)  # type: ignore[operator]
    return small


def restore(model: nn.Module, small: SeenEmbedding) -> None:
    """Undo `compact`: the model has its whole table again, with the trained rows in it."""
    small.write_back()
    model.set_input_embeddings(small.full)  # type: ignore[operator]
