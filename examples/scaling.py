"""How far many GPUs help: the schedule of a large grid, simulated, and where its longest chain of runs binds.

    python examples/scaling.py [--gpus 1 2 4 ...] [--side-by-side 1] [--slowdown 1]
    python examples/scaling.py --plan PLAN.toml --store STORE

The grid is that of Vu et al. (2020): 33 tasks, every ordered pair in three regimes (full to full, full to limited,
limited to limited, limited being 1,000 examples), here with five seeds.  A run takes ``--overhead`` seconds plus
tokens / ``--tokens-per-second``, where an evaluated token counts as a third.  With ``--plan`` the grid is that of
the plan and the times are estimated from the finished runs of the store.

With ``--side-by-side K`` a GPU does K runs at a time, each ``--slowdown`` times slower than alone.

A free worker takes the first run in the plan's order that starts from a checkpoint, or else the first that starts
from nothing, as `runs.store.run_store.Store.claim` does.  No worker idles while a run can start, so with m workers
(Graham 1969)

    max(work / m, critical path) <= makespan <= work / m + (1 - 1 / m) · critical path
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.cli.shared.console import print_table
from transfer_meta.runs.cost import EVALUATION_SHARE, learn_cost
from transfer_meta.runs.plan import load_plan
from transfer_meta.runs.store.run_store import Store

# Training examples in thousands and tokens of a mean input, both rounded.
CLASSIFICATION = {
    "SNLI": (570, 27), "MNLI": (393, 39), "QQP": (364, 30), "QNLI": (105, 50), "SST-2": (67, 13),
    "SciTail": (27, 38), "CoLA": (8.5, 11), "STS-B": (7, 31), "MRPC": (3.7, 53), "RTE": (2.5, 68),
    "WNLI": (0.6, 40),
}  # fmt: skip
QUESTIONS = {
    "SQuAD-2": (162, 180), "NewsQA": (120, 384), "HotpotQA": (113, 384), "SQuAD-1": (108, 180),
    "DuoRC-p": (100, 384), "DuoRC-s": (86, 384), "DROP": (77, 280), "WikiHop": (51, 384),
    "BoolQ": (16, 150), "ComQA": (11, 300), "CQ": (2, 300),
}  # fmt: skip
TAGGING = {
    "ST": (43, 27), "CCG": (40, 28), "Parent": (40, 28), "GParent": (40, 28), "GGParent": (40, 28),
    "POS-PTB": (38, 28), "GED": (29, 20), "NER": (14, 20), "POS-EWT": (13, 20), "Conj": (13, 28), "Chunk": (9, 28),
}  # fmt: skip
TASKS = CLASSIFICATION | QUESTIONS | TAGGING
LIMITED = 1000
TEST_SHARE = 0.1  # evaluated examples for each of the full training split
EPOCHS = 3
SEEDS = 5
REGIMES = (("full", "full"), ("full", "limited"), ("limited", "limited"))


ORDERS = ("plan", "longest-path")


@dataclass(frozen=True)
class Schedule:
    """Schedule of a graph of runs.

    Parameters
    ----------
    workers
        Workers, each doing one run at a time.
    makespan_seconds
        From the start of the first run to the end of the last.
    work_seconds
        Sum over all runs.
    critical_seconds
        Longest chain of runs that start from each other, a lower bound for any number of workers.
    peak_checkpoints
        The most encoders on disk at one time.
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
        """Number of workers beyond which the critical path binds."""
        return self.work_seconds / self.critical_seconds if self.critical_seconds else 1.0


def simulate(
    seconds: Sequence[float],
    starts: Sequence[int | None],
    *,
    workers: int,
    order: str = "plan",
) -> Schedule:
    """Schedule a graph of runs.

    Parameters
    ----------
    seconds : sequence of float
        Duration of each run.
    starts : sequence of int or None
        Index of the run that each one starts from, which must be smaller than its own.
    workers
        At least 1.
    order
        ``plan``, the store's rule, or ``longest-path``: first the run with the longest chain of runs behind it,
        which the store cannot know.

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
        # Everything that ends at one time ends before the next run starts.
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


def grid(overhead: float, tokens_per_second: float) -> tuple[list[float], list[int | None]]:
    """Return seconds and starts of the grid's runs, in the order of a plan: a source before its targets."""

    def seconds(task: str, examples: str) -> float:
        thousands, tokens = TASKS[task]
        trained = min(LIMITED, 1000 * thousands) if examples == "limited" else 1000 * thousands
        evaluated = min(10_000.0, TEST_SHARE * 1000 * thousands)
        read = tokens * (EPOCHS * trained + EVALUATION_SHARE * evaluated)
        return overhead + read / tokens_per_second

    times: list[float] = []
    starts: list[int | None] = []
    for _ in range(SEEDS):
        # A baseline serves as the source of the others: it is run once for each number of examples.
        alone: dict[tuple[str, str], int] = {}
        for source_examples, target_examples in REGIMES:
            for target in TASKS:
                for source in TASKS:
                    for task in ((target, target_examples), (source, source_examples)):
                        if task not in alone:
                            alone[task] = len(times)
                            times.append(seconds(*task))
                            starts.append(None)
                    if source != target:
                        times.append(seconds(target, target_examples))
                        starts.append(alone[source, source_examples])
    return times, starts


def planned(plan_file: Path, store: str) -> tuple[list[float], list[int | None]]:
    """Return seconds and starts of a plan's runs."""
    plan = load_plan(plan_file)
    cost = learn_cost(plan, Store(store).runs(statuses=("done",)))
    position = {run.key: i for i, run in enumerate(plan.runs)}
    times = [cost.seconds(plan.stages[run.key], plan.tasks) for run in plan.runs]
    return times, [None if run.start_key is None else position[run.start_key] for run in plan.runs]


def main() -> None:
    """Print one row a number of GPUs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, nargs="+", default=[4**i for i in range(6)])
    parser.add_argument("--side-by-side", type=int, default=1)
    parser.add_argument("--slowdown", type=float, default=1.0)
    parser.add_argument("--tokens-per-second", type=float, default=200_000, help="of one run, training")
    parser.add_argument("--overhead", type=float, default=10.0, help="seconds of every run")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--store")
    options = parser.parse_args()
    if (options.plan is None) != (options.store is None):
        parser.error("--plan and --store go together")
    if options.plan:
        times, starts = planned(options.plan, options.store)
    else:
        times, starts = grid(options.overhead, options.tokens_per_second)
    times = [seconds * options.slowdown for seconds in times]
    rows = []
    for gpus in options.gpus:
        workers = gpus * options.side_by_side
        plan, longest = (
            simulate(times, starts, workers=workers, order=o) for o in ("plan", "longest-path")
        )
        rows.append(
            [
                gpus,
                plan.makespan_seconds / 3600,
                plan.efficiency,
                plan.peak_checkpoints,
                longest.makespan_seconds / 3600,
                longest.efficiency,
            ]
        )
    chain, work = plan.critical_seconds / 3600, plan.work_seconds / 3600
    hours = work / options.side_by_side
    print(f"{len(times)} runs, {hours:.1f} GPU hours; longest chain {chain:.2f} h,", end=" ")
    print(f"which binds beyond {plan.useful_workers / options.side_by_side:.0f} GPUs")
    columns = ["GPUs", "hours", "efficiency", "checkpoints at a time", "longest path first: hours"]
    print_table([*columns, "efficiency"], rows)


if __name__ == "__main__":
    main()
