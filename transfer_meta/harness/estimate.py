"""How long the runs of a plan will take, and how much room their checkpoints."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from transfer_meta.harness.config import Stage
from transfer_meta.harness.plan import Plan, TaskFacts
from transfer_meta.outcomes.schema import Run
from transfer_meta.outcomes.store import NewRun

# Where no run was measured: operations a second of one CPU core that a small encoder's training reaches,
# characters a token, and the share of a training pass that reading an example without training costs.
ASSUMED_FLOPS = 4e10
CHARACTERS_PER_TOKEN = 4.5
EVALUATION_SHARE = 1 / 3
BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Estimate:
    """What a plan will take.

    Parameters
    ----------
    seconds
        Of one worker.
    measured
        Whether finished runs of the encoder tell the speed; else it is a rough guess for one CPU core.
    disk_bytes
        The most that checkpoints will take at one time, one worker a device.
    """

    seconds: float
    measured: bool
    disk_bytes: int


def estimate(plan: Plan, done: Sequence[Run], left: Collection[str]) -> Estimate:
    """Estimate what the runs in `left` will take.

    Time is proportional to the tokens read: training examples times epochs, and a third of a pass for the
    evaluations.  The factor is that of the finished runs of the same encoder.

    Parameters
    ----------
    plan
        The plan.
    done
        Finished runs of the store.
    left
        Keys of the runs that are still to be done.
    """
    todo = sum(_tokens(plan.stages[key], plan.tasks) for key in left)
    seconds = tokens = 0.0
    for run in done:
        if (
            run.encoder_revision == plan.encoder.revision
            and plan.tasks.keys() >= run.task_digests.keys()
        ):
            seconds += run.seconds or 0.0
            tokens += _tokens(Stage.from_dict(run.settings), plan.tasks)
    # Forward and backward pass: two operations a weight, three times.
    guess = 6 * (plan.encoder.weights - plan.encoder.embeddings) / ASSUMED_FLOPS
    rate = seconds / tokens if tokens else guess
    files = _most_checkpoints([run for run in plan.runs if run.key in left])
    return Estimate(todo * rate, tokens > 0, files * plan.encoder.weights * BYTES_PER_WEIGHT)


def _tokens(stage: Stage, tasks: Mapping[str, TaskFacts]) -> float:
    """Tokens that a stage reads, an evaluation's counted as a third."""
    training = stage.training

    def passes(name: str, examples: int | None) -> float:
        facts = tasks[name]
        length = min(training.max_length, facts.characters / CHARACTERS_PER_TOKEN + 2)
        return length * (examples or facts.training_examples(training.dev_examples))

    target = passes(stage.target, stage.target_examples)
    read = training.epochs * target
    if stage.mixing is not None:
        sizes = [_size(stage, name, tasks) for name in stage.tasks]
        shares = stage.mixing.probabilities(tuple(sizes))
        # The target is passed over `epochs` times; each source is drawn in proportion, or beside it.
        steps = math.ceil(sizes[0] / training.batch_size) * training.epochs / shares[0]
        for name, share in zip(stage.sources, shares[1:], strict=True):
            draws = steps * share if not stage.mixing.weights else steps * shares[0]
            read += draws * training.batch_size * passes(name, 1)
    facts = tasks[stage.target]
    evaluated = facts.test + training.evaluations * training.dev_examples
    return read + EVALUATION_SHARE * evaluated * passes(stage.target, 1)


def _size(stage: Stage, name: str, tasks: Mapping[str, TaskFacts]) -> int:
    wanted = stage.target_examples if name == stage.target else stage.source_examples
    return wanted or tasks[name].training_examples(stage.training.dev_examples)


def _most_checkpoints(runs: Sequence[NewRun]) -> int:
    """The most checkpoints that lie on disk at one time when one worker does the runs in its order."""
    children: dict[str, list[int]] = {}
    ready: list[tuple[bool, int]] = []
    keys = {run.key for run in runs}
    for number, run in enumerate(runs):
        if run.start_key is None or run.start_key not in keys:
            ready.append((run.start_key is None, number))
        else:
            children.setdefault(run.start_key, []).append(number)
    # Checkpoints of runs that are done already lie there from the start.
    users = Counter(run.start_key for run in runs if run.start_key)
    there = {key for key in users if key not in keys}
    most = len(there)
    heapq.heapify(ready)
    while ready:
        _, number = heapq.heappop(ready)
        run = runs[number]
        if run.key in users:
            there.add(run.key)
        most = max(most, len(there))
        if run.start_key:
            users[run.start_key] -= 1
            if not users[run.start_key]:
                there.discard(run.start_key)
        for child in children.get(run.key, ()):
            heapq.heappush(ready, (False, child))
    return most
