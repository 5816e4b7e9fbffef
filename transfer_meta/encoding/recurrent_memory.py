"""Recurrent memory: learned vectors that carry what an encoder read of one segment of a text to the next."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from transfer_meta.encoding.encoder_parts import token_table
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.encoding.batching import EncodedBatch
    from transfer_meta.encoding.encoder import Encoder


@dataclass(frozen=True)
class MemorySteps:
    """The order in which an encoder reads the segments of a batch, and the memory that it begins with.

    Parameters
    ----------
    memory : Embedding
        The learned vectors.
    steps : tuple of (int tensor, int tensor)
        For each step the units that have a segment left, and the item of that segment.
    mask : bool tensor of shape (units, memory vectors + tokens)
        True at the memory and the tokens of each unit's last segment.
    """

    memory: nn.Embedding
    steps: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    mask: torch.Tensor


def check_takes_memory(encoder: Encoder) -> None:
    """Raise an InputError if vectors cannot be put before the tokens of an encoder's input."""
    if "inputs_embeds" not in inspect.signature(encoder.model.forward).parameters:
        raise InputError("long_inputs = 'memory' needs a transformer that takes inputs_embeds")
    width = token_table(encoder.model).weight.shape[1]
    if width != encoder.width:
        raise InputError(
            f"long_inputs = 'memory' needs an encoder whose token table is as wide as its outputs (got {width} and "
            f"{encoder.width})"
        )


def read_with_memory(encoder: Encoder, batch: EncodedBatch) -> torch.Tensor:
    """Return the vectors of each unit's last segment, the memory before it, by a recurrent memory transformer [1]_.

    The memory stands before the token embeddings of a segment; its outputs are the memory of the next segment.
    Gradients flow back through all segments.

    Parameters
    ----------
    encoder : Encoder
    batch : EncodedBatch
        With `EncodedBatch.memory`.

    Returns
    -------
    tensor of shape (units, memory vectors + tokens, width)

    References
    ----------
    .. [1] Bulatov, Kuratov & Burtsev (2022). Recurrent Memory Transformer. NeurIPS.
    """
    found = batch.memory
    assert found is not None
    table = token_table(encoder.model)
    size, units = found.memory.num_embeddings, len(found.mask)
    memory = found.memory.weight[None].expand(units, -1, -1)
    outputs = memory.new_zeros(units, found.mask.shape[1], encoder.width)
    for rows, items in found.steps:
        kinds = nn.functional.pad(batch.types[items], (size, 0))
        mask = None
        if batch.mask is not None:
            mask = nn.functional.pad(batch.mask[items], (size, 0), value=True)
        embedded = torch.cat([memory[rows], table(batch.ids[items])], dim=1)
        read = encoder.outputs(embedded, kinds, mask)[0].to(outputs.dtype)
        outputs = outputs.index_copy(0, rows, read)
        memory = memory.index_copy(0, rows, read[:, :size])
    return outputs
