"""The data of one task in one run of a language model: its examples as text, and scores of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from transfer_meta.encoding.answer_likelihood import choice_likelihoods, write_answers
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.language_model import LanguageModel
from transfer_meta.encoding.text_batching import TextBatcher
from transfer_meta.encoding.text_tokens import EncodedTexts, TextTokenizer
from transfer_meta.records import Example
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.method_settings import Curriculum
from transfer_meta.training.predictions import score_predicted
from transfer_meta.training.task_data import Selection, Split, TaskData
from transfer_meta.training.text_answers import AnswerHead, compared, tokens_at_once
from transfer_meta.training.training_settings import TrainingSettings


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

        Classes, tags, numbers and choices are those with the highest value of `compared`.
        """
        assert isinstance(encoder, LanguageModel)
        assert isinstance(split, TextSplit)
        written: list[int | str]
        # Keys and values grow with every token: a compiled model would be compiled again and again.
        with torch.compiler.set_stance("force_eager"):
            if split.encoded.choices[0]:
                loss, written = self._choose(encoder, split)
            else:
                loss = _mean_loss(encoder, self.head, split.batcher)
                written = self._write(encoder, split)
        owned = zip(split.encoded.examples.tolist(), written, strict=True)
        labels = [
            self.templates.label_of([answer for _, answer in own])
            for _, own in groupby(owned, key=lambda pair: pair[0])
        ]
        gold = [example.label for example in split.examples]
        return loss, score_predicted(self.type, gold, labels, self.labels)

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
        found = choice_likelihoods(model, encoded.prompts, among, most_tokens=tokens_at_once(model))
        loss = -sum(float(own[right]) for own, right in zip(found, encoded.right, strict=True))
        chosen: list[int | str] = [int(v.argmax()) for v in compared(self.type, encoded, found)]
        return loss / sum(map(len, encoded.answers)), chosen

    def _write(self, model: LanguageModel, split: TextSplit) -> list[int | str]:
        """Return the answer to each prompt."""
        ids = write_answers(
            model,
            split.encoded.prompts,
            answer_tokens=self.answer_tokens,
            most_tokens=tokens_at_once(model),
        )
        return [self._tokenise.text(answer) for answer in ids]


def _mean_loss(model: LanguageModel, head: AnswerHead, batcher: TextBatcher) -> float:
    """Return the mean cross-entropy of the answers' tokens of a split."""
    total, weight = torch.zeros((), device=batcher.device), 0
    with torch.inference_mode():
        for units in batcher.by_length(tokens_at_once(model)):
            batch = batcher.batch(units)
            logits, _ = model.on_batch(batch)
            total += head.loss(head(logits, batch), batch)
            weight += batch.weight
    return float(total) / weight
