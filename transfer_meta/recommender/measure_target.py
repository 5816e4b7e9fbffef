"""Short training runs on a new target alone: for its learning curve, and on a quarter, half and all examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from transfer_meta.errors import RunFailed
from transfer_meta.features.curves.size_curve import SizeCurve, fit_size_curve
from transfer_meta.features.missing import MissingError
from transfer_meta.recommender.library import Library
from transfer_meta.records import FloatArray, Tell
from transfer_meta.tasks import Task
from transfer_meta.tasks.subsets import dev_size, draw_examples

if TYPE_CHECKING:
    from transfer_meta.training.run_result import RunResult

MAX_TRAIN = 4000
"""Training examples kept in memory; the run draws its own from these."""
MAX_TEST = 500
TEST_SHARE = 0.2
"""Share of the training split to hold out where there is no other split."""
MIN_SIZE_EXAMPLES = 20
"""Training examples below which nothing is trained on a part of them."""
MAX_SIZE_EXAMPLES = 1000
"""Most training examples of the runs on a part of the examples: larger targets are cut to these."""
SHARES = (0.25, 0.5, 1.0)
"""Parts of the training examples that are trained on."""
SIZE_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class SizeRuns:
    """Runs on a target alone, with several numbers of training examples; smaller subsets lie within larger ones.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of training examples, ascending.
    scores, seconds : tuple of tuples of float
        Score (0-1) and wall time of each run, by seed (`SIZE_SEEDS`) and size.
    available : int
        Training examples that there are.
    metric : str
    tested_on : str
        Number of test examples and where they are from.
    encoder, device : str
    """

    sizes: tuple[int, ...]
    scores: tuple[tuple[float, ...], ...]
    seconds: tuple[tuple[float, ...], ...]
    available: int
    metric: str
    tested_on: str
    encoder: str
    device: str = ""

    @property
    def score(self) -> float:
        """Mean score with the largest number of examples."""
        return float(np.mean([scores[-1] for scores in self.scores]))

    def curve(self) -> tuple[SizeCurve | None, str]:
        """Return the curve fitted to the scores, or None and the reason."""
        try:
            return fit_size_curve(self.sizes, self.scores), ""
        except MissingError as error:
            return None, str(error)

    def seconds_of(self, examples: float) -> float:
        """Return the expected time of a run by its number of examples: a line fitted to the runs."""
        sizes = np.tile(np.asarray(self.sizes, dtype=float), len(self.seconds))
        times: FloatArray = np.ravel(self.seconds)
        rate, start = np.polyfit(sizes, times, 1)
        if rate <= 0 or start < 0:
            rate, start = float(times.sum() / sizes.sum()), 0.0
        return float(start + rate * examples)


def train_alone(task: Task, library: Library) -> RunResult:
    """Train on a task, which has a test split, with the library's settings and seed 0.

    Raises
    ------
    RunFailed, InputError
        The run ends without a score.
    """
    from transfer_meta.training.finetune import finetune
    from transfer_meta.training.stage import Stage
    from transfer_meta.training.training_settings import TrainingSettings

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


def train_on_parts(
    task: Task, library: Library, tested_on: str, *, tell: Tell = lambda _: None
) -> SizeRuns:
    """Train on a quarter, half and all of a task's examples with three seeds, and test each run.

    Settings are the library's; no example is held out for a dev split, so that all are trained on.

    Parameters
    ----------
    task : Task
        With a test split.
    library : Library
    tested_on : str
        Number of test examples and where they are from.
    tell : callable
        Called with a line per size.

    Raises
    ------
    RunFailed
        Too few examples, or a run ends without a score.
    """
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.training.finetune import finetune
    from transfer_meta.training.stage import Stage
    from transfer_meta.training.training_settings import TrainingSettings

    there = len(list(task.examples()))
    if there < MIN_SIZE_EXAMPLES:
        raise RunFailed(f"{there} training examples (expected at least {MIN_SIZE_EXAMPLES})")
    training = TrainingSettings(**{**library.training, "dev_examples": 0, "evaluations": 0})
    device = find_devices("auto")[0]
    sizes = tuple(int(share * min(there, MAX_SIZE_EXAMPLES)) for share in SHARES)
    runs: list[list[RunResult]] = [[] for _ in SIZE_SEEDS]
    for size in sizes:
        tell(f"training on {size} examples of {task.name} alone, {len(SIZE_SEEDS)} seeds")
        for seed, done in zip(SIZE_SEEDS, runs, strict=True):
            stage = Stage(
                task.name,
                seed=seed,
                encoder=library.encoder,
                training=training,
                target_examples=size,
            )
            run = finetune(stage, {task.name: task}, device=device)
            if not np.isfinite(run.score):
                raise RunFailed(f"a run on {size} examples has no score")
            done.append(run)
    return SizeRuns(
        sizes,
        tuple(tuple(run.score for run in done) for done in runs),
        tuple(tuple(run.seconds for run in done) for done in runs),
        there,
        runs[0][0].main_metric,
        tested_on,
        library.encoder,
        runs[0][0].device,
    )


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
