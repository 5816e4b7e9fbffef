"""Fault test: kill -9 at random moments during a grid; afterwards the store must equal an undisturbed one.

    python tests/faults/kill.py --kills 200 --store both --model fake
    python tests/faults/kill.py --kills 50 --store both --model tiny

Not part of ``make test``, which kills six times on each kind of store (``test_kill.py``).

A victim is the process that works on the plan, one of its worker processes, or all of them at once.  When the
plan's process is gone it is started again, at once.  Checked at the end: the same outcomes with the same
scores, each once; every learning curve whole; no checkpoint, state or unfinished file left; no process left.
``--model fake`` puts sleep in place of training: many kills in little time.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

PLAN = """
tasks_folder = "tasks"
tasks = ["a", "b", "c", "d"]
grid = "all"
methods = ["intermediate", "multitask", "soft"]
regimes = ["20-16"]
seeds = {seeds}
encoder = "random:1x16"
[training]
epochs = 2
batch_size = 4
dev_examples = 8
[mixing]
weighting = "uncertainty"
"""
# Longest wait before a kill, seconds.
PATIENCE = {"fake": 2.0, "tiny": 4.0}
# Share of the kills that wait until a run has ended since the last one; the others may hit the start-up.
PROGRESS_SHARE = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--model", choices=("tiny", "fake"), default="tiny")
    parser.add_argument("--grid-seeds", type=int, default=2, help="seeds of the plan: 44 runs each")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    parser.add_argument("--url", help="a PostgreSQL server that is there; else one is started")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if arguments.store in ("sqlite", "both"):
            run_fault_test(Path(folder) / "sqlite", arguments, None)
        if arguments.store in ("postgresql", "both"):
            import postgresql_server

            if arguments.url:
                run_fault_test(Path(folder) / "postgresql", arguments, arguments.url)
            else:
                with postgresql_server.running_server() as url:
                    run_fault_test(Path(folder) / "postgresql", arguments, url)


def run_fault_test(folder: Path, arguments: argparse.Namespace, server: str | None) -> None:
    """One kind of store: an undisturbed run, then disturbed ones until all kills are spent."""
    from fake_training import make_tasks

    began = time.monotonic()
    make_tasks(folder / "tasks", "a b c d", train=40)
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(seeds=list(range(arguments.grid_seeds))))
    reference = Grid(folder / "undisturbed", plan, arguments, server)
    reference.finish()
    expected = reference.content()
    kills, rounds = 0, 0
    while kills < arguments.kills:
        rounds += 1
        grid = Grid(folder / f"round{rounds}", plan, arguments, server)
        kills += grid.disturb(arguments.kills - kills)
        grid.finish()
        check(expected, grid.content(), grid)
    kind = "postgresql" if server else "sqlite"
    print(
        f"{kind}, {arguments.model}: {kills} kills in {rounds} grids of {len(expected)} runs by "
        f"{arguments.workers} workers; every grid equals the undisturbed one; {time.monotonic() - began:.0f} s",
        flush=True,
    )


class Grid:
    """One store, and the processes that work on it."""

    def __init__(
        self, folder: Path, plan: Path, arguments: argparse.Namespace, server: str | None
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.arguments = arguments
        self.address = str(folder / "runs.sqlite")
        if server:
            import postgresql_server

            self.address = postgresql_server.new_database(server)
        self.checkpoints = folder / "checkpoints"
        program = (
            [str(Path(__file__)), "--work"]
            if arguments.model == "fake"
            else ["-m", "transfer_meta", "run"]
        )
        self.command = [
            sys.executable,
            *program,
            str(plan),
            *("--workers", str(arguments.workers), "--device", "cpu"),
            *("--checkpoints", str(self.checkpoints)),
        ]
        self.environment = {
            **os.environ,
            "TRANSFER_META_STORE": self.address,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        self.sessions: list[int] = []

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.sessions.append(process.pid)
        return process

    def finish(self) -> None:
        """Work on undisturbed until nothing is left."""
        process = self.start()
        if process.wait(timeout=900):
            sys.exit(f"exit code {process.returncode}:\n{(self.folder / 'log').read_text()[-3000:]}")

    def disturb(self, kills: int) -> int:
        """Kill until the kills are spent or the grid is done; returns how many kills there were."""
        done = 0
        process = self.start()
        while done < kills:
            if random.random() < PROGRESS_SHARE:
                self.await_progress(process)
            wait = random.uniform(0, PATIENCE[self.arguments.model])
            try:
                code = process.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                done += 1
                self.kill(process)
            else:
                if code != 0:
                    sys.exit(f"exit code {code}:\n{(self.folder / 'log').read_text()[-3000:]}")
                break
            if process.poll() is not None:
                process = self.start()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return done

    def await_progress(self, process: subprocess.Popen[bytes]) -> None:
        log = self.folder / "log"
        before = log.stat().st_size
        deadline = time.monotonic() + 60
        while log.stat().st_size == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        victims = ["plan", "everything", *workers_of(process.pid)]
        victim = random.choice(victims)
        try:
            if victim == "plan":
                process.kill()
            elif victim == "everything":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                os.kill(int(victim), signal.SIGKILL)
        except ProcessLookupError:
            return
        if victim in ("plan", "everything"):
            process.wait()

    def content(self) -> dict[tuple[object, ...], object]:
        """Every run with all that must not depend on kills."""
        from transfer_meta.runs.store.run_store import Store

        store = Store(self.address)
        found: dict[tuple[object, ...], object] = {}
        for run in store.runs():
            name = (run.key, run.method, run.source, run.target, run.regime, run.seed)
            assert name not in found, f"twice: {name}"
            curves = {task: vars(curve) for task, curve in store.curves(run.id).items()}
            found[name] = (run.status, run.score, run.scores, run.start_key, run.baseline_key, curves)
        assert not store.checkpoints(), "checkpoints on record that nobody needs"
        store.close()
        return found


def workers_of(parent: int) -> list[str]:
    """Process ids of the worker processes."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = status.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"spawn_main" in command:
            found.append(status.parent.name)
    return found


def left_over(sessions: list[int]) -> list[str]:
    """Processes of those sessions that are still there."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) in sessions and fields[0] != "Z":
            found.append(status.parent.name)
    return found


def check(expected: dict, found: dict, grid: Grid) -> None:
    """Raise where a disturbed grid differs from the undisturbed one."""
    assert found.keys() == expected.keys(), "other runs than those of the undisturbed grid"
    for name, (*row, curves) in expected.items():
        *other, other_curves = found[name]
        assert row == other, f"{name}: {row} became {other}"
        assert row[0] == "done", name
        assert curves.keys() == other_curves.keys()
        assert curves, f"{name} has no learning curve"
        for task in curves:
            for part, values in curves[task].items():
                np.testing.assert_array_equal(
                    values, other_curves[task][part], err_msg=str((name, task, part))
                )
    shared = ("tokens", ".shared-folder")
    files = [entry.name for entry in grid.checkpoints.iterdir() if entry.name not in shared]
    assert not files, f"left in the checkpoint folder: {files}"
    deadline = time.monotonic() + 30
    while (processes := left_over(grid.sessions)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes, f"processes left: {processes}"


def work() -> int:
    """Do what ``transfer-meta run`` does, with sleep in place of training."""
    from fake_training import fake_finetune

    from transfer_meta.runs.local_engine import LocalEngine

    def engine(arguments: argparse.Namespace, plan: Any) -> LocalEngine:
        return LocalEngine(["cpu"] * arguments.workers, plan.task_sources, finetune=fake_finetune)

    return work_on_plan(engine)


def work_on_plan(make_engine: Callable[[argparse.Namespace, Any], Any]) -> int:
    """The command that the victims run; its engine is made from its options and the plan."""
    from fake_training import fake_facts

    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
    from transfer_meta.runs.driver import PlanDriver
    from transfer_meta.runs.plan import load_plan
    from transfer_meta.runs.store.run_store import Store

    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device")
    parser.add_argument("--engine")
    parser.add_argument("--address")
    parser.add_argument("--checkpoints", type=Path)
    arguments = parser.parse_args(sys.argv[2:])
    plan = load_plan(arguments.plan, encoder_facts=fake_facts)
    store = Store(os.environ["TRANSFER_META_STORE"], create=True)
    store.add(plan.runs)
    checkpoints = open_checkpoints(arguments.checkpoints)
    tell = functools.partial(print, flush=True)
    summary = PlanDriver(store, plan.stages, checkpoints, make_engine(arguments, plan), tell=tell).run()
    return 1 if summary.failed or summary.skipped else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        sys.exit(work())
    main()
