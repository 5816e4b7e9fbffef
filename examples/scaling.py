"""How far many GPUs help: the schedule of a large grid, simulated, and where its longest chain of runs binds.

    python examples/scaling.py [--gpus 1 2 4 ...] [--side-by-side 1] [--slowdown 1]
    python examples/scaling.py --plan PLAN.toml --store STORE

The grid is that of Vu et al. (2020): 33 tasks, every ordered pair in three regimes (full to full, full to limited,
limited to limited, limited being 1,000 examples), here with five seeds.  A run's time is `--overhead` seconds and
its tokens by `--tokens-per-second`, an evaluated token counted as a third.  With ``--plan`` the grid is one's own
and the times are those that the finished runs of the store foretell.

With ``--side-by-side K`` a GPU does K runs at a time, each ``--slowdown`` times slower than alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transfer_meta.cli.shared.console import print_table
from transfer_meta.runs.cost import EVALUATION_SHARE, learn_cost
from transfer_meta.runs.plan import load_plan
from transfer_meta.runs.simulate import simulate
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


def grid(overhead: float, tokens_per_second: float) -> tuple[list[float], list[int | None]]:
    """Seconds and starts of the grid's runs, in the order of a plan: a source before what starts from it."""

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
    """Seconds and starts of a plan's runs."""
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
