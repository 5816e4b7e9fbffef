"""Predictions on a split and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.heads import Head
from transfer_meta.encoding.tokens import Encoded
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.label_kinds import answers, are_entity_tags
from transfer_meta.training.task_metrics import (
    answer_scores,
    choice_scores,
    classification_scores,
    regression_scores,
    tagging_scores,
)

BATCH_TOKENS = {"cpu": 4_096, "cuda": 65_536}
"""Padded tokens per batch: few enough for the cache of a CPU, enough to use all of a GPU."""


def predict_split(encoder: Encoder, head: Head, batcher: Batcher) -> tuple[float, list[NDArray[Any]]]:
    """Return the mean loss over a split's targets, and the prediction for each unit in order."""
    found, total, weight = [], torch.zeros((), device=batcher.device), 0
    batches = batcher.by_length(BATCH_TOKENS.get(batcher.device.type, BATCH_TOKENS["cpu"]))
    with torch.inference_mode():
        for units in batches:
            batch = batcher.batch(units)
            outputs = head(encoder.vectors(batch.ids, batch.types, batch.mask), batch)
            total += head.loss(outputs, batch)
            weight += batch.weight
            found.append(head.predict(outputs))
    # First transfer to the host: nothing before waits for the device.
    rows = [row for predicted in found for row in predicted.cpu().numpy()]
    order = np.argsort(np.concatenate(batches))
    return float(total) / weight, [rows[i] for i in order]


def score(
    type: TaskType,
    examples: Sequence[Example],
    encoded: Encoded,
    predictions: Sequence[NDArray[Any]],
    labels: Sequence[str],
) -> dict[str, float]:
    """Return all metrics of a split.

    Parameters
    ----------
    type : TaskType
    examples : sequence of Example
    encoded : Encoded
        The tokenised examples.
    predictions : sequence of array
        Predictions of `predict_split`.
    labels : sequence of str
        Class names in the order of the model's outputs.
    """
    if type is TaskType.CLASSIFICATION:
        gold = [str(example.label) for example in examples]
        return classification_scores(gold, [labels[int(p)] for p in predictions])
    if type is TaskType.REGRESSION:
        return regression_scores([example.label for example in examples], np.array(predictions))
    if type is TaskType.MULTIPLE_CHOICE:
        return choice_scores([example.label for example in examples], np.array(predictions))
    if type is TaskType.TOKEN_CLASSIFICATION:
        tags: list[Any] = [example.label for example in examples]
        predicted = _tags(examples, encoded, predictions, labels)
        return tagging_scores(tags, predicted, entities=are_entity_tags(labels))
    gold_texts = [[answer.text for answer in answers(example)] for example in examples]
    return answer_scores(gold_texts, _answers(examples, encoded, predictions))


def _tags(
    examples: Sequence[Example],
    encoded: Encoded,
    predictions: Sequence[NDArray[Any]],
    labels: Sequence[str],
) -> list[list[str]]:
    """Return a tag for every word; truncated words get the tag O."""
    tags = [["O"] * len(example.tokens) for example in examples]
    for sentence, (begin, end) in enumerate(
        zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ):
        words = encoded.spans[begin:end, 0]
        for place in np.flatnonzero(words >= 0):
            tags[sentence][words[place]] = labels[int(predictions[sentence][place])]
    return tags


def _answers(
    examples: Sequence[Example], encoded: Encoded, predictions: Sequence[NDArray[Any]]
) -> list[str]:
    """Return the text of the best span over each context's windows.

    If the data have unanswerable questions, the text is empty where "no answer" scores higher.
    """
    may_be_empty = any(not answers(example) for example in examples)
    best = [-np.inf] * len(examples)
    none = [np.inf] * len(examples)
    texts = [""] * len(examples)
    for window, (value, first, last, no_answer) in enumerate(predictions):
        number = encoded.examples[window]
        none[number] = min(none[number], no_answer)
        if value > best[number]:
            best[number] = value
            places = encoded.spans[encoded.offsets[window] : encoded.offsets[window + 1]]
            begin, end = places[int(first), 0], places[int(last), 1]
            texts[number] = (examples[number].text_pair or "")[max(begin, 0) : max(end, 0)]
    if may_be_empty:
        return [t if b > n else "" for t, b, n in zip(texts, best, none, strict=True)]
    return texts
