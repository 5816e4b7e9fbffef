"""How long a run takes, learnt from finished ones.

    seconds = a · run + b · update steps + c · training tokens + d · evaluated tokens + e · Σ tokens · length

None of a to e is negative.  The last term is attention's, quadratic in the length of an input.  The tokens are
those of the mean training example by its characters: no text is tokenised for an estimate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from transfer_meta.records import FloatArray
from transfer_meta.runs.plan import Plan, TaskFacts
from transfer_meta.runs.store.schema import Run
from transfer_meta.tasks.subsets import MAX_DEV_FRACTION
from transfer_meta.training.stage import Stage

TERMS = ("runs", "steps", "training_tokens", "evaluated_tokens", "squared_tokens")
CHARACTERS_PER_TOKEN = 4.5
# Reading an example without training costs a third of a pass: forward, but not the two products of backward.
EVALUATION_SHARE = 1 / 3
# Where no run was measured: operations a second of one CPU core that a small encoder's training reaches.
ASSUMED_FLOPS = 4e10

FEWEST_RUNS = len(TERMS) + 1  # with fewer, five numbers are more than can be told from them
FOLDS = 5
ROUNDS = 20  # of reweighting; the weights have settled long before
SMALLEST_ERROR = 0.02  # relative errors below this weigh as if they were this large


@dataclass(frozen=True)
class CostModel:
    """Seconds of a run on one worker.

    Parameters
    ----------
    coefficients : array of shape (5,)
        Seconds for one of each of `TERMS`.
    runs
        Finished runs that it was learnt from; 0: a rough guess.
    device
        Where they ran.
    error
        Median of |predicted / measured - 1| over runs left out of the fit; NaN where none could be.
    """

    coefficients: FloatArray
    runs: int = 0
    device: str = ""
    error: float = math.nan

    def seconds(self, stage: Stage, tasks: Mapping[str, TaskFacts]) -> float:
        """Of one run."""
        return float(work_of(stage, tasks) @ self.coefficients)


def learn_cost(plan: Plan, done: Sequence[Run]) -> CostModel:
    """The cost model of a plan's runs.

    It is learnt from the runs with the plan's encoder, precision and tasks, on the device that most of them ran
    on; without such runs it is a guess for one CPU core.

    Parameters
    ----------
    plan
        The plan.
    done
        Finished runs of the store.
    """
    like = [run for run in done if run.seconds and is_like(run, plan)]
    if not like:
        weights = plan.encoder.weights - plan.encoder.embeddings
        # Forward and backward pass: two operations a weight, three times.
        return CostModel(_proportional() * 6 * weights / ASSUMED_FLOPS)
    device = Counter(run.device or "" for run in like).most_common(1)[0][0]
    like = [run for run in like if (run.device or "") == device]
    work = np.array([work_of(Stage.from_dict(run.settings), plan.tasks) for run in like])
    coefficients, error = fit_cost(work, np.array([run.seconds for run in like], dtype=float))
    return CostModel(coefficients, len(like), device, error)


def fit_cost(work: FloatArray, seconds: FloatArray) -> tuple[FloatArray, float]:
    """Coefficients with the least absolute relative errors, and the median error on runs left out.

    Absolute and relative: a run that had to share its device, and took four times as long, is no reason to
    expect that of the others, and short runs count as much as long ones.  All five terms are fitted where that
    predicts left-out runs better than time in proportion to the tokens.

    Parameters
    ----------
    work : array of shape (n, 5)
        `work_of` the runs.
    seconds : array of shape (n,)
        What they took.
    """
    fits = [_fit_proportional, _fit_terms] if len(work) >= FEWEST_RUNS else [_fit_proportional]
    errors = [math.nan]
    if len(work) > 1:
        folds = [
            np.arange(len(work)) % min(FOLDS, len(work)) == k for k in range(min(FOLDS, len(work)))
        ]
        errors = []
        for fit in fits:
            left_out = np.empty(len(work))
            for fold in folds:
                left_out[fold] = work[fold] @ fit(work[~fold], seconds[~fold])
            errors.append(float(np.median(np.abs(left_out / seconds - 1))))
    best = int(np.nanargmin(errors)) if len(work) > 1 else 0
    return fits[best](work, seconds), errors[best]


def work_of(stage: Stage, tasks: Mapping[str, TaskFacts]) -> FloatArray:
    """How much there is of each of `TERMS` in a stage, shape (5,)."""
    training = stage.training

    def length(name: str) -> float:
        return min(training.max_length, tasks[name].characters / CHARACTERS_PER_TOKEN + 2)

    sizes = [_size(stage, name, tasks) for name in stage.tasks]
    draws = {stage.target: float(training.epochs * sizes[0])}
    steps = float(math.ceil(sizes[0] / training.batch_size) * training.epochs)
    if stage.mixing is not None:
        shares = stage.mixing.probabilities(tuple(sizes))
        if stage.mixing.weights:
            # Every step has a batch of each task.
            shares = (1.0,) * len(sizes)
        # The target is passed over `epochs` times; the others are drawn in proportion, or beside it.
        steps /= shares[0]
        draws |= {
            name: steps * share * training.batch_size
            for name, share in zip(stage.sources, shares[1:], strict=True)
        }
    facts = tasks[stage.target]
    dev = min(training.dev_examples, int(facts.train * MAX_DEV_FRACTION))
    evaluated = (facts.test + training.evaluations * dev) * length(stage.target)
    trained = {name: n * length(name) for name, n in draws.items()}
    squared = sum(tokens * length(name) for name, tokens in trained.items())
    squared += EVALUATION_SHARE * evaluated * length(stage.target)
    return np.array([1.0, steps, sum(trained.values()), evaluated, squared])


def _size(stage: Stage, name: str, tasks: Mapping[str, TaskFacts]) -> int:
    wanted = stage.target_examples if name == stage.target else stage.source_examples
    return wanted or tasks[name].training_examples(stage.training.dev_examples)


def is_like(
    run: Run, plan: Plan, *, settings: Sequence[str] = ("precision", "lora_rank", "compile")
) -> bool:
    """Whether what a run took says something of the plan's runs: encoder, tasks and these settings are theirs."""
    if (
        run.encoder_revision != plan.encoder.revision
        or not plan.tasks.keys() >= run.task_digests.keys()
    ):
        return False
    training, wanted = run.settings["training"], plan.file.training
    return all(training[name] == getattr(wanted, name) for name in settings)


def _proportional() -> FloatArray:
    return np.array([0.0, 0.0, 1.0, EVALUATION_SHARE, 0.0])


def _fit_proportional(work: FloatArray, seconds: FloatArray) -> FloatArray:
    return _proportional() * np.median(seconds / (work @ _proportional()))


def _fit_terms(work: FloatArray, seconds: FloatArray) -> FloatArray:
    relative = work / seconds[:, None]
    weights = np.ones(len(work))
    # Columns of one size, or the solver takes the small ones for zero.
    scale = relative.max(axis=0)
    scale[scale == 0] = 1.0
    coefficients = np.zeros(len(scale))
    for _ in range(ROUNDS):
        coefficients, _ = nnls(relative / scale * weights[:, None], weights)
        errors = np.abs(relative / scale @ coefficients - 1)
        weights = 1 / np.sqrt(np.maximum(errors, SMALLEST_ERROR))
    return np.asarray(coefficients / scale)
