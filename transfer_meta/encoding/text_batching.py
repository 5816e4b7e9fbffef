"""Batches of prompts with their answers for a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher, EncodedBatch
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.text_tokens import EncodedTexts, Ids
from transfer_meta.records import TaskType

PACKED_TYPES = ("gpt2", "gpt_neox", "llama", "mistral", "phi", "qwen2", "qwen3")
"""Types of decoders that take positions and masks as they are given; each is tested."""
MOST_ROWS_KEPT = 0.8
"""Pack where at most this share of the rows is left: a mask is slower than none, and sorted batches pad little."""


@dataclass(frozen=True, kw_only=True)
class TextBatch(EncodedBatch):
    """One batch of prompts and answers; `target` are the ids of the answers' tokens, of shape (targets,).

    Parameters
    ----------
    places : int tensor of shape (targets,)
        Index of the output that predicts each target, among those of all items one after another.
    answers : int tensor of shape (items, tokens) or None
        Input of the decoder of an encoder-decoder.
    positions : int tensor of shape (items, tokens) or None
        Places of tokens in their texts; None: those in the item.
    """

    places: torch.Tensor
    answers: torch.Tensor | None = None
    positions: torch.Tensor | None = None


class TextBatcher(Batcher):
    """A split as text for one language model, and batches of its units, padded on the right.

    Only the answers' tokens are targets.  A decoder reads padding after everything that has a target, so that it
    needs no mask.  Where lengths differ much, several texts share a row, see `can_pack`.

    Parameters
    ----------
    model : LanguageModel
    type : TaskType
    encoded : EncodedTexts
    packs : bool
        Whether several texts may share a row.
    """

    def __init__(
        self, model: LanguageModel, type: TaskType, encoded: EncodedTexts, *, packs: bool = True
    ) -> None:
        self.type, self.device = type, model.device
        self._model, self._encoded = model, encoded
        # Without a mask, GPT-2 warns of padding tokens: another one does as well behind an answer.
        self._packs = packs and not model.is_encoder_decoder and can_pack(model)
        self.pad = model.padding if model.is_encoder_decoder else int(model.padding == 0)
        self.lengths = self._widths = encoded.lengths
        self._first = np.arange(len(encoded.prompts) + 1)
        self._weights = np.array([len(answer) for answer in encoded.answers], dtype=np.int64)

    def batch(self, units: NDArray[np.int64]) -> TextBatch:
        """Return the batch of some units."""
        prompts = [self._encoded.prompts[unit] for unit in units]
        answers = [self._encoded.answers[unit] for unit in units]
        counts, device = self._weights[units], self.device
        mask = decoder_ids = positions = None
        if self._model.is_encoder_decoder:
            ids, is_token = padded(prompts, self.pad)
            mask = None if is_token.all() else on_device(is_token, device)
            inputs, _ = padded(shifted(answers, self._model.begin), self.pad)
            decoder_ids = on_device(inputs, device)
            begins = np.arange(len(units)) * inputs.shape[1]
        else:
            # The last token of an answer predicts nothing.
            both = [np.concatenate([p, a[:-1]]) for p, a in zip(prompts, answers, strict=True)]
            rows = packed_rows([len(item) for item in both]) if self._packs else []
            if 0 < len(rows) <= MOST_ROWS_KEPT * len(both):
                ids, begins, mask, positions = _in_rows(both, rows, filler=self.pad, device=device)
            else:
                ids, _ = padded(both, self.pad)
                begins = np.arange(len(units)) * ids.shape[1]
            begins = begins + [len(prompt) - 1 for prompt in prompts]
        return TextBatch(
            ids=on_device(ids, device),
            types=torch.zeros(0, dtype=torch.long, device=device),
            mask=mask,
            target=on_device(np.concatenate(answers), device),
            context=None,
            slots=None,
            tokens=int(self.lengths[units].sum()),
            weight=self.weight(units),
            places=on_device(runs(begins, counts), device),
            answers=decoder_ids,
            positions=positions,
        )


def can_pack(model: LanguageModel) -> bool:
    """Return whether several texts can share a row of a model without reading each other.

    Its positions and its mask then have to be those given; architectures that derive one of them by themselves, or
    whose layers attend to a window, are left out.
    """
    config: Any = model.model.config
    layers = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    has_windows = bool(window) if layers is None else "sliding_attention" in layers
    is_sdpa = getattr(config, "_attn_implementation", None) == "sdpa"
    return config.model_type in PACKED_TYPES and is_sdpa and not has_windows


def packed_rows(lengths: Sequence[int]) -> list[list[int]]:
    """Return the items of each row, rows being as wide as the longest item: first-fit decreasing.

    Examples
    --------
    >>> packed_rows([3, 9, 5, 4])
    [[1], [2, 3], [0]]
    """
    width = max(lengths)
    rows: list[list[int]] = []
    room: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        row = next((row for row, left in enumerate(room) if left >= lengths[item]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(item)
        room[row] -= lengths[item]
    return rows


def _in_rows(
    items: Sequence[Ids], rows: Sequence[Sequence[int]], *, filler: int, device: torch.device
) -> tuple[NDArray[np.int64], NDArray[np.int64], torch.Tensor, torch.Tensor]:
    """Return items packed into rows: ids, the place of each item, the mask of attention, and positions."""
    ids, _ = padded([np.concatenate([items[i] for i in row]) for row in rows], filler)
    width = ids.shape[1]
    begins = np.zeros(len(items), dtype=np.int64)
    places = np.zeros(ids.shape, dtype=np.int64)
    owners = np.full(ids.shape, -1, dtype=np.int64)
    for number, row in enumerate(rows):
        at = 0
        for item in row:
            end = at + len(items[item])
            begins[item] = number * width + at
            places[number, at:end] = np.arange(end - at)
            owners[number, at:end] = item
            at = end
    of = on_device(owners, device)[:, None]
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    return ids, begins, (of[..., None] == of[..., None, :]) & causal, on_device(places, device)


def padded(
    items: Sequence[Ids], filler: int, *, left: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return items as rows of one width, padded on one side, and 1 at tokens, 0 at padding."""
    lengths = np.array([len(item) for item in items])
    width = int(lengths.max())
    places = np.arange(width)
    begin = (width - lengths if left else 0 * lengths)[:, None]
    is_token = (places >= begin) & (places < begin + lengths[:, None])
    ids = np.full(is_token.shape, filler, dtype=np.int64)
    ids[is_token] = np.concatenate(items)
    return ids, is_token.astype(np.int64)


def shifted(answers: Sequence[Ids], begin: int) -> list[Ids]:
    """Return what a decoder reads to predict answers: one token that begins, then theirs but the last."""
    first = np.array([begin], dtype=np.int32)
    return [np.concatenate([first, answer[:-1]]) for answer in answers]


def runs(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return as many numbers in a row from each begin.

    Examples
    --------
    >>> runs(np.array([3, 10]), np.array([2, 3])).tolist()
    [3, 4, 10, 11, 12]
    """
    before = np.cumsum(counts) - counts
    found: NDArray[np.int64] = np.repeat(begins - before, counts) + np.arange(counts.sum())
    return found


def on_device(array: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Copy integers to a device as int64."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)).to(device, non_blocking=True)
