"""Curricula: the units of each training batch in an order by difficulty, as `Curriculum` says.

A batch depends on its number, the seed and the dev losses so far, all of which the state of a stopped run holds:
a run that is resumed goes on with the same batches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings
from transfer_meta.encoding.heads import build_head
from transfer_meta.encoding.likelihood import log_likelihood
from transfer_meta.encoding.taskemb import fit_linear, standardised
from transfer_meta.errors import RunFailed
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.label_kinds import answers
from transfer_meta.tasks.subsets import generator
from transfer_meta.training.method_settings import (
    BY_LABELS,
    BY_LENGTH,
    COMBINED,
    NAIVE,
    TYPES_WITH_COUNTED_LABELS,
    Curriculum,
)

if TYPE_CHECKING:
    from transfer_meta.training.task_data import Split

MAX_FITTED = 2000
"""Units that a head is fitted to for the difficulty ``loss``."""


class BatchOrder:
    """Units of the training batches of one task in one run.

    Parameters
    ----------
    curriculum : Curriculum
    batcher : Batcher
        The training split.
    difficulty : array of shape (units,)
        Among equals the shorter ones are the easier ones.
    trains : bool array of shape (steps,)
        The steps of the run that train on the task.
    dev_losses : callable
        Returns step and loss of the evaluations on the target's dev split so far.
    batch_size : int
    key : tuple of (str or int)
        Seeds the order.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        batcher: Batcher,
        difficulty: NDArray[np.float64],
        *,
        trains: NDArray[np.bool_],
        dev_losses: Callable[[], Sequence[tuple[int, float]]],
        batch_size: int,
        key: tuple[str | int, ...],
    ) -> None:
        order = np.lexsort((batcher.lengths, difficulty))
        self.levels = np.array_split(order, min(curriculum.levels, len(order)))
        self._order = curriculum.order
        self._batcher, self._batch_size, self._key = batcher, batch_size, key
        self._dev_losses = dev_losses
        self._batches_before = np.concatenate([[0], np.cumsum(trains)])
        batches = int(self._batches_before[-1])
        self._every = 2 if self._order == COMBINED else 1
        self._naive_batches = -(-batches // self._every)
        self._drawn = generator(*key, "levels").integers(len(self.levels), size=batches)
        self._epochs: dict[tuple[str, int], tuple[int, list[NDArray[np.int64]]]] = {}

    def units(self, number: int) -> NDArray[np.int64]:
        """Return the units of a batch, counted from 0."""
        turn, is_mixed = divmod(number, self._every)
        if self._order == NAIVE or (self._order == COMBINED and not is_mixed):
            starts = self.starts()
            level = bisect_right(starts, turn) - 1
            units = np.concatenate(self.levels[: level + 1])
            return self._batch("up to", level, units, turn - starts[level])
        level = int(self._drawn[turn])
        earlier = int((self._drawn[:turn] == level).sum())
        return self._batch("of", level, self.levels[level], earlier)

    def starts(self) -> list[int]:
        """Return the number of the first naive batch with the examples of each level."""
        found, lowest = [0], np.inf
        for step, loss in self._dev_losses():
            batches = -(-int(self._batches_before[step]) // self._every)
            while len(found) < len(self.levels) and self._latest(len(found)) <= batches:
                found.append(self._latest(len(found)))
            if loss < lowest:
                lowest = loss
            elif found[-1] < batches and len(found) < len(self.levels):
                found.append(batches)
        return found + [self._latest(level) for level in range(len(found), len(self.levels))]

    def _latest(self, level: int) -> int:
        """Return the naive batch from which a level takes part whatever the dev losses are."""
        return level * self._naive_batches // len(self.levels)

    def _batch(self, kind: str, level: int, units: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        """Return a batch of passes over some units, counted from 0."""
        epoch, index = divmod(number, -(-len(units) // self._batch_size))
        known = self._epochs.get((kind, level))
        if known is None or known[0] != epoch:
            order = generator(*self._key, kind, level, epoch)
            known = epoch, self._batcher.epoch(self._batch_size, order, units=units)
            self._epochs[kind, level] = known
        return known[1][index]


def difficulties(
    curriculum: Curriculum,
    type: TaskType,
    split: Split,
    encoder: Encoder,
    labels: Sequence[str],
    *,
    key: tuple[str | int, ...],
) -> NDArray[np.float64]:
    """Return the difficulty of each unit of a training split, as `Curriculum.difficulty` says.

    Parameters
    ----------
    curriculum : Curriculum
    type : TaskType
    split : Split
    encoder : Encoder
        For the difficulty ``loss`` the run's, before it is trained; for ``run-loss`` an earlier run's.
    labels : sequence of str
        Classes or tags.
    key : tuple of (str or int)
        Seeds the examples that a head is fitted to.

    Raises
    ------
    RunFailed
        The difficulty ``labels`` for a type without tags, answers or choices.
    """
    encoded = split.encoded
    is_choice = type is TaskType.MULTIPLE_CHOICE
    owner = np.arange(len(split.examples)) if is_choice else encoded.examples.astype(np.int64)
    of_example: NDArray[np.float64]
    if curriculum.difficulty == BY_LENGTH:
        of_example = np.bincount(encoded.examples, weights=encoded.lengths).astype(float)
    elif curriculum.difficulty == BY_LABELS:
        of_example = _by_labels(type, split.examples)
    else:
        return _losses(type, split, encoder, labels, owner=owner, key=key)
    return of_example[owner]


def _by_labels(type: TaskType, examples: Sequence[Example]) -> NDArray[np.float64]:
    """Return the number of different tags, answers or choices."""
    if type not in TYPES_WITH_COUNTED_LABELS:
        # By the rarity of their classes, the first level has one class: measured, models do not recover from it.
        raise RunFailed(f"difficulty 'labels' with a {type} task (expected length or loss)")
    if type is TaskType.MULTIPLE_CHOICE:
        return np.array([len(example.choices) for example in examples], dtype=float)
    if type is TaskType.QUESTION_ANSWERING:
        return np.array([len({a.text for a in answers(e)}) for e in examples], dtype=float)
    return np.array([len(set(example.label)) for example in examples], dtype=float)  # type: ignore[arg-type]


def _losses(
    type: TaskType,
    split: Split,
    encoder: Encoder,
    labels: Sequence[str],
    *,
    owner: NDArray[np.int64],
    key: tuple[str | int, ...],
) -> NDArray[np.float64]:
    """Return each unit's mean loss per target under a linear head fitted to the other half of the examples."""
    batcher = split.batcher
    batches = batcher.by_length(EncodingSettings().max_tokens)
    found = np.zeros(len(batcher))
    encoder.model.eval()
    for half in (0, 1):
        others = np.flatnonzero(owner % 2 != half)
        if not len(others) or len(others) == len(owner):
            break
        if len(others) > MAX_FITTED:
            others = generator(*key, "fitted", half).choice(others, MAX_FITTED, replace=False)
        outputs = max(len(labels), 1)
        head = build_head(type, encoder.width, labels=outputs, targets=split.encoded.target)
        head = head.to(batcher.device).eval()
        fit_linear(encoder, head, batcher, _among(batches, others), steps=FisherSettings().head_steps)
        with torch.no_grad():
            for units in _among(batches, np.flatnonzero(owner % 2 == half)):
                batch = batcher.batch(units)
                outputs_of = head(encoder.vectors(batch.ids, batch.types, batch.mask), batch)
                likelihood = log_likelihood(type, outputs_of, standardised(head, batch.target))
                targets = np.array([batcher.weight(units[i : i + 1]) for i in range(len(units))])
                found[units] = -likelihood.double().cpu().numpy() / targets
    return found


def _among(batches: Sequence[NDArray[np.int64]], units: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the batches without the units that are not among some."""
    kept = [batch[np.isin(batch, units)] for batch in batches]
    return [batch for batch in kept if len(batch)]
