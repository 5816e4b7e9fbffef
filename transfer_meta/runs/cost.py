"""Estimated time and checkpoint space of a plan's runs.

A run takes its tokens times the median seconds per token of finished runs of its method.  The number of tokens
follows from the mean number of characters of an example; no text is tokenised.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from transfer_meta.encoding.encoding_settings import SPLIT
from transfer_meta.runs.long_examples import CHARACTERS_PER_TOKEN
from transfer_meta.runs.plan import Plan, TaskFacts, label
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.runs.store.schema import Run
from transfer_meta.tasks.subsets import dev_size
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import NEWER_SETTINGS

EVALUATION_SHARE = 1 / 3
"""Cost of evaluating a token relative to training on it: the forward pass, without the two products of backward."""
ASSUMED_FLOPS = 4e10
"""Operations per second of one CPU core, for the guess without finished runs."""
MIN_RUNS_OF_METHOD = 3
"""Finished runs that a method needs for a median of its own."""
FOLDS = 5
BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class CostModel:
    """Seconds of a run on one worker.

    Parameters
    ----------
    seconds_per_token : mapping of str to float
        Median by method; "" for runs of all methods.
    runs : int
        Number of finished runs that it rests on; 0 for a rough guess.
    device : str
        Where they ran.
    error : float
        Median of |predicted / measured - 1| over held-out runs; NaN with fewer than two runs.
    """

    seconds_per_token: Mapping[str, float]
    runs: int = 0
    device: str = ""
    error: float = math.nan

    def seconds(self, stage: Stage, tasks: Mapping[str, TaskFacts]) -> float:
        """Return the estimated seconds of a run."""
        return tokens_of(stage, tasks) * _rate(self.seconds_per_token, label(stage)[0])


@dataclass(frozen=True)
class Estimate:
    """Time and disk space that runs will take.

    Parameters
    ----------
    seconds : float
        Time of one worker.
    disk_bytes : int
        Upper bound of the checkpoints on disk at one time, with one worker.
    cost : CostModel
        What the time rests on.
    """

    seconds: float
    disk_bytes: int
    cost: CostModel

    @property
    def measured(self) -> bool:
        """Whether the estimate rests on finished runs."""
        return self.cost.runs > 0

    @property
    def gpu_hours(self) -> float | None:
        """Hours of a GPU that executes one run at a time; None if the finished runs had no GPU."""
        return self.seconds / 3600 if self.cost.device.startswith("cuda") else None

    @property
    def basis(self) -> str:
        """What the estimate rests on, as a phrase."""
        if not self.measured:
            return "rough, for one CPU core"
        count, device, error = self.cost.runs, self.cost.device, self.cost.error
        hours = "" if self.gpu_hours is None else f"{self.gpu_hours:.1f} GPU hours; "
        place = f" on {device}" if device else ""
        spread = "" if math.isnan(error) else f"; median error of those left out {error:.0%}"
        return f"{hours}estimated from {count} finished run{'s' * (count > 1)}{place}{spread}"


def estimate(plan: Plan, done: Sequence[Run], left: Collection[str]) -> Estimate:
    """Estimate time and disk space of the runs in `left`.

    Parameters
    ----------
    plan : Plan
    done : sequence of Run
        Finished runs of the store.
    left : collection of str
        Keys of the runs that are still to be done.
    """
    cost = learn_cost(plan, done)
    seconds = sum(cost.seconds(plan.stages[key], plan.tasks) for key in left)
    files = _most_checkpoints([run for run in plan.runs if run.key in left])
    return Estimate(float(seconds), files * plan.encoder.weights * BYTES_PER_WEIGHT, cost)


def learn_cost(plan: Plan, done: Sequence[Run]) -> CostModel:
    """Return the cost model of a plan's runs.

    It rests on the finished runs with the plan's encoder, precision and tasks on the device that most of them ran
    on; without such runs it is a guess for one CPU core.

    Parameters
    ----------
    plan : Plan
    done : sequence of Run
        Finished runs of the store.
    """
    like = [run for run in done if run.seconds and is_like(run, plan)]
    if not like:
        weights = plan.encoder.weights - plan.encoder.embeddings
        # Forward and backward pass: two operations a weight, three times.
        return CostModel({"": 6 * weights / ASSUMED_FLOPS})
    device = Counter(run.device or "" for run in like).most_common(1)[0][0]
    rates = [
        (run.method, (run.seconds or 0.0) / tokens_of(Stage.from_dict(run.settings), plan.tasks))
        for run in like
        if (run.device or "") == device
    ]
    return CostModel(median_rates(rates), len(rates), device, held_out_error(rates))


def median_rates(rates: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the median seconds per token by method, and over all methods under "".

    Parameters
    ----------
    rates : sequence of (str, float)
        Method and seconds per token of every finished run.
    """
    by_method: dict[str, list[float]] = {}
    for method, rate in rates:
        by_method.setdefault(method, []).append(rate)
    medians = {m: median(found) for m, found in by_method.items() if len(found) >= MIN_RUNS_OF_METHOD}
    return medians | {"": median(rate for _, rate in rates)}


def held_out_error(rates: Sequence[tuple[str, float]]) -> float:
    """Return the median relative error of `median_rates` in cross-validation; NaN with fewer than two runs."""
    folds = min(FOLDS, len(rates))
    if folds < 2:
        return math.nan
    errors = []
    for fold in range(folds):
        medians = median_rates([r for i, r in enumerate(rates) if i % folds != fold])
        errors += [abs(_rate(medians, method) / rate - 1) for method, rate in rates[fold::folds]]
    return median(errors)


def tokens_of(stage: Stage, tasks: Mapping[str, TaskFacts]) -> float:
    """Return the tokens that a stage trains on, plus `EVALUATION_SHARE` of those that it evaluates."""
    training = stage.training

    def length(name: str) -> float:
        length = tasks[name].characters / CHARACTERS_PER_TOKEN + 2
        return length if training.long_inputs in SPLIT else min(training.max_length, length)

    def size(name: str) -> int:
        return stage.examples_of(name) or tasks[name].training_examples(training.dev_examples)

    sizes = [size(name) for name in stage.tasks]
    tokens = training.epochs * sizes[0] * length(stage.target)
    if stage.sources:
        shares = (1.0,) * len(sizes)  # every step has a batch of each task
        if stage.mixing is not None and not stage.mixing.sums_losses:
            shares = stage.mixing.probabilities(tuple(sizes))
        # The target is passed over `epochs` times; the sources are drawn in proportion, or at every step.
        steps = math.ceil(sizes[0] / training.batch_size) * training.epochs / shares[0]
        for name, share in zip(stage.sources, shares[1:], strict=True):
            tokens += steps * share * training.batch_size * length(name)
    facts = tasks[stage.target]
    evaluated = facts.test + training.evaluations * dev_size(facts.train, training.dev_examples)
    return tokens + EVALUATION_SHARE * evaluated * length(stage.target)


def is_like(
    run: Run, plan: Plan, *, settings: Sequence[str] = ("precision", "lora_rank", "compile")
) -> bool:
    """Return whether a run has a plan's encoder, tasks of the plan, and these training settings of the plan."""
    if (
        run.encoder_revision != plan.encoder.revision
        or not plan.tasks.keys() >= run.task_digests.keys()
    ):
        return False
    training, wanted = run.settings["training"], plan.file.training
    # Newer settings are not in stored ones where they have their default.
    return all((NEWER_SETTINGS | training)[name] == getattr(wanted, name) for name in settings)


def _rate(medians: Mapping[str, float], method: str) -> float:
    return medians.get(method, medians[""])


def _most_checkpoints(runs: Sequence[NewRun]) -> int:
    """Return an upper bound of the checkpoints that lie on disk at one time, with one worker.

    Runs that start from a checkpoint go first: those that lie there from the start are used up with all that
    descends from them, then the runs descending from one root after those of another.
    """
    starts = {run.key: run.start_key for run in runs}

    def root(key: str) -> str:
        while start := starts.get(key):
            key = start
        return key

    needed = {start for start in starts.values() if start}
    by_root = Counter(root(key) for key in needed)
    there = sum(by_root.pop(key) for key in needed - starts.keys())
    return max([there, *by_root.values()])
