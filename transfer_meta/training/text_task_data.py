"""The data of one task in one run of a language model: its examples as text, and scores of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from transfer_meta.encoding.answer_likelihood import choice_likelihoods, write_answers
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.text_batching import TextBatch, TextBatcher
from transfer_meta.encoding.text_tokens import EncodedTexts, TextTokenizer
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.method_settings import Curriculum
from transfer_meta.training.predictions import BATCH_TOKENS, score_predicted
from transfer_meta.training.task_data import Selection, Split, TaskData
from transfer_meta.training.text_metrics import text_scores
from transfer_meta.training.training_settings import TrainingSettings


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


@dataclass(frozen=True)
class TextSplit(Split):
    """Examples, their tokens as prompts and answers, and their batches."""

    encoded: EncodedTexts  # type: ignore[assignment]
    batcher: TextBatcher


class TextTaskData(TaskData):
    """The splits of one task as text for a language model.

    The units of a batch are texts: one an example, in token classification one a token.

    Parameters
    ----------
    selection : Selection
    model : LanguageModel
    training : TrainingSettings
    templates : TextTemplates
    seed : int
        Determines, together with the task's name, the order of batches.
    curriculum : Curriculum or None
        See `TaskData`.
    """

    def __init__(
        self,
        selection: Selection,
        model: LanguageModel,
        training: TrainingSettings,
        *,
        templates: TextTemplates,
        seed: int,
        curriculum: Curriculum | None = None,
    ) -> None:
        self.name, self.type, self.labels = selection.name, selection.type, selection.labels
        self.templates = templates
        self._tokenise = TextTokenizer(model, training.max_length)
        train = self._split(model, selection.train, None)
        assert train is not None
        # Freely written answers may be as long as those that were trained on.
        self.answer_tokens = train.encoded.longest_answer
        self.train = train
        self.dev = self._split(model, selection.dev, self.answer_tokens)
        self.test = self._split(model, selection.test, self.answer_tokens)
        self.head: Any = AnswerHead()
        self._prepare_order(model, seed=seed, curriculum=curriculum)

    def measure(self, encoder: Encoder, split: Split) -> tuple[float, dict[str, float]]:
        """Return the mean loss over the answers' tokens and all scores of a split.

        Classes, tags and numbers are those of the highest likelihood.  In multiple choice, where texts of all
        lengths are compared, it is that of the highest mean over its tokens.
        """
        assert isinstance(encoder, LanguageModel)
        assert isinstance(split, TextSplit)
        written: list[int | str]
        if split.encoded.choices[0]:
            loss, written = self._choose(encoder, split)
        else:
            loss, written = _mean_loss(encoder, self.head, split.batcher), self._write(encoder, split)
        owned = zip(split.encoded.examples.tolist(), written, strict=True)
        labels = [
            self.templates.label_of([answer for _, answer in own])
            for _, own in groupby(owned, key=lambda pair: pair[0])
        ]
        return loss, _scores(self.type, split.examples, labels, self.labels)

    def _split(
        self, model: LanguageModel, examples: Sequence[Example], answer_tokens: int | None
    ) -> TextSplit | None:
        if not examples:
            return None
        units = [self.templates.as_text(example) for example in examples]
        encoded = self._tokenise(units, answer_tokens=answer_tokens)
        return TextSplit(tuple(examples), encoded, TextBatcher(model, self.type, encoded))

    def _choose(self, model: LanguageModel, split: TextSplit) -> tuple[float, list[int | str]]:
        """Return the mean loss over the right answers' tokens, and the likeliest choice of each text."""
        encoded = split.encoded
        # An answer that is not among the choices takes part in the loss.
        among = [
            choices if right >= 0 else (*choices, answer)
            for choices, right, answer in zip(
                encoded.choices, encoded.right, encoded.answers, strict=True
            )
        ]
        found = choice_likelihoods(model, encoded.prompts, among, most_tokens=_tokens_at_once(model))
        loss = -sum(float(own[right]) for own, right in zip(found, encoded.right, strict=True))
        chosen: list[int | str] = []
        for own, choices in zip(found, encoded.choices, strict=True):
            values = own[: len(choices)]
            if self.type is TaskType.MULTIPLE_CHOICE:
                values = values / np.array([len(choice) for choice in choices])
            chosen.append(int(values.argmax()))
        return loss / sum(map(len, encoded.answers)), chosen

    def _write(self, model: LanguageModel, split: TextSplit) -> list[int | str]:
        """Return the answer to each prompt."""
        ids = write_answers(
            model,
            split.encoded.prompts,
            answer_tokens=self.answer_tokens,
            most_tokens=_tokens_at_once(model),
        )
        return [self._tokenise.text(answer) for answer in ids]


def _mean_loss(model: LanguageModel, head: AnswerHead, batcher: TextBatcher) -> float:
    """Return the mean cross-entropy of the answers' tokens of a split."""
    total, weight = torch.zeros((), device=batcher.device), 0
    with torch.inference_mode():
        for units in batcher.by_length(_tokens_at_once(model)):
            batch = batcher.batch(units)
            logits, _ = model.on_batch(batch)
            total += head.loss(head(logits, batch), batch)
            weight += batch.weight
    return float(total) / weight


def _tokens_at_once(model: LanguageModel) -> int:
    return BATCH_TOKENS.get(model.device.type, BATCH_TOKENS["cpu"])


def _scores(
    type: TaskType, examples: Sequence[Example], predicted: Sequence[Any], labels: Sequence[str]
) -> dict[str, float]:
    """Return all metrics of predicted labels or texts."""
    gold: list[Any] = [example.label for example in examples]
    if type is TaskType.GENERATION:
        return text_scores(gold, predicted)
    return score_predicted(type, gold, predicted, labels)
