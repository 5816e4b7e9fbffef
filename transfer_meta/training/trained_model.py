"""A trained model that predicts: loaded from a folder of ours or of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from transfer_meta.encoding.devices import find_devices
from transfer_meta.errors import require
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks.iob import find_spans
from transfer_meta.tasks.label_kinds import are_entity_tags
from transfer_meta.tasks.model_inputs import examples_of
from transfer_meta.training.text_predictions import TEXTS_AT_ONCE, TextPredictions

if TYPE_CHECKING:
    # Without torch, too, the public names can be imported.
    import torch

    from transfer_meta.encoding.batching import EncodedBatch
    from transfer_meta.encoding.encoder import Encoder
    from transfer_meta.encoding.heads import Head
    from transfer_meta.encoding.language_model import LanguageModel
    from transfer_meta.encoding.tokens import Encoded
    from transfer_meta.training.text_answers import AnswerHead, TextAnswer
    from transfer_meta.training.trained_facts import TrainedFacts


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A fine-tuned encoder with its head, or a fine-tuned language model.

    Parameters
    ----------
    encoder : Encoder
        In evaluation mode, on the device that predicts; a `LanguageModel` is one, too.
    head : Head or AnswerHead
    facts : TrainedFacts
        Type of the task, labels, lengths.
    folder : str
        Folder or name that it was loaded from; may be empty.
    """

    encoder: Encoder
    head: Head | AnswerHead
    facts: TrainedFacts
    folder: str = ""

    @property
    def type(self) -> TaskType:
        """Type of the task."""
        return self.facts.type

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes or tags in the order of the model's outputs; empty for other types."""
        return self.facts.labels

    @property
    def _own_head(self) -> Head:
        """The head of an encoder; a language model has none."""
        return cast("Head", self.head)

    def predict(self, texts: Iterable[Any]) -> TextPredictions:
        """Predict for texts.

        Parameters
        ----------
        texts : iterable
            Classification and regression: strings, pairs of strings, or mappings with ``text`` and ``text_pair``.
            Token classification: lists of words, or strings, which are split at white space.  Question answering:
            mappings with ``question`` and ``context``, or pairs of both.  Multiple choice: mappings with
            ``context``, ``question`` and ``choices``.  Generation: strings, pairs of an input and its instruction,
            mappings with ``text`` and ``text_pair``, or messages of a chat.  For every type an `Example`, whose
            label is not read.

        Raises
        ------
        InputError
            Something else, with the index of the text.
        """
        examples = examples_of(self.type, texts)
        found: list[dict[str, Any]] = []
        for begin in range(0, len(examples), TEXTS_AT_ONCE):
            found += self.predict_examples(examples[begin : begin + TEXTS_AT_ONCE])
        return TextPredictions(self.type, self.labels, tuple(found), tuple(range(len(found))))

    def predict_examples(self, examples: Sequence[Example]) -> list[dict[str, Any]]:
        """Return the prediction for each example, as in `TextPredictions.predictions`; labels are not read.

        The prediction for a text does not depend on the others.
        """
        from transfer_meta.encoding.language_model import LanguageModel

        if isinstance(self.encoder, LanguageModel):
            return self._answer(self.encoder, examples) if examples else []
        singles = [example for example in examples if example.text_pair is None]
        has_pairs = self.type in (TaskType.CLASSIFICATION, TaskType.REGRESSION)
        if has_pairs and 0 < len(singles) < len(examples):
            # Beside pairs, single texts would be tokenised as pairs with an empty second text.
            pairs = [example for example in examples if example.text_pair is not None]
            found = iter(self._predict(singles)), iter(self._predict(pairs))
            return [next(found[example.text_pair is not None]) for example in examples]
        return self._predict(examples) if examples else []

    def _answer(self, model: LanguageModel, examples: Sequence[Example]) -> list[dict[str, Any]]:
        """Return the predictions of a language model."""
        from transfer_meta.training.text_answers import answer_examples

        assert self.facts.text is not None
        templates = self.facts.templates
        found = answer_examples(
            model,
            templates,
            examples,
            max_length=self.facts.max_length,
            answer_tokens=self.facts.text.answer_tokens,
        )
        labels = [templates.label_of([unit.answer for unit in units]) for units in found]
        return [
            self._of_answers(example, units, label)
            for example, units, label in zip(examples, found, labels, strict=True)
        ]

    def _of_answers(self, example: Example, units: Sequence[TextAnswer], label: Any) -> dict[str, Any]:
        """Return the prediction that a language model's answers for an example stand for."""
        if self.type is TaskType.TOKEN_CLASSIFICATION:
            return self._tags(example.tokens, [np.array([u.answer, u.shares.max()]) for u in units])
        shares = units[0].shares
        if self.type is TaskType.CLASSIFICATION:
            return self._class(shares)
        if self.type is TaskType.REGRESSION:
            return {"value": _rounded(label)}
        if self.type is TaskType.MULTIPLE_CHOICE:
            return _choice(example.choices, shares)
        score = {"score": _rounded(shares[0])}
        if self.type is TaskType.GENERATION:
            return {"text": label, **score}
        # What is written need not be a part of the context.
        start = (example.text_pair or "").find(label) if label else -1
        end = start + len(label)
        places = {"start": start, "end": end} if start >= 0 else {"start": None, "end": None}
        return {"text": label, **places, **score}

    def _predict(self, examples: Sequence[Example]) -> list[dict[str, Any]]:
        """Return the predictions of an encoder for examples that are tokenised together."""
        from transfer_meta.encoding.batching import encode_examples
        from transfer_meta.training.predictions import predict_units, word_predictions

        bare = [_without_label(self.type, example) for example in examples]
        settings = self.facts.encoding()
        encoded, batcher = encode_examples(self.encoder, self.type, bare, settings, self.labels)
        batcher.memory = self._own_head.memory
        rows = predict_units(self.encoder, self._own_head, batcher, self._read)
        if self.type is TaskType.CLASSIFICATION:
            return [self._class(row) for row in rows]
        if self.type is TaskType.REGRESSION:
            return [{"value": _rounded(row)} for row in rows]
        if self.type is TaskType.MULTIPLE_CHOICE:
            return [_choice(e.choices, row) for e, row in zip(bare, rows, strict=True)]
        if self.type is TaskType.QUESTION_ANSWERING:
            return self._answers(bare, encoded, rows)
        words = word_predictions(bare, encoded, rows)
        return [self._tags(e.tokens, found) for e, found in zip(bare, words, strict=True)]

    def _read(self, outputs: torch.Tensor, _: EncodedBatch) -> torch.Tensor:
        """Return what is needed of the head's outputs, a row a unit."""
        import torch

        if self.type is TaskType.REGRESSION:
            return self._own_head.predict(outputs)
        if self.type is TaskType.QUESTION_ANSWERING:
            # The logarithms of the sums turn the logits of a span into the probability of its ends.
            return torch.cat([self._own_head.predict(outputs), outputs.logsumexp(dim=1)], dim=1)
        shares = outputs.softmax(dim=-1)
        if self.type is TaskType.TOKEN_CLASSIFICATION:
            best, tag = shares.max(dim=-1)
            return torch.stack([tag.to(best.dtype), best], dim=-1)
        return shares

    def _class(self, shares: NDArray[Any]) -> dict[str, Any]:
        best = int(shares.argmax())
        return {
            "label": self.labels[best],
            "probability": _rounded(shares[best]),
            "probabilities": dict(zip(self.labels, map(_rounded, shares), strict=True)),
        }

    def _tags(self, tokens: Sequence[str], words: Sequence[NDArray[Any] | None]) -> dict[str, Any]:
        """Return tags, their probabilities and, for entity tags, the entities; truncated words have O or no tag."""
        entities = are_entity_tags(self.labels)
        missing = "O" if entities else None
        tags: list[Any] = [missing if word is None else self.labels[int(word[0])] for word in words]
        shares = [None if word is None else _rounded(word[1]) for word in words]
        found = {"tokens": list(tokens), "tags": tags, "probabilities": shares}
        if entities:
            starts = np.cumsum([0, *(len(token) + 1 for token in tokens)])
            found["spans"] = [
                {
                    "text": " ".join(tokens[first:last]),
                    "label": kind,
                    "start": int(starts[first]),
                    "end": int(starts[last] - 1),
                    "probability": _rounded(np.mean([s for s in shares[first:last] if s is not None])),
                }
                for first, last, kind in find_spans(tags)
            ]
        return found

    def _answers(
        self, examples: Sequence[Example], encoded: Encoded, rows: Sequence[NDArray[Any]]
    ) -> list[dict[str, Any]]:
        from transfer_meta.training.predictions import best_answers

        found = []
        for answer in best_answers(examples, encoded, rows, self.facts.may_be_empty):
            best, _, _, none, *sums = (float(value) for value in rows[answer.window])
            is_there = answer.start >= 0
            found.append(
                {
                    "text": answer.text,
                    "start": answer.start if is_there else None,
                    "end": answer.start + len(answer.text) if is_there else None,
                    "score": _rounded(np.exp((best if is_there else none) - sum(sums))),
                }
            )
        return found


def load_trained(folder: str | Path, *, device: str = "cpu") -> TrainedModel:
    """Load a trained model to predict with.

    Parameters
    ----------
    folder : str or Path
        A folder that ``train`` wrote; or a folder or a name on the Hugging Face Hub of a transformers model for
        sequence classification, token classification, question answering or multiple choice.  Decoders and
        encoder-decoders are read from folders that ``train`` wrote alone, which hold the task's prompts.
    device : str
        ``auto``, ``cpu`` or ``cuda:N``.

    Raises
    ------
    InputError
        The folder is missing or incomplete, its files were changed, are of another version or do not fit together,
        or the model is of another kind.  No code and no pickle from the folder is run.

    Examples
    --------
    >>> model = load_trained("model/")  # doctest: +SKIP
    >>> model.predict(["a fine film", "a dull film"]).to_frame()  # doctest: +SKIP
    """
    require("torch", "transformers")
    from transfer_meta.training.model_folder import read_model_folder

    (place, *_) = find_devices(device)
    encoder, head, facts = read_model_folder(str(folder))
    encoder.model.to(place).eval()
    return TrainedModel(encoder, head.to(place).eval(), facts, str(folder))


def _without_label(type: TaskType, example: Example) -> Example:
    """Return an example with a label that can be tokenised and says nothing."""
    label: Any = {
        TaskType.TOKEN_CLASSIFICATION: ("",) * len(example.tokens),
        TaskType.MULTIPLE_CHOICE: 0,
        TaskType.REGRESSION: 0.0,
    }.get(type)
    return example._replace(label=label)


def _choice(choices: Sequence[str], shares: NDArray[Any]) -> dict[str, Any]:
    best = int(shares[: len(choices)].argmax())
    return {
        "choice": best,
        "text": choices[best],
        "probability": _rounded(shares[best]),
        "probabilities": [_rounded(share) for share in shares[: len(choices)]],
    }


def _rounded(value: Any) -> float:
    return round(float(value), 6)
