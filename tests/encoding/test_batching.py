from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import toy_examples

from transfer_meta.encoding.batching import Batcher
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.tokens import IGNORED, Encoded, encode
from transfer_meta.records import TYPES_WITH_HEADS, TaskType
from transfer_meta.tasks.subsets import generator

TOKENIZER = load_encoder("random:1x8").tokenizer
PAD = 77
LABELS = ("B-K", "I-K", "O", "no", "yes")


def make(type: TaskType, count: int = 23) -> tuple[Encoded, Batcher]:
    encoded = encode(
        type, toy_examples(type, count, 0), TOKENIZER, labels=LABELS, max_length=48, stride=8
    )
    return encoded, Batcher(type, encoded, pad=PAD, device=torch.device("cpu"))


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_a_batch_holds_its_items_and_nothing_but_padding_beside_them(type: TaskType) -> None:
    encoded, batcher = make(type)
    units = np.array([3, 0, 5])
    batch = batcher.batch(units)
    items = [i for u in units for i in np.flatnonzero(encoded.examples == u)]
    if type is not TaskType.MULTIPLE_CHOICE:
        items = list(units)
    for row, number in enumerate(items):
        part = slice(encoded.offsets[number], encoded.offsets[number + 1])
        length = part.stop - part.start
        assert batch.ids[row, :length].tolist() == encoded.ids[part].tolist()
        assert batch.types[row, :length].tolist() == encoded.types[part].tolist()
        assert (batch.ids[row, length:] == PAD).all()
        if batch.mask is not None:
            assert batch.mask[row].sum() == length
        if type is TaskType.TOKEN_CLASSIFICATION:
            assert batch.target[row, :length].tolist() == encoded.target[part].tolist()
            assert (batch.target[row, length:] == IGNORED).all()
    assert batch.ids.shape[1] == max(encoded.lengths[items])
    assert batch.tokens == sum(encoded.lengths[items])


def test_no_mask_where_nothing_is_padded() -> None:
    encoded, batcher = make(TaskType.CLASSIFICATION, 60)
    common = np.bincount(encoded.lengths).argmax()
    batch = batcher.batch(np.flatnonzero(encoded.lengths == common))
    assert batch.mask is None
    assert batch.ids.shape[1] == common


def test_the_weight_is_the_number_of_targets() -> None:
    _, batcher = make(TaskType.TOKEN_CLASSIFICATION)
    units = np.array([1, 4])
    batch = batcher.batch(units)
    assert batch.weight == int((batch.target != IGNORED).sum()) == batcher.weight(units)
    assert make(TaskType.CLASSIFICATION)[1].weight(units) == 2


def test_slots_point_at_each_examples_choices() -> None:
    encoded, batcher = make(TaskType.MULTIPLE_CHOICE)
    units = np.array([2, 7, 1])
    batch = batcher.batch(units)
    assert batch.slots is not None
    counts = np.bincount(encoded.examples)[units]
    assert (batch.slots >= 0).sum(dim=1).tolist() == counts.tolist()
    assert batch.slots[batch.slots >= 0].tolist() == list(range(counts.sum()))


@pytest.mark.parametrize("type", [TaskType.CLASSIFICATION, TaskType.MULTIPLE_CHOICE])
def test_an_epoch_has_every_unit_once_and_little_padding(type: TaskType) -> None:
    _, batcher = make(type, 200)
    batches = batcher.epoch(16, generator("x"))
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert [len(b) for b in batches].count(16) == 200 // 16
    spread = [np.ptp(batcher.lengths[b]) for b in batches]
    assert np.mean(spread) < np.ptp(batcher.lengths) / 4
    # Neither shortest first nor longest first.
    means = [batcher.lengths[b].mean() for b in batches]
    assert means != sorted(means)
    again = batcher.epoch(16, generator("x"))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_evaluation_batches_have_every_unit_once_within_their_size(type: TaskType) -> None:
    _, batcher = make(type, 50)
    batches = batcher.by_length(300)
    assert sorted(np.concatenate(batches)) == list(range(len(batcher)))
    for units in batches:
        assert batcher.batch(units).ids.numel() <= 300 or len(units) == 1


def test_answers_may_begin_in_the_context_or_at_the_first_token() -> None:
    encoded, batcher = make(TaskType.QUESTION_ANSWERING)
    batch = batcher.batch(np.array([0, 1]))
    assert batch.context is not None
    for row in range(2):
        part = slice(encoded.offsets[row], encoded.offsets[row + 1])
        expected = encoded.spans[part, 0] >= 0
        expected[0] = True
        found = batch.context[row].numpy()
        assert np.array_equal(found[: len(expected)], expected)
        assert not found[len(expected) :].any()
