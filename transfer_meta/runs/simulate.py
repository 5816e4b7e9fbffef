"""How long a plan takes on many workers, without running it: its graph of runs put through the store's rule.

A worker that is free takes a run that starts from a checkpoint, the first in the plan's order, or else the first
that starts from nothing: `runs.store.run_store.Store.claim`.  No worker idles while a run can start, so
with m workers (Graham 1969)

    max(work / m, critical path) <= makespan <= work / m + (1 - 1 / m) · critical path
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

ORDERS = ("plan", "longest-path")


@dataclass(frozen=True)
class Schedule:
    """How a plan goes on so many workers.

    Parameters
    ----------
    workers
        Workers, each doing one run at a time.
    makespan_seconds
        From the first run's start to the last one's end.
    work_seconds
        All runs, one after the other.
    critical_seconds
        The longest chain of runs that start from each other: no number of workers is faster.
    peak_checkpoints
        The most encoders that wait for the runs that start from them, at one time.
    """

    workers: int
    makespan_seconds: float
    work_seconds: float
    critical_seconds: float
    peak_checkpoints: int

    @property
    def speedup(self) -> float:
        """Times faster than one worker."""
        return self.work_seconds / self.makespan_seconds if self.makespan_seconds else 1.0

    @property
    def efficiency(self) -> float:
        """Share of the workers' time that is spent on runs, 0-1."""
        return self.speedup / self.workers

    @property
    def useful_workers(self) -> float:
        """Beyond so many workers the critical path binds: work / critical path."""
        return self.work_seconds / self.critical_seconds if self.critical_seconds else 1.0


def simulate(
    seconds: Sequence[float],
    starts: Sequence[int | None],
    *,
    workers: int,
    order: str = "plan",
) -> Schedule:
    """Put a graph of runs through the scheduler.

    Parameters
    ----------
    seconds : sequence of float
        What each of n runs takes.
    starts : sequence of int or None
        The run that each starts from, which must stand before it.
    workers
        At least 1.
    order
        Which run goes first among those that can start: ``plan``, the store's rule; or ``longest-path``, the run
        with the longest chain of runs behind it, which the store cannot know and which shows what its rule costs.

    Examples
    --------
    >>> one_source_two_targets = simulate([10, 5, 5], [None, 0, 0], workers=2)
    >>> one_source_two_targets.makespan_seconds, one_source_two_targets.peak_checkpoints
    (15.0, 1)
    """
    if workers < 1 or order not in ORDERS or len(seconds) != len(starts):
        raise ValueError(
            f"{workers} workers, order '{order}', {len(seconds)} runs, {len(starts)} starts"
        )
    children: list[list[int]] = [[] for _ in seconds]
    for run, start in enumerate(starts):
        if start is not None:
            if not 0 <= start < run:
                raise ValueError(f"run {run} starts from run {start}, which does not stand before it")
            children[start].append(run)
    tails = _tails(seconds, children)

    def ready_entry(run: int) -> tuple[float, int]:
        return (-tails[run] if order == "longest-path" else float(starts[run] is None), run)

    ready = [ready_entry(run) for run, start in enumerate(starts) if start is None]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    users = [len(runs) for runs in children]
    now, lying, peak = 0.0, 0, 0
    while ready or running:
        while ready and len(running) < workers:
            _, run = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[run], run))
        now = running[0][0]
        # All that ends at one time is over before anything is handed out.
        while running and running[0][0] == now:
            _, run = heapq.heappop(running)
            lying += bool(children[run])
            peak = max(peak, lying)
            start = starts[run]
            if start is not None:
                users[start] -= 1
                lying -= users[start] == 0
            for child in children[run]:
                heapq.heappush(ready, ready_entry(child))
    return Schedule(workers, now, float(sum(seconds)), max(tails, default=0.0), peak)


def _tails(seconds: Sequence[float], children: Sequence[Sequence[int]]) -> list[float]:
    """Seconds from each run's start to the end of the longest chain that begins with it."""
    tails = [float(s) for s in seconds]
    for run in reversed(range(len(tails))):
        tails[run] += max((tails[child] for child in children[run]), default=0.0)
    return tails
