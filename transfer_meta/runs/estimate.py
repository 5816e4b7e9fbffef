"""What the runs of a plan will take: time, GPU hours, and room for their checkpoints."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from transfer_meta.runs.cost import learn_cost
from transfer_meta.runs.plan import Plan
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.runs.store.schema import Run

BYTES_PER_WEIGHT = 4


@dataclass(frozen=True)
class Estimate:
    """What a plan will take.

    Parameters
    ----------
    seconds
        Of one worker.
    disk_bytes
        The most that checkpoints will take at one time, one worker a device.
    runs, device, error
        Finished runs that tell the speed, where they ran, and the median relative error on those left out of
        the fit, see `transfer_meta.runs.cost`; without any it is a rough guess for one CPU core.
    """

    seconds: float
    disk_bytes: int
    runs: int = 0
    device: str = ""
    error: float = math.nan

    @property
    def measured(self) -> bool:
        """Whether finished runs tell the speed."""
        return self.runs > 0

    @property
    def gpu_hours(self) -> float | None:
        """Hours of a GPU that does one run at a time; None where the speed is not known from a GPU."""
        return self.seconds / 3600 if self.device.startswith("cuda") else None

    @property
    def basis(self) -> str:
        """What the estimate rests on, in words."""
        if not self.runs:
            return "rough, for one CPU core"
        error = "" if math.isnan(self.error) else f"; median error of those left out {self.error:.0%}"
        hours = "" if self.gpu_hours is None else f"{self.gpu_hours:.1f} GPU hours; "
        place = f" on {self.device}" if self.device else ""
        runs = "1 finished run" if self.runs == 1 else f"{self.runs} finished runs"
        return f"{hours}estimated from {runs}{place}{error}"


def estimate(plan: Plan, done: Sequence[Run], left: Collection[str]) -> Estimate:
    """Estimate what the runs in `left` will take.

    Parameters
    ----------
    plan
        The plan.
    done
        Finished runs of the store.
    left
        Keys of the runs that are still to be done.
    """
    cost = learn_cost(plan, done)
    seconds = sum(cost.seconds(plan.stages[key], plan.tasks) for key in left)
    files = _most_checkpoints([run for run in plan.runs if run.key in left])
    disk = files * plan.encoder.weights * BYTES_PER_WEIGHT
    return Estimate(float(seconds), disk, cost.runs, cost.device, cost.error)


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
