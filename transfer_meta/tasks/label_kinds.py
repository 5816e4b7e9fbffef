"""What a task's labels are, and whether an example's label is one of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from transfer_meta.errors import RunFailed
from transfer_meta.records import Answer, Example, TaskType

_ENTITY_TAG = re.compile(r"[BIES]-.+")


def are_entity_tags(labels: Iterable[str]) -> bool:
    """Whether tags mark entities (``B-PER``, ``I-PER``, ``O``) and not one class a token.

    Examples
    --------
    >>> are_entity_tags(["O", "B-PER", "I-PER"]), are_entity_tags(["NOUN", "VERB"])
    (True, False)
    """
    marked = [tag for tag in labels if tag != "O"]
    return bool(marked) and all(_ENTITY_TAG.fullmatch(tag) for tag in marked)


def check_label(type: TaskType, example: Example) -> None:
    """Raise RunFailed where a model of this type cannot learn from an example's label."""
    problem = _problem(type, example)
    if problem:
        raise RunFailed(problem)


def _problem(type: TaskType, example: Example) -> str:
    """What is wrong with an example's label; empty where nothing is."""
    label: Any = example.label
    if type is TaskType.CLASSIFICATION:
        return "" if isinstance(label, str) else f"label {label!r} (expected a class name)"
    if type is TaskType.REGRESSION:
        good = isinstance(label, int | float) and math.isfinite(label)
        return "" if good else f"label {label!r} (expected a finite number)"
    if type is TaskType.TOKEN_CLASSIFICATION:
        tags = _tags(example)
        same = len(tags) == len(example.tokens) > 0
        return "" if same else f"{len(tags)} tags for {len(example.tokens)} tokens"
    if type is TaskType.MULTIPLE_CHOICE:
        good = isinstance(label, int) and 0 <= label < len(example.choices)
        return "" if good else f"label {label!r} (expected 0 to {len(example.choices) - 1})"
    context = example.text_pair or ""
    for answer in answers(example):
        if context[answer.start : answer.start + len(answer.text)] != answer.text:
            return f"the answer '{answer.text}' is not in the context at character {answer.start}"
    return "" if isinstance(label, tuple) else f"label {label!r} (expected a list of answers)"


def answers(example: Example) -> tuple[Answer, ...]:
    """The gold answers of a question; empty where there is none."""
    return example.label if isinstance(example.label, tuple) else ()  # type: ignore[return-value]


def _tags(example: Example) -> tuple[str, ...]:
    return example.label if isinstance(example.label, tuple) else ()  # type: ignore[return-value]
