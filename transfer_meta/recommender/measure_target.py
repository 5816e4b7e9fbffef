"""One short single-task run on a new target: how it learns, and what it scores alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from transfer_meta.errors import InputError
from transfer_meta.recommender.describe_target import draw
from transfer_meta.recommender.library import Library
from transfer_meta.records import LearningCurve
from transfer_meta.tasks import Task

MAX_TRAIN = 4000
"""The run draws its examples from so many; those of a larger file are not kept in memory."""
MAX_TEST = 500
TEST_SHARE = 0.2


@dataclass(frozen=True)
class SingleTaskRun:
    """What the run gave.

    Parameters
    ----------
    curve : LearningCurve
    score : float
        Of the target alone, 0-1.
    notes : tuple of str
        On which examples.
    """

    curve: LearningCurve
    score: float
    notes: tuple[str, ...]


def train_alone(task: Task, library: Library) -> tuple[SingleTaskRun | None, str]:
    """Train on the target alone as the library's targets were trained, with seed 0; or the reason why not."""
    from transfer_meta.errors import RunFailed
    from transfer_meta.tasks.subsets import MAX_DEV_FRACTION
    from transfer_meta.training.finetune import finetune
    from transfer_meta.training.stage import Stage, TrainingSettings

    own, tested_on = with_test(task)
    training = TrainingSettings(**library.training)
    size = len(list(own.examples()))
    left = size - min(training.dev_examples, int(size * MAX_DEV_FRACTION))
    wanted = library.examples[1]
    stage = Stage(
        own.name,
        seed=0,
        encoder=library.encoder,
        training=training,
        target_examples=left if wanted is None else min(wanted, left),
    )
    try:
        result = finetune(stage, {own.name: own})
    except (RunFailed, InputError) as error:
        return None, str(error)
    note = (
        f"trained on {stage.target_examples} examples it scores {result.score:.3f} alone"
        f" ({result.main_metric}, on {tested_on})"
    )
    return SingleTaskRun(result.curve, result.score, (note,)), ""


def with_test(task: Task) -> tuple[Task, str]:
    """The task with at most `MAX_TRAIN` and `MAX_TEST` examples; without a test split some of its training ones."""
    train = draw(task, "train", MAX_TRAIN)[0]
    for name in ("test", "dev"):
        if name in task.splits:
            test = draw(task, name, MAX_TEST)[0]
            return replace(
                task, splits={"train": train, "test": test}
            ), f"{len(test)} of its {name} split"
    n_test = min(MAX_TEST, max(1, int(TEST_SHARE * len(train))))
    step = len(train) // n_test
    held_out = set(range(0, step * n_test, step))
    splits = {
        "train": [example for i, example in enumerate(train) if i not in held_out],
        "test": [train[i] for i in sorted(held_out)],
    }
    return replace(task, splits=splits), f"{n_test} held out of its training split"
