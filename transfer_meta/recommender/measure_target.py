"""Short training run on a new target alone, for its learning curve and baseline score."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transfer_meta.recommender.library import Library
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import dev_size, draw_examples

if TYPE_CHECKING:
    from transfer_meta.training.run_result import RunResult

MAX_TRAIN = 4000
"""Training examples kept in memory; the run draws its own from these."""
MAX_TEST = 500
TEST_SHARE = 0.2
"""Share of the training split to hold out where there is no other split."""


def train_alone(task: Task, library: Library) -> RunResult:
    """Train on a task, which has a test split, with the library's settings and seed 0.

    Raises
    ------
    RunFailed, InputError
        The run ends without a score.
    """
    from transfer_meta.training.finetune import finetune
    from transfer_meta.training.stage import Stage, TrainingSettings

    training = TrainingSettings(**library.training)
    size = len(list(task.examples()))
    left = size - dev_size(size, training.dev_examples)
    wanted = library.trained.examples[1]
    stage = Stage(
        task.name,
        seed=0,
        encoder=library.encoder,
        training=training,
        target_examples=left if wanted is None else min(wanted, left),
    )
    return finetune(stage, {task.name: task})


def with_test(task: Task) -> tuple[Task, str]:
    """Return the task with a train and a test split, and where the test split is from.

    At most `MAX_TRAIN` and `MAX_TEST` examples; the test split is the dev split, or held out of the training
    split, where there is none.
    """
    train = draw_examples(task, "train", MAX_TRAIN)[0]
    for name in ("test", "dev"):
        if name in task.splits:
            test = draw_examples(task, name, MAX_TEST)[0]
            splits = {"train": train, "test": test}
            return replace(task, splits=splits), f"{len(test)} of its {name} split"
    n_test = min(MAX_TEST, max(1, int(TEST_SHARE * len(train))))
    step = len(train) // n_test
    held_out = set(range(0, step * n_test, step))
    splits = {
        "train": [example for i, example in enumerate(train) if i not in held_out],
        "test": [train[i] for i in sorted(held_out)],
    }
    return replace(task, splits=splits), f"{n_test} held out of its training split"
