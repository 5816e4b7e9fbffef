"""Reading examples with an encoder that is not trained: vectors of texts, and vectors with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher, EncodedBatch
from transfer_meta.encoding.encoders import Encoder
from transfer_meta.encoding.heads import pool
from transfer_meta.encoding.onednn import fast_linear
from transfer_meta.encoding.tokens import IGNORED, Encoded, encode
from transfer_meta.records import Example, Label, TaskType
from transfer_meta.tasks.task import Task


@dataclass(frozen=True)
class Reading:
    """How examples are read.

    Parameters
    ----------
    max_length
        Tokens an input; longer ones are cut, long contexts of questions read in windows.
    max_tokens
        Padded tokens a pass: the bound on memory, which does not depend on the number of examples.
    """

    max_length: int = 128
    max_tokens: int = 4096


@dataclass(frozen=True)
class LabelledVectors:
    """Frozen features with their labels.

    Parameters
    ----------
    vectors : float32 array of shape (n, width)
    labels : array of shape (n,)
        Names of classes, or numbers where `regression`.
    regression : bool
    """

    vectors: NDArray[np.float32]
    labels: NDArray[Any]
    regression: bool = False


def run_encoder(encoder: Encoder, batch: EncodedBatch) -> torch.Tensor:
    """Token vectors of the last layer, (items, tokens, width)."""
    with fast_linear(batch.ids.device):
        return encoder.vectors(batch.ids, batch.types, batch.mask)


def encode_examples(
    encoder: Encoder,
    type: TaskType,
    examples: Sequence[Example],
    reading: Reading,
    labels: Sequence[str] = (),
) -> tuple[Encoded, Batcher]:
    """Token ids and batches of examples."""
    encoded = encode(
        type,
        examples,
        encoder.tokenizer,
        labels=labels,
        max_length=min(reading.max_length, encoder.max_length),
        stride=reading.max_length // 4,
    )
    return encoded, _batcher(encoder, type, encoded)


def text_vectors(encoder: Encoder, task: Task, reading: Reading) -> NDArray[np.float32]:
    """The mean of each training example's last-layer token vectors, (examples, width); needs no labels.

    An example of several inputs (windows of a context, choices) is the mean of theirs.
    """
    means, owner = _item_means(encoder, task, reading)
    sums = np.zeros((owner[-1] + 1, means.shape[1]))
    np.add.at(sums, owner, means)
    return (sums / np.bincount(owner)[:, None]).astype(np.float32)


def labelled_vectors(encoder: Encoder, task: Task, reading: Reading) -> LabelledVectors:
    """Frozen features of the training split with their labels, for every task type.

    Classification and regression: the mean vector of an example and its label.  Tags: the vector of
    every word's first token.  Multiple choice: the mean vector of every choice, ``right`` or ``wrong``.
     Question answering: the vectors of an answer's tokens, ``answer``, and of as many other tokens of
     its window,
    evenly spread, ``other``.
    """
    examples = list(task.examples())
    if task.type in (TaskType.CLASSIFICATION, TaskType.REGRESSION):
        labels = np.array([example.label for example in examples])
        vectors = text_vectors(encoder, task, reading)
        return LabelledVectors(vectors, labels, regression=task.type is TaskType.REGRESSION)
    if task.type is TaskType.MULTIPLE_CHOICE:
        right = np.concatenate([np.arange(len(e.choices)) == e.label for e in examples])
        return LabelledVectors(
            _item_means(encoder, task, reading)[0], np.where(right, "right", "wrong")
        )
    names = task.labels()
    _, batcher = encode_examples(encoder, task.type, examples, reading, names)
    vectors_of, classes_of = [], []
    encoder.model.eval()
    with torch.inference_mode():
        for units in batcher.by_length(reading.max_tokens):
            batch = batcher.batch(units)
            tagging = task.type is TaskType.TOKEN_CLASSIFICATION
            classes = batch.target if tagging else _answer_or_other(batch)
            chosen = classes != IGNORED
            vectors_of.append(run_encoder(encoder, batch)[chosen].float().cpu().numpy())
            classes_of.append(classes[chosen].cpu().numpy())
    if task.type is TaskType.QUESTION_ANSWERING:
        names = ("other", "answer")
    return LabelledVectors(np.concatenate(vectors_of), np.array(names)[np.concatenate(classes_of)])


def _item_means(
    encoder: Encoder, task: Task, reading: Reading
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The mean token vector of every item, (items, width), and the example that it belongs to."""
    examples = list(task.examples())
    # Whatever the labels are, the text is the same; questions and choices need one of their kind.
    type: TaskType = TaskType.CLASSIFICATION
    blank: Label = None
    if task.type is TaskType.MULTIPLE_CHOICE:
        type, blank = task.type, 0
    elif task.type is TaskType.QUESTION_ANSWERING:
        type, blank = task.type, ()
    encoded, _ = encode_examples(encoder, type, [e._replace(label=blank) for e in examples], reading)
    items = replace(encoded, target=np.zeros(len(encoded.lengths), dtype=np.int32))
    batcher = _batcher(encoder, TaskType.CLASSIFICATION, items)
    means = np.empty((len(batcher), encoder.width), dtype=np.float32)
    encoder.model.eval()
    with torch.inference_mode():
        for units in batcher.by_length(reading.max_tokens):
            batch = batcher.batch(units)
            means[units] = pool(run_encoder(encoder, batch), batch.mask).float().cpu().numpy()
    return means, encoded.examples


def _answer_or_other(batch: EncodedBatch) -> torch.Tensor:
    """Per token 1 within the answer, 0 for as many tokens outside it, `IGNORED` elsewhere."""
    classes = torch.full_like(batch.ids, IGNORED)
    width = batch.ids.shape[1]
    lengths = [width] * len(batch.ids) if batch.mask is None else batch.mask.sum(1).tolist()
    for row, (begin, end) in enumerate(batch.target.tolist()):
        if (begin, end) == (0, 0):
            continue
        outside = [i for i in range(1, lengths[row]) if not begin <= i <= end]
        spread = np.linspace(0, len(outside) - 1, min(end - begin + 1, len(outside))).astype(int)
        classes[row, [outside[i] for i in spread]] = 0
        classes[row, begin : end + 1] = 1
    return classes


def _batcher(encoder: Encoder, type: TaskType, encoded: Encoded) -> Batcher:
    device = next(encoder.model.parameters()).device
    return Batcher(type, encoded, pad=encoder.tokenizer.pad_token_id or 0, device=device)
