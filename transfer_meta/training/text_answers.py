"""Answers of a language model to examples as text: likelihoods of choices, and texts that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from transfer_meta.encoding.answer_likelihood import choice_likelihoods, write_answers
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.text_batching import TextBatch
from transfer_meta.encoding.text_tokens import EncodedTexts, TextTokenizer
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.predictions import BATCH_TOKENS


class AnswerHead(nn.Module):
    """The cross-entropy of the answers' tokens, in the place of a head: the model has its own output layer."""

    def forward(
        self, logits: torch.Tensor, batch: TextBatch, pooled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return float32 logits of shape (targets, vocabulary)."""
        return logits.float()

    def loss(self, outputs: torch.Tensor, batch: TextBatch) -> torch.Tensor:
        """Return the cross-entropy in nats, summed over targets."""
        return functional.cross_entropy(outputs, batch.target, reduction="sum")


class TextAnswer(NamedTuple):
    """The answer to one `TextExample`.

    Parameters
    ----------
    answer : int or str
        Index of the likeliest choice, or the text that was written.
    shares : array of shape (choices,), or (1,) for a text
        Probability of each choice among them; of a text the geometric mean of the probabilities of its tokens.
    """

    answer: int | str
    shares: NDArray[np.float64]


def answer_examples(
    model: LanguageModel,
    templates: TextTemplates,
    examples: Sequence[Example],
    *,
    max_length: int,
    answer_tokens: int,
) -> list[list[TextAnswer]]:
    """Return the answers of a model to each example, one for each `TextExample` that it is made into.

    Parameters
    ----------
    model : LanguageModel
        In evaluation mode.
    templates : TextTemplates
    examples : sequence of Example
        Their labels are not read.
    max_length, answer_tokens : int
        See `TextTokenizer`.
    """
    bare = [example._replace(label=None) for example in examples]
    tokenizer = TextTokenizer(model, max_length)
    units = [templates.as_text(example) for example in bare]
    encoded = tokenizer(units, answer_tokens=answer_tokens)
    has_choices = bool(encoded.choices) and bool(encoded.choices[0])
    if has_choices:
        found = choice_likelihoods(
            model, encoded.prompts, encoded.choices, most_tokens=tokens_at_once(model)
        )
        answers = [_chosen(values) for values in compared(templates.type, encoded, found)]
    else:
        answers = _written(model, tokenizer, encoded, answer_tokens)
    owned = zip(encoded.examples.tolist(), answers, strict=True)
    return [[one for _, one in own] for _, own in groupby(owned, key=lambda pair: pair[0])]


def compared(
    type: TaskType, encoded: EncodedTexts, likelihoods: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Return the values by which the choices of each unit are compared: the highest one is the answer.

    They are log-likelihoods; in multiple choice, where texts of all lengths are compared, their means over the
    tokens.  There may be more likelihoods than choices.
    """
    found = []
    for own, choices in zip(likelihoods, encoded.choices, strict=True):
        values = own[: len(choices)]
        if type is TaskType.MULTIPLE_CHOICE:
            values = values / np.array([len(choice) for choice in choices])
        found.append(values)
    return found


def tokens_at_once(model: LanguageModel) -> int:
    """Return the maximum number of padded tokens of an evaluated batch."""
    return BATCH_TOKENS.get(model.device.type, BATCH_TOKENS["cpu"])


def _chosen(values: NDArray[np.float64]) -> TextAnswer:
    shares = np.exp(values - values.max())
    return TextAnswer(int(values.argmax()), shares / shares.sum())


def _written(
    model: LanguageModel, tokenizer: TextTokenizer, encoded: EncodedTexts, answer_tokens: int
) -> list[TextAnswer]:
    """Return the text that is written after each prompt, with its probability."""
    most = tokens_at_once(model)
    rows = write_answers(model, encoded.prompts, answer_tokens=answer_tokens, most_tokens=most)
    ids = []
    for row in rows:
        ends = np.flatnonzero(row == model.end)
        ids.append((row[: ends[0] + 1] if len(ends) else row).astype(np.int32))
    found = choice_likelihoods(model, encoded.prompts, [(own,) for own in ids], most_tokens=most)
    return [
        TextAnswer(tokenizer.text(own), np.exp(value / len(own)))
        for own, value in zip(ids, found, strict=True)
    ]
