"""A few examples of every task type, for the tests of task vectors."""

from __future__ import annotations

from transfer_meta.records import Answer, Example, TaskType
from transfer_meta.tasks import Task

CONTEXT = "The mill stood by the river."
EXAMPLES = {
    TaskType.CLASSIFICATION: [
        Example("good", "a"),
        Example("a much longer text", "b", text_pair="beside another"),
        Example("bad", "c"),
        Example("middling, rather", "a"),
        Example("short", "b"),
    ],
    TaskType.REGRESSION: [Example("one", 1.0), Example("two and more", 2.5), Example("x", -1.0)],
    TaskType.TOKEN_CLASSIFICATION: [
        Example("the cat sat", ("D", "N", "V"), tokens=("the", "cat", "sat")),
        Example("go", ("V",), tokens=("go",)),
        Example("a dog ran off", ("D", "N", "V", "P"), tokens=("a", "dog", "ran", "off")),
    ],
    TaskType.QUESTION_ANSWERING: [
        Example("What stood?", (Answer("mill", 4),), text_pair=CONTEXT),
        Example("Where did it stand, if it did?", (Answer("by the river", 15),), text_pair=CONTEXT),
        Example("When?", (), text_pair="Nobody knows."),
    ],
    TaskType.MULTIPLE_CHOICE: [
        Example("It rained.", 1, text_pair="So?", choices=("sun", "a flood in the town", "wind")),
        Example("It was hot.", 0, text_pair="So?", choices=("thirst", "snow")),
    ],
}
ALL_TYPES = list(EXAMPLES)


def tiny(type: TaskType, description: str = "") -> Task:
    """The task of these examples."""
    return Task.from_iterable("tiny", type, {"train": EXAMPLES[type]}, description=description)
