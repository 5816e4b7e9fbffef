"""What a trained model was trained on, and what its predictions need to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfer_meta.encoding.encoding_settings import HEADS, KEEP_HEAD, LONG_INPUTS, EncodingSettings
from transfer_meta.encoding.model_kinds import DECODER, ENCODER_DECODER
from transfer_meta.records import TaskType
from transfer_meta.tasks.text_templates import TextTemplates


@dataclass(frozen=True)
class TextFacts:
    """How a language model was given examples as text, and what it may answer.

    Parameters
    ----------
    kind : {"decoder", "encoder-decoder"}
    template, pair_template : str
        Templates of the prompts of one text and of two, see `transfer_meta.tasks.text_templates`.
    words : tuple of str
        What the labels, tags or numbers are written as, in their order; empty for other types.
    numbers : tuple of float
        The numbers that regression chooses from, ascending; empty for other types.
    answer_tokens : int
        Maximum number of tokens of an answer that is written freely.
    """

    kind: str
    template: str
    pair_template: str
    words: tuple[str, ...]
    numbers: tuple[float, ...]
    answer_tokens: int


@dataclass(frozen=True)
class TrainedFacts:
    """What a trained model was trained on, and what prediction needs to know.

    Parameters
    ----------
    task : str
        Name of the task.
    type : TaskType
    labels : tuple of str
        Classes or tags in the order of the head's outputs; empty for other types.
    encoder, revision : str
        The pretrained encoder, and its version (`transfer_meta.encoding.encoders.encoder_revision`).
    head : str
        One of `transfer_meta.encoding.encoding_settings.HEADS`; empty for a language model, which has none.
    max_length : int
        Maximum number of tokens per input.
    stride : int
        Tokens that neighbouring windows of a context share (question answering).
    may_be_empty : bool
        Whether questions of the training split have no answer (question answering).
    long_inputs : str
        How texts of more than `max_length` tokens are read, one of
        `transfer_meta.encoding.encoding_settings.LONG_INPUTS`.
    text : TextFacts or None
        Of a language model; None for an encoder with a head.
    """

    task: str
    type: TaskType
    labels: tuple[str, ...]
    encoder: str
    revision: str
    head: str
    max_length: int
    stride: int
    may_be_empty: bool = False
    long_inputs: str = KEEP_HEAD
    text: TextFacts | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain values, without those of language models where there are none."""
        values = asdict(self)
        return values if self.text else {k: v for k, v in values.items() if k != "text"}

    @property
    def templates(self) -> TextTemplates:
        """How a language model was given examples."""
        assert self.text is not None
        return TextTemplates(
            self.type,
            self.labels,
            self.text.numbers,
            self.text.template,
            self.text.pair_template,
            self.text.words,
        )

    def encoding(self) -> EncodingSettings:
        """Return how texts are tokenised."""
        return EncodingSettings(self.max_length, stride=self.stride, long_inputs=self.long_inputs)


def parse_facts(values: Mapping[str, Any]) -> TrainedFacts:
    """Return the facts that JSON values stand for; KeyError, TypeError or ValueError where they do not."""
    given = {**values, "type": TaskType(values["type"]), "labels": tuple(values["labels"])}
    if (text := values.get("text")) is not None:
        lists = {name: tuple(text[name]) for name in ("words", "numbers")}
        given["text"] = TextFacts(**{**text, **lists})
    facts = TrainedFacts(**given)
    wrong = [f.name for f in fields(facts) if not _is_valid(facts, f.name)]
    if not facts.labels and facts.type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        wrong.append("labels")
    if wrong:
        raise ValueError(f"{wrong[0]} = {getattr(facts, wrong[0])!r}")
    if facts.text is not None:
        _ = facts.templates  # an InputError where template, labels and words do not go together
    return facts


def _is_valid(facts: TrainedFacts, name: str) -> bool:
    """Return whether a field of the facts has a value of its type."""
    value = getattr(facts, name)
    if name == "labels":
        return isinstance(value, tuple) and all(isinstance(label, str) for label in value)
    if name in ("max_length", "stride"):
        return type(value) is int and value >= 0
    if name == "may_be_empty":
        return isinstance(value, bool)
    if name == "long_inputs":
        return value in LONG_INPUTS
    if name == "text":
        return value is None or _is_valid_text(value, facts.type)
    if name == "head":
        return value in (HEADS if facts.text is None else ("",))
    return isinstance(value, str)


def _is_valid_text(text: TextFacts, type: TaskType) -> bool:
    """Return whether the facts of a language model have values of their types."""
    are_numbers = all(isinstance(n, int | float) and not isinstance(n, bool) for n in text.numbers)
    return (
        text.kind in (DECODER, ENCODER_DECODER)
        and all(isinstance(part, str) and part for part in (text.template, text.pair_template))
        and all(isinstance(word, str) for word in text.words)
        and are_numbers
        and bool(text.numbers) == (type is TaskType.REGRESSION)
        and isinstance(text.answer_tokens, int)
        and text.answer_tokens >= 1
    )
