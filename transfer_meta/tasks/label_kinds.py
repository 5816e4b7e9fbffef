"""Kinds of labels: entity tags, answers, and labels that a model can learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from transfer_meta.errors import InputError, RunFailed
from transfer_meta.records import TYPES_WITH_HEADS, Answer, Example, TaskType
from transfer_meta.tasks.iob import PLAIN, detect_scheme


def are_entity_tags(labels: Iterable[str]) -> bool:
    """Return whether tags mark entities (``B-PER``, ``I-PER``, ``O``) rather than one class per token.

    Examples
    --------
    >>> are_entity_tags(["O", "B-PER", "I-PER"]), are_entity_tags(["NOUN", "VERB"])
    (True, False)
    """
    return detect_scheme([list(labels)]) != PLAIN


def check_has_head(type: TaskType) -> None:
    """Raise an InputError for a type whose answers are texts, which an encoder with a head does not write."""
    if type not in TYPES_WITH_HEADS:
        raise InputError(
            f"a {type} task has texts as answers, which an encoder with a head does not write (expected a decoder"
            f" or an encoder-decoder, or a task of {', '.join(TYPES_WITH_HEADS)})"
        )


def check_label(type: TaskType, example: Example) -> None:
    """Raise RunFailed if a model of this type cannot learn from an example's label."""
    problem = _problem(type, example)
    if problem:
        raise RunFailed(problem)


def answers(example: Example) -> tuple[Answer, ...]:
    """Return the gold answers of a question; empty if it has none."""
    return example.label if isinstance(example.label, tuple) else ()  # type: ignore[return-value]


def _problem(type: TaskType, example: Example) -> str:
    """Return what is wrong with an example's label, or an empty string."""
    label: Any = example.label
    if type is TaskType.CLASSIFICATION:
        return "" if isinstance(label, str) else f"label {label!r} (expected a class name)"
    if type is TaskType.REGRESSION:
        good = isinstance(label, int | float) and math.isfinite(label)
        return "" if good else f"label {label!r} (expected a finite number)"
    if type is TaskType.TOKEN_CLASSIFICATION:
        tags = label if isinstance(label, tuple) else ()
        good = len(tags) == len(example.tokens) > 0
        return "" if good else f"{len(tags)} tags for {len(example.tokens)} tokens"
    if type is TaskType.MULTIPLE_CHOICE:
        good = isinstance(label, int) and 0 <= label < len(example.choices)
        return "" if good else f"label {label!r} (expected 0 to {len(example.choices) - 1})"
    if type is TaskType.GENERATION:
        good = isinstance(label, tuple) and label != () and all(isinstance(text, str) for text in label)
        return "" if good else f"label {label!r} (expected reference texts, one at least)"
    context = example.text_pair or ""
    for answer in answers(example):
        if context[answer.start : answer.start + len(answer.text)] != answer.text:
            return f"the answer '{answer.text}' is not in the context at character {answer.start}"
    return "" if isinstance(label, tuple) else f"label {label!r} (expected a list of answers)"
