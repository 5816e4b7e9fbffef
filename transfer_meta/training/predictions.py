"""Predictions on a split and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_meta.encoding.batching import Batcher, EncodedBatch
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
from transfer_meta.training.text_metrics import text_scores

BATCH_TOKENS = {"cpu": 4_096, "cuda": 65_536}
"""Padded tokens per batch: few enough for the cache of a CPU, enough to use all of a GPU."""


def predict_split(encoder: Encoder, head: Head, batcher: Batcher) -> tuple[float, list[NDArray[Any]]]:
    """Return the mean loss over a split's targets, and the prediction for each unit in order."""
    total, weight = torch.zeros((), device=batcher.device), 0

    def read(outputs: torch.Tensor, batch: EncodedBatch) -> torch.Tensor:
        nonlocal total, weight
        total += head.loss(outputs, batch)
        weight += batch.weight
        return head.predict(outputs)

    found = predict_units(encoder, head, batcher, read)
    return float(total) / weight, found


def predict_units(
    encoder: Encoder,
    head: Head,
    batcher: Batcher,
    read: Callable[[torch.Tensor, EncodedBatch], torch.Tensor],
) -> list[NDArray[Any]]:
    """Return what `read` makes of the head's outputs for each unit, in order: a row of its result each."""
    found = []
    batches = batcher.by_length(BATCH_TOKENS.get(batcher.device.type, BATCH_TOKENS["cpu"]))
    with torch.inference_mode():
        for units in batches:
            batch = batcher.batch(units)
            hidden, pooled = encoder.on_batch(batch)
            found.append(read(head(hidden, batch, pooled), batch))
    # First transfer to the host: nothing before waits for the device.
    rows = [row for part in found for row in part.cpu().numpy()]
    order = np.argsort(np.concatenate(batches))
    return [rows[i] for i in order]


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
    gold: list[Any] = [example.label for example in examples]
    predicted: Sequence[Any]
    if type is TaskType.CLASSIFICATION:
        predicted = [labels[int(p)] for p in predictions]
    elif type is TaskType.TOKEN_CLASSIFICATION:
        rows = word_predictions(examples, encoded, predictions)
        predicted = [["O" if p is None else labels[int(p)] for p in words] for words in rows]
    elif type is TaskType.QUESTION_ANSWERING:
        may_be_empty = any(not answers(example) for example in examples)
        predicted = [found.text for found in best_answers(examples, encoded, predictions, may_be_empty)]
    else:
        predicted = predictions
    return score_predicted(type, gold, predicted, labels)


def score_predicted(
    type: TaskType, gold: Sequence[Any], predicted: Sequence[Any], labels: Sequence[str]
) -> dict[str, float]:
    """Return all metrics of predictions.

    Parameters
    ----------
    type : TaskType
    gold : sequence
        Labels of the examples.
    predicted : sequence
        For each of them the class, number, tags, text, or index of the choice.
    labels : sequence of str
        Classes or tags that the model knows.
    """
    if type is TaskType.CLASSIFICATION:
        return classification_scores([str(label) for label in gold], list(predicted))
    if type is TaskType.REGRESSION:
        return regression_scores(gold, np.array(predicted))
    if type is TaskType.MULTIPLE_CHOICE:
        return choice_scores(gold, np.array(predicted))
    if type is TaskType.TOKEN_CLASSIFICATION:
        return tagging_scores(gold, predicted, entities=are_entity_tags(labels))
    if type is TaskType.GENERATION:
        return text_scores(gold, predicted)
    return answer_scores([[answer.text for answer in label or ()] for label in gold], predicted)


def word_predictions(
    examples: Sequence[Example], encoded: Encoded, predictions: Sequence[NDArray[Any]]
) -> list[list[Any]]:
    """Return the prediction for the first token of each word; None for words that were truncated."""
    found: list[list[Any]] = [[None] * len(example.tokens) for example in examples]
    for sentence, (begin, end) in enumerate(
        zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ):
        words = encoded.spans[begin:end, 0]
        for place in np.flatnonzero(words >= 0):
            found[sentence][words[place]] = predictions[sentence][place]
    return found


class FoundAnswer(NamedTuple):
    """An answer's text, its first character in the context (-1: no answer), and the window that it is from."""

    text: str
    start: int
    window: int


def best_answers(
    examples: Sequence[Example],
    encoded: Encoded,
    predictions: Sequence[NDArray[Any]],
    may_be_empty: bool,
) -> list[FoundAnswer]:
    """Return the best span over each context's windows.

    With `may_be_empty` there is no answer where "no answer" scores higher.
    """
    best = [-np.inf] * len(examples)
    none = [np.inf] * len(examples)
    found = [FoundAnswer("", -1, -1)] * len(examples)
    for window, (value, first, last, no_answer) in enumerate(row[:4] for row in predictions):
        number = encoded.examples[window]
        none[number] = min(none[number], no_answer)
        if value > best[number]:
            best[number] = value
            places = encoded.spans[encoded.offsets[window] : encoded.offsets[window + 1]]
            begin, end = max(places[int(first), 0], 0), max(places[int(last), 1], 0)
            text = (examples[number].text_pair or "")[begin:end]
            found[number] = FoundAnswer(text, int(begin) if text else -1, window)
    if may_be_empty:
        return [
            f if b > n else FoundAnswer("", -1, f.window)
            for f, b, n in zip(found, best, none, strict=True)
        ]
    return found
