"""Batches of items of similar length, assembled on the device that uses them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import MEMORY, MEMORY_VECTORS, EncodingSettings
from transfer_meta.encoding.recurrent_memory import MemorySteps
from transfer_meta.encoding.tokens import IGNORED, Encoded, encode, encode_cached
from transfer_meta.records import Example, TaskType

BUCKET_BATCHES = 50
"""Number of batches sorted by length together: large for little padding, small for random batches."""
_WITH_SEGMENTS = (TaskType.CLASSIFICATION, TaskType.REGRESSION)


@dataclass(frozen=True)
class EncodedBatch:
    """One batch of model inputs and targets on one device.

    Parameters
    ----------
    ids, types : tensor of shape (items, tokens)
        Token ids and the text of a pair that each belongs to, padded to the longest item.
    mask : bool tensor of shape (items, tokens) or None
        True at tokens; None if nothing is padded.
    target : tensor
        As in `Encoded`: of shape (units,), (items, tokens) or (items, 2).
    context : bool tensor of shape (items, tokens) or None
        Question answering: True where an answer can start or end, and at the first token ("no answer").
    slots : int tensor of shape (units, choices or segments) or None
        Multiple choice: the item of each choice, -1 where a unit has fewer choices.  Long texts in segments: the
        item of each segment, None if each text has one.
    tokens, weight : int
        Number of tokens without padding, and number of targets that the mean loss divides by.
    memory : MemorySteps or None
        Long texts with a recurrent memory: in which order the items are read.
    """

    ids: torch.Tensor
    types: torch.Tensor
    mask: torch.Tensor | None
    target: torch.Tensor
    context: torch.Tensor | None
    slots: torch.Tensor | None
    tokens: int
    weight: int
    memory: MemorySteps | None = field(default=None, kw_only=True)


class Batcher:
    """A tokenised split on one device, and batches of its *units*.

    A unit is an item or, for multiple choice and long texts in segments, all items of one example.

    Parameters
    ----------
    type : TaskType
    encoded : Encoded
    pad : int
        Id of the padding token.
    device : torch.device
        Holds the whole split and its batches.
    memory : Embedding, optional
        The memory that the segments of a text are read with, see `MemorySteps`.
    """

    def __init__(
        self,
        type: TaskType,
        encoded: Encoded,
        *,
        pad: int,
        device: torch.device,
        memory: nn.Embedding | None = None,
    ) -> None:
        self.type, self.pad, self.device, self.memory = type, pad, device, memory
        self._ids = _on(device, encoded.ids)
        self._types = _on(device, encoded.types)
        self._target = _on(device, encoded.target)
        self._context: torch.Tensor | None = None
        if type is TaskType.QUESTION_ANSWERING:
            context = encoded.spans[:, 0] >= 0
            context[encoded.offsets[:-1]] = True
            self._context = _on(device, context)
        self._starts = encoded.offsets[:-1]
        self._lengths = encoded.lengths
        self._has_segments = type in _WITH_SEGMENTS and len(encoded.target) < len(self._lengths)
        if type is TaskType.MULTIPLE_CHOICE or self._has_segments:
            counts = np.bincount(encoded.examples, minlength=len(encoded.target))
        else:
            counts = np.ones(len(self._lengths), dtype=np.int64)
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._widths = np.maximum.reduceat(self._lengths, self._first[:-1])
        # Of segments the sum, so that a batch has texts of similar numbers of segments.
        self.lengths = self._widths
        if self._has_segments:
            self.lengths = np.add.reduceat(self._lengths, self._first[:-1])
        if type is TaskType.TOKEN_CLASSIFICATION:
            self._weights = np.add.reduceat(encoded.target != IGNORED, encoded.offsets[:-1])
        else:
            self._weights = np.ones(len(self), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._first) - 1

    def weight(self, units: NDArray[np.int64]) -> int:
        """Return the number of targets of some units, at least 1."""
        return max(int(self._weights[units].sum()), 1)

    def batch(self, units: NDArray[np.int64]) -> EncodedBatch:
        """Return the batch of some units, padded to the longest item."""
        first, last = self._first[units], self._first[units + 1]
        counts = last - first
        items = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        lengths, width = self._lengths[items], int(self._lengths[items].max())
        places = torch.arange(width, device=self.device)
        index = _on(self.device, self._starts[items])[:, None] + places
        mask = None
        if lengths.min() < width:
            mask = places < _on(self.device, lengths)[:, None]
            index = index.where(mask, 0)

        def padded(flat: torch.Tensor, filler: int) -> torch.Tensor:
            return flat[index] if mask is None else flat[index].where(mask, filler)

        if self.type is TaskType.TOKEN_CLASSIFICATION:
            target = padded(self._target, IGNORED)
        else:
            target = self._target[_on(self.device, units)]
        has_slots = self.type is TaskType.MULTIPLE_CHOICE
        if self._has_segments and self.memory is None:
            has_slots = counts.max() > 1
        return EncodedBatch(
            ids=padded(self._ids, self.pad).long(),
            types=padded(self._types, 0).long(),
            mask=mask,
            target=target if target.is_floating_point() else target.long(),
            context=None if self._context is None else padded(self._context, False),
            slots=_on(self.device, _slots(counts)) if has_slots else None,
            tokens=int(lengths.sum()),
            weight=self.weight(units),
            memory=None if self.memory is None else self._steps(self.memory, counts, mask, width),
        )

    def _steps(
        self,
        memory: nn.Embedding,
        counts: NDArray[np.int64],
        mask: torch.Tensor | None,
        width: int,
    ) -> MemorySteps:
        """Return the order in which a batch's items are read, given the number of them of each unit."""
        first = np.cumsum(counts) - counts
        left = [np.flatnonzero(counts > step) for step in range(int(counts.max()))]
        steps = [
            (_on(self.device, u), _on(self.device, first[u] + step)) for step, u in enumerate(left)
        ]
        size = memory.num_embeddings
        if mask is None:
            mask = torch.ones(len(counts), width, dtype=torch.bool, device=self.device)
        else:
            mask = mask[_on(self.device, first + counts - 1)]
        return MemorySteps(memory, tuple(steps), functional.pad(mask, (size, 0), value=True))

    def epoch(
        self,
        batch_size: int,
        generator: np.random.Generator,
        *,
        units: NDArray[np.int64] | None = None,
    ) -> list[NDArray[np.int64]]:
        """Return the units of each batch of one epoch: random order, similar lengths within a batch.

        `units` are those to take; None for all.
        """
        order = generator.permutation(len(self) if units is None else units)
        bucket = BUCKET_BATCHES * batch_size
        batches = []
        for begin in range(0, len(order), bucket):
            part = order[begin : begin + bucket]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        return [batches[i] for i in generator.permutation(len(batches))]

    def by_length(self, tokens: int) -> list[NDArray[np.int64]]:
        """Return batches of all units, longest first, with at most `tokens` padded tokens for evaluation."""
        order = np.argsort(-self.lengths, kind="stable")
        widths = np.maximum.accumulate(self._widths[order] * np.diff(self._first)[order])
        batches, begin = [], 0
        while begin < len(order):
            size = max(1, tokens // int(widths[begin]))
            batches.append(order[begin : begin + size])
            begin += size
        return batches


def encode_examples(
    encoder: Encoder,
    type: TaskType,
    examples: Sequence[Example],
    settings: EncodingSettings,
    labels: Sequence[str] = (),
    *,
    cache: Path | None = None,
) -> tuple[Encoded, Batcher]:
    """Tokenise examples, or read them from the folder `cache`, and return them with their batches."""
    tokenise = encode if cache is None else functools.partial(encode_cached, cache=cache)
    has_memory = settings.long_inputs == MEMORY
    room = encoder.max_length - (MEMORY_VECTORS if has_memory else 0)
    encoded = tokenise(
        type,
        examples,
        encoder.tokenizer,
        labels=labels,
        max_length=min(settings.max_length, room),
        stride=0 if has_memory else settings.window_stride,
        long_inputs=settings.long_inputs,
    )
    return encoded, batcher_for(encoder, type, encoded)


def batcher_for(encoder: Encoder, type: TaskType, encoded: Encoded) -> Batcher:
    """Return batches on an encoder's device."""
    return Batcher(type, encoded, pad=encoder.tokenizer.pad_token_id or 0, device=encoder.device)


def _slots(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the items of each unit as rows, padded with -1."""
    table = np.arange(counts.max())[None, :] + (np.cumsum(counts) - counts)[:, None]
    return np.where(np.arange(counts.max())[None, :] < counts[:, None], table, -1)


def _on(device: torch.device, array: NDArray) -> torch.Tensor:
    """Copy an array to a device asynchronously."""
    # Copy first: memory-mapped arrays are read-only, which torch does not support.
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(device, non_blocking=True)
