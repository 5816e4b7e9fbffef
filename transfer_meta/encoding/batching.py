"""Batches of items of similar length, put together on the device that uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.tokens import IGNORED, Encoded
from transfer_meta.records import TaskType

# Batches that are sorted by length together: enough to leave hardly any padding, few enough that a
# batch remains a random draw of the examples of its length.
BUCKET_BATCHES = 50


@dataclass(frozen=True)
class EncodedBatch:
    """Items as the model reads them; all tensors on its device.

    Parameters
    ----------
    ids, types : tensor of shape (items, tokens)
        Token ids and which text of a pair each belongs to, padded to the longest item.
    mask : bool tensor of shape (items, tokens) or None
        True at tokens; None where nothing is padded.
    target : tensor
        As in `Encoded`: of shape (units,), (items, tokens) or (items, 2).
    context : bool tensor of shape (items, tokens) or None
        Question answering: True where an answer can begin or end, and at the first token ("none").
    slots : int tensor of shape (units, choices) or None
        Multiple choice: the item of each unit's choice, -1 where a unit has fewer.
    tokens, weight : int
        Tokens without padding, and the number of targets that the loss is a mean over.
    """

    ids: torch.Tensor
    types: torch.Tensor
    mask: torch.Tensor | None
    target: torch.Tensor
    context: torch.Tensor | None
    slots: torch.Tensor | None
    tokens: int
    weight: int


class Batcher:
    """The items of one split on one device, and batches of them by *unit*.

    A unit is what a batch counts: an item, or all choices of one multiple-choice example.

    Parameters
    ----------
    type
        Task type.
    encoded
        The split.
    pad
        Id of the padding token.
    device
        Where the batches go; the whole split is kept there.
    """

    def __init__(self, type: TaskType, encoded: Encoded, *, pad: int, device: torch.device) -> None:
        self.type, self.pad, self.device = type, pad, device
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
        if type is TaskType.MULTIPLE_CHOICE:
            counts = np.bincount(encoded.examples, minlength=len(encoded.target))
        else:
            counts = np.ones(len(self._lengths), dtype=np.int64)
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self.lengths = np.maximum.reduceat(self._lengths, self._first[:-1])
        if type is TaskType.TOKEN_CLASSIFICATION:
            self._weights = np.add.reduceat(encoded.target != IGNORED, encoded.offsets[:-1])
        else:
            self._weights = np.ones(len(self), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._first) - 1

    def weight(self, units: NDArray[np.int64]) -> int:
        """Targets of these units: what the mean of their loss is taken over."""
        return max(int(self._weights[units].sum()), 1)

    def batch(self, units: NDArray[np.int64]) -> EncodedBatch:
        """The batch of these units, padded to the longest of them."""
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
        return EncodedBatch(
            ids=padded(self._ids, self.pad).long(),
            types=padded(self._types, 0).long(),
            mask=mask,
            target=target if target.is_floating_point() else target.long(),
            context=None if self._context is None else padded(self._context, False),
            slots=_on(self.device, _slots(counts)) if self.type is TaskType.MULTIPLE_CHOICE else None,
            tokens=int(lengths.sum()),
            weight=self.weight(units),
        )

    def epoch(self, batch_size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
        """The units of each batch of one pass, in random order, alike in length within a batch."""
        order = generator.permutation(len(self))
        bucket = BUCKET_BATCHES * batch_size
        batches = []
        for begin in range(0, len(order), bucket):
            units = order[begin : begin + bucket]
            units = units[np.argsort(self.lengths[units], kind="stable")]
            batches += [units[i : i + batch_size] for i in range(0, len(units), batch_size)]
        return [batches[i] for i in generator.permutation(len(batches))]

    def by_length(self, tokens: int) -> list[NDArray[np.int64]]:
        """All units, longest first, in batches of about so many padded tokens: for evaluation."""
        order = np.argsort(-self.lengths, kind="stable")
        widths = np.maximum.accumulate(self.lengths[order] * np.diff(self._first)[order])
        batches, begin = [], 0
        while begin < len(order):
            size = max(1, tokens // int(widths[begin]))
            batches.append(order[begin : begin + size])
            begin += size
        return batches


def _slots(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Items of each unit as the rows of a table, -1 at the end of shorter rows."""
    table = np.arange(counts.max())[None, :] + (np.cumsum(counts) - counts)[:, None]
    return np.where(np.arange(counts.max())[None, :] < counts[:, None], table, -1)


def _on(device: torch.device, array: NDArray) -> torch.Tensor:
    """An array as a tensor on a device, without waiting for the copy."""
    # A memory-mapped array is read-only, which torch does not know: copy it.
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(device, non_blocking=True)
