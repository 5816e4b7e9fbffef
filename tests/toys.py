"""Toy tasks of every type that a tiny encoder can learn: one word decides the label."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks import Task

GOOD = ("good", "fine", "great")
BAD = ("bad", "poor", "awful")
NEUTRAL = tuple(f"word{i}" for i in range(20))
WORDS = (*GOOD, *BAD, *NEUTRAL, "what", "?")


def toy_examples(type: TaskType, count: int, seed: int) -> list[Example]:
    """Examples whose label a word decides."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = list(random.choice(NEUTRAL, size=random.integers(2, 9)))
        good = bool(random.integers(2))
        key = str(random.choice(GOOD if good else BAD))
        words.insert(int(random.integers(len(words))), key)
        text = " ".join(words)
        if type is TaskType.CLASSIFICATION:
            found.append(Example(text, "yes" if good else "no"))
        elif type is TaskType.REGRESSION:
            found.append(
                Example(text, 3.0 + 2 * good + 0.1 * float(random.normal()), text_pair="word1")
            )
        elif type is TaskType.TOKEN_CLASSIFICATION:
            tags = tuple("B-K" if word in GOOD else "I-K" if word in BAD else "O" for word in words)
            found.append(Example(text, tags, tokens=tuple(words)))
        elif type is TaskType.QUESTION_ANSWERING:
            found.append(Example("what ?", (Answer(key, text.index(key)),), text_pair=text))
        elif type is TaskType.GENERATION:
            found.append(Example(text, (key,), text_pair="what ?"))
        else:
            choices = [*random.choice(BAD, size=random.integers(1, 4)), str(random.choice(GOOD))]
            order = random.permutation(len(choices))
            right = int(np.flatnonzero(order == len(choices) - 1)[0])
            found.append(
                Example(text, right, text_pair="what ?", choices=tuple(str(choices[i]) for i in order))
            )
    return found


def toy_task(
    type: TaskType, *, name: str = "toy", train: int = 120, test: int = 40, seed: int = 0
) -> Task:
    """A toy task with a train and a test split."""
    return Task.from_iterable(
        name,
        type,
        {"train": toy_examples(type, train, seed), "test": toy_examples(type, test, seed + 1)},
    )


def short_examples(type: TaskType, count: int, seed: int) -> list[Example]:
    """Examples of a few bytes, of which one word decides the label; a guess is right half of the time."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        good = bool(random.integers(2))
        key = "good" if good else "bad"
        text = f"{random.choice(list('abc'))} {key}"
        label: Any = {
            TaskType.CLASSIFICATION: "yes" if good else "no",
            TaskType.REGRESSION: float(good),
            TaskType.TOKEN_CLASSIFICATION: ("O", "B-K" if good else "I-K"),
            TaskType.QUESTION_ANSWERING: (Answer(key, text.index(key)),),
            TaskType.MULTIPLE_CHOICE: int(good),
            TaskType.GENERATION: ("fine" if good else "poor",),
        }[type]
        more: dict[str, Any] = {}
        if type is TaskType.TOKEN_CLASSIFICATION:
            more = {"tokens": tuple(text.split())}
        elif type is TaskType.QUESTION_ANSWERING:
            more, text = {"text_pair": text}, "how"
        elif type is TaskType.MULTIPLE_CHOICE:
            more = {"choices": ("poor", "fine")}
        found.append(Example(text, label, **more))
    return found


def short_task(type: TaskType, *, name: str = "toy", train: int = 200, seed: int = 0) -> Task:
    splits = {"train": short_examples(type, train, seed), "test": short_examples(type, 40, seed + 1)}
    return Task.from_iterable(name, type, splits)
