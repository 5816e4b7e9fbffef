"""Embedding tables of which only the rows of occurring tokens are trained."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from transfer_meta.encoding.encoder_parts import token_table


class SeenEmbedding(nn.Module):
    """A token table in which only the rows of `seen` tokens are trained.

    The gradient of a row is zero unless its token occurs, and AdamW without weight decay does not change
    a row that never had a gradient.  The trained weights therefore equal those of training the whole
    table, while gradients, norms and optimizer moments are computed for the seen rows only, which in small
    encoders saves most of the memory.

    Parameters
    ----------
    full : Embedding
        Updated when the module leaves training mode.
    seen : int tensor of shape (seen tokens,)
        Distinct ids of the tokens of the training examples.
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
        """Return token vectors; in training mode all tokens must be among `seen`."""
        if not self.training:
            return self.full(ids)
        return functional.embedding(self.row_of[ids], self.weight, padding_idx=self.padding)

    def train(self, mode: bool = True) -> SeenEmbedding:
        """Switch mode; leaving training mode copies the trained rows into the whole table."""
        if self.training and not mode:
            self.write_back()
        return super().train(mode)

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the trained rows into the whole table."""
        self.full.weight[self.seen] = self.weight


def compact(model: nn.Module, seen: torch.Tensor) -> SeenEmbedding | None:
    """Replace a model's token table by a `SeenEmbedding`; None if the table is not a plain embedding."""
    table = token_table(model)
    if type(table) is not nn.Embedding or table.max_norm is not None or table.scale_grad_by_freq:
        return None
    small = SeenEmbedding(table, seen)
    model.set_input_embeddings(small)  # type: ignore[operator]
    return small


def restore(model: nn.Module, small: SeenEmbedding) -> None:
    """Undo `compact`: give the model its whole table with the trained rows."""
    small.write_back()
    model.set_input_embeddings(small.full)  # type: ignore[operator]
