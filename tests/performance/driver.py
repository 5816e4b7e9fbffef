"""How many runs an hour the driver and the store can hand out and take in, the training taking no time.

    python tests/performance/driver.py [--tasks 33] [--regimes 3] [--seeds 5] [--stores sqlite postgresql] [--ray]
    python tests/performance/driver.py --processes 8 --seconds 120

The plan is all pairs of the tasks in every regime; the default has 16,170 runs.  Without ``--ray`` the engine is
one in this process that ends every run at once, ``--slots`` of them in hand at a time; with it, a cluster of
one node on this machine, whose tasks end at once.  Beside the mean stand the first and the last tenth of the
runs: what grows with the plan's size shows there.

With ``--processes`` as many processes work on one store for ``--seconds``, each with an engine of its own; a run
that two of them did, or that was done and is not in the store, ends the script with an error, as does any error
of a process (``database is locked``).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

import numpy as np  # noqa: E402
from fake_training import fake_facts, fake_finetune, make_tasks  # noqa: E402

from transfer_meta.cli.shared.console import print_table  # noqa: E402
from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints  # noqa: E402
from transfer_meta.runs.driver import Limits, PlanDriver  # noqa: E402
from transfer_meta.runs.engine import Event, Job, do_job  # noqa: E402
from transfer_meta.runs.plan import Plan, load_plan  # noqa: E402
from transfer_meta.runs.store.run_store import Store  # noqa: E402

PLAN = """
tasks_folder = "tasks"
tasks = {tasks}
grid = "all"
methods = ["intermediate"]
regimes = {regimes}
seeds = {seeds}
encoder = "tiny"
[training]
epochs = 1
dev_examples = 2
"""
REGIMES = ["4-4", "4-2", "2-2"]


class AtOnce:
    """An engine that does a run when asked what happened."""

    def __init__(self, plan: Plan, slots: int) -> None:
        self.plan, self.slots = plan, slots
        self.jobs: list[Job] = []
        self.loaded: dict[str, Any] = {}

    def has_room(self, wanted: int) -> bool:
        return len(self.jobs) < self.slots

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        if self.jobs:
            job = self.jobs.pop(0)
            kind, value = do_job(
                job,
                at_once,
                self.plan.task_sources,
                self.loaded,
                device="cpu",
                cache=None,
                should_stop=bool,
            )
            yield Event(kind, job, value)

    def stop(self) -> None:
        pass

    close = stop


def at_once(*arguments: Any, **options: Any) -> Any:
    """What takes the place of training; it notes the run where ``DRIVER_NOTES`` names a file."""
    done = fake_finetune(*arguments, step_seconds=0.0, **options)
    if path := os.environ.get("DRIVER_NOTES"):
        with Path(path).open("a") as file:
            file.write(f"{arguments[0].run_name}\n")
    return done


def main() -> None:
    """Print one row a store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=33)
    parser.add_argument("--regimes", type=int, choices=(1, 2, 3), default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--stores", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite"])
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120, help="with --processes")
    parser.add_argument("--work", nargs=2, metavar=("FOLDER", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), options.work[1], options)
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="driver-") as name, ExitStack() as stack:
        folder = Path(name)
        names = [f"t{number:02d}" for number in range(options.tasks)]
        make_tasks(folder / "tasks", " ".join(names), train=8, test=2)
        (folder / "plan.toml").write_text(
            PLAN.format(
                tasks=names, regimes=REGIMES[: options.regimes], seeds=list(range(options.seeds))
            )
        )
        began = time.perf_counter()
        plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
        print(
            f"{len(plan.runs)} runs; the plan is read in {time.perf_counter() - began:.1f} s",
            flush=True,
        )
        for kind in options.stores:
            address = str(folder / "runs.sqlite")
            if kind == "postgresql":
                import postgresql_server

                server = stack.enter_context(postgresql_server.running_server())
                address = postgresql_server.new_database(server)
            if options.processes > 1:
                share_store(plan, folder, address, options)
                continue
            rows.append(
                [
                    kind,
                    "Ray" if options.ray else "this process",
                    *measure(plan, folder, address, options),
                ]
            )
    columns = [
        "store",
        "engine",
        "runs",
        "adding, s",
        "runs/s",
        "first tenth",
        "last tenth",
        "runs an hour",
    ]
    if rows:
        print_table(columns, rows)


def share_store(plan: Plan, folder: Path, address: str, options: argparse.Namespace) -> None:
    """Let processes work on one store, and compare what they did with what it holds."""
    with closing(Store(address, create=True)) as store:
        store.add(plan.runs)
    command = [sys.executable, str(HERE), "--slots", "1", "--seconds", f"{options.seconds}"]
    processes = [
        subprocess.Popen(
            [*command, "--work", str(folder), address],
            env={**os.environ, "DRIVER_NOTES": str(folder / f"done-{number}")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(options.processes)
    ]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    each = [(folder / f"done-{n}").read_text().split() for n in range(options.processes)]
    done = [name for names in each for name in names]
    with closing(Store(address)) as store:
        runs = store.runs()
    stored = {plan.stages[run.key].run_name for run in runs if run.status == "done"}
    states = sorted({run.status for run in runs})
    assert len(done) == len(set(done)), f"{len(done) - len(set(done))} runs were done twice"
    assert set(done) == stored, (
        f"{len(set(done) ^ stored)} runs differ between the store and the processes"
    )
    assert set(states) <= {"done", "pending"}, states
    print(
        f"{options.processes} processes, {options.seconds:.0f} s: {len(done)} runs, {min(map(len, each))} to "
        f"{max(map(len, each))} each; none lost, none twice"
    )


def work(folder: Path, address: str, options: argparse.Namespace) -> None:
    """Work on the plan of a folder, as one of several processes."""
    plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
    checkpoints = open_checkpoints(folder / "checkpoints")
    limits = Limits(seconds=options.seconds)
    with closing(Store(address)) as store:
        engine: Any = AtOnce(plan, options.slots)
        PlanDriver(store, plan.stages, checkpoints, engine, limits=limits).run()


def measure(plan: Plan, folder: Path, address: str, options: argparse.Namespace) -> list[Any]:
    """Do the plan; its size, seconds to add it, and rates."""
    store = Store(address, create=True)
    began = time.perf_counter()
    store.add(plan.runs)
    added = time.perf_counter() - began
    checkpoints = open_checkpoints(folder / "checkpoints")
    with ExitStack() as stack:
        engine: Any = AtOnce(plan, options.slots)
        if options.ray:
            import ray_cluster

            cluster = stack.enter_context(ray_cluster.running_cluster(nodes=0, cpus_of_head=2))
            from transfer_meta.runs.ray_engine import RayEngine
            from transfer_meta.runs.ray_nodes import connect_ray

            connect_ray(cluster.address)
            engine = RayEngine(plan.task_sources, checkpoints, finetune=at_once)
        ended: list[float] = []
        used = time.process_time()
        PlanDriver(
            store, plan.stages, checkpoints, engine, tell=lambda _: ended.append(time.perf_counter())
        ).run()
        used = time.process_time() - used
    runs = store.runs()
    assert {run.status for run in runs} == {"done"}
    store.close()
    times = np.array(ended)
    tenth = len(times) // 10
    mean, first, last = (
        (len(part) - 1) / (part[-1] - part[0]) for part in (times, times[:tenth], times[-tenth:])
    )
    return [len(runs), added, mean, first, last, 1000 * used / len(runs), 3600 * mean]


if __name__ == "__main__":
    main()
