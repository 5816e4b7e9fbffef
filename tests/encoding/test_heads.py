from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from toys import toy_examples, toy_task

from transfer_meta.encoding.batching import Batcher, EncodedBatch
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.frozen_features import labelled_vectors, text_vectors
from transfer_meta.encoding.heads import LONGEST_ANSWER, Head, SpanHead, build_head, pool
from transfer_meta.encoding.taskemb import fit_head
from transfer_meta.encoding.tokens import IGNORED, encode
from transfer_meta.errors import InputError
from transfer_meta.records import TYPES_WITH_HEADS, TaskType

TOKENIZER = load_encoder("random:1x8").tokenizer
LABELS = ("B-K", "I-K", "O", "no", "yes")
WIDTH = 6


def make(type: TaskType) -> tuple[Head, EncodedBatch, torch.Tensor]:
    examples = toy_examples(type, 5, 0)
    encoded = encode(type, examples, TOKENIZER, labels=LABELS, max_length=64, stride=8)
    batch = Batcher(type, encoded, pad=0, device=torch.device("cpu")).batch(np.arange(5))
    torch.manual_seed(0)
    head = build_head(type, WIDTH, labels=len(LABELS), targets=np.array([1.0, 5.0])).eval()
    return head, batch, torch.randn(*batch.ids.shape, WIDTH)


def log_softmax(values: np.ndarray) -> np.ndarray:
    return values - np.log(np.exp(values).sum())


def linear(head: Head, vectors: torch.Tensor) -> np.ndarray:
    return (vectors @ head.linear.weight.T + head.linear.bias).detach().numpy()


def test_pooling_ignores_padding() -> None:
    hidden = torch.randn(2, 3, WIDTH)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.stack([hidden[0, :2].mean(0), hidden[1].mean(0)])
    torch.testing.assert_close(pool(hidden, mask), expected)
    torch.testing.assert_close(pool(hidden, None), hidden.mean(1))


def test_classification_loss_is_the_summed_cross_entropy() -> None:
    head, batch, hidden = make(TaskType.CLASSIFICATION)
    outputs = head(hidden, batch)
    logits = linear(head, pool(hidden, batch.mask))
    expected = -sum(log_softmax(row)[t] for row, t in zip(logits, batch.target, strict=True))
    assert head.loss(outputs, batch).item() == pytest.approx(expected, rel=1e-5)
    assert head.predict(outputs).tolist() == logits.argmax(1).tolist()


def test_regression_is_on_the_labels_scale() -> None:
    head, batch, hidden = make(TaskType.REGRESSION)
    outputs = head(hidden, batch)
    value = linear(head, pool(hidden, batch.mask))[:, 0]
    expected = np.sum((value - (batch.target.numpy() - 3) / 2) ** 2)
    assert head.loss(outputs, batch).item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(head.predict(outputs).detach(), value * 2 + 3, rtol=1e-5)


def test_tagging_counts_first_tokens_alone() -> None:
    head, batch, hidden = make(TaskType.TOKEN_CLASSIFICATION)
    logits = linear(head, hidden)
    expected = -sum(
        log_softmax(logits[i, t])[batch.target[i, t]]
        for i, t in zip(*np.nonzero(batch.target.numpy() != IGNORED), strict=True)
    )
    assert head.loss(head(hidden, batch), batch).item() == pytest.approx(expected, rel=1e-5)


def test_choices_compete_within_their_example_alone() -> None:
    head, batch, hidden = make(TaskType.MULTIPLE_CHOICE)
    values = linear(head, pool(hidden, batch.mask))[:, 0]
    outputs = head(hidden, batch)
    expected, begin = 0.0, 0
    assert batch.slots is not None
    for row, target in zip(batch.slots, batch.target, strict=True):
        count = int((row >= 0).sum())
        own = values[begin : begin + count]
        expected -= log_softmax(own)[target]
        assert head.predict(outputs)[len(outputs) - len(batch.slots) :].shape == (5,)
        begin += count
    assert head.loss(outputs, batch).item() == pytest.approx(expected, rel=1e-5)
    best = [int(values[row[row >= 0]].argmax()) for row in batch.slots.numpy()]
    assert head.predict(outputs).tolist() == best


def test_the_best_span_is_that_of_a_full_search() -> None:
    head, batch, hidden = make(TaskType.QUESTION_ANSWERING)
    assert isinstance(head, SpanHead)
    assert batch.context is not None
    begin, end = (v.detach().numpy() for v in head(hidden, batch).unbind(2))
    for row, (value, first, last, none) in enumerate(head.predict(head(hidden, batch)).tolist()):
        inside = [t for t in range(1, batch.ids.shape[1]) if batch.context[row, t]]
        spans = {
            (b, e): begin[row, b] + end[row, e]
            for b in inside
            for e in inside
            if b <= e < b + LONGEST_ANSWER
        }
        assert (first, last) == max(spans, key=spans.__getitem__)
        assert value == pytest.approx(max(spans.values()))
        assert none == pytest.approx(begin[row, 0] + end[row, 0])


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_losses_of_parts_add_up(type: TaskType) -> None:
    examples = toy_examples(type, 6, 0)
    encoded = encode(type, examples, TOKENIZER, labels=LABELS, max_length=64, stride=8)
    batcher = Batcher(type, encoded, pad=0, device=torch.device("cpu"))
    encoder = load_encoder("random:1x8")
    encoder.model.eval()
    head = build_head(type, 8, labels=len(LABELS), targets=np.array([-1.0, 1.0])).eval()

    def loss(units: np.ndarray) -> float:
        batch = batcher.batch(units)
        with torch.no_grad():
            return head.loss(
                head(encoder.vectors(batch.ids, batch.types, batch.mask), batch), batch
            ).item()

    whole = loss(np.arange(len(batcher)))
    parts = [loss(part) for part in np.array_split(np.arange(len(batcher)), 4)]
    assert whole == pytest.approx(sum(parts), rel=1e-5)


@pytest.mark.parametrize("make", ["head", "tokens", "vectors", "taskemb"])
def test_a_task_of_texts_to_write_is_refused(make: str) -> None:
    task = toy_task(TaskType.GENERATION, train=4)
    encoder = load_encoder("random:1x8")
    calls: dict[str, Callable[[], object]] = {
        "head": lambda: build_head(task.type, 8, labels=2, targets=np.zeros(2)),
        "tokens": lambda: encode(
            task.type, list(task.examples()), TOKENIZER, labels=(), max_length=16, stride=8
        ),
        "vectors": lambda: labelled_vectors(encoder, task, EncodingSettings()),
        "taskemb": lambda: fit_head(encoder, task, EncodingSettings(), steps=1),
    }
    with pytest.raises(InputError, match="which an encoder with a head does not write"):
        calls[make]()


def test_vectors_of_texts_need_no_head() -> None:
    task = toy_task(TaskType.GENERATION, train=4)
    assert text_vectors(load_encoder("random:1x8"), task, EncodingSettings()).shape == (4, 8)
