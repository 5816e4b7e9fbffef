"""Soak test of the Ray engine: nodes, drivers and the database go away in mid-grid, the outcomes do not change.

    python tests/faults/soak_ray.py --faults 30 --model tiny

A cluster of three nodes on this machine (`ray.cluster_utils`: a head that does no runs, and two of one CPU
each) with a PostgreSQL server works on a plan.  A fault is: the raylet of a node is killed with SIGKILL and a
new node joins; the driver is killed and started again; the database is stopped as by a crash and started again.
Checked at the end of every grid, as in kill.py: the same outcomes with the same scores as those of an
undisturbed grid by local processes, each once, every learning curve whole, nothing left in the checkpoint folder.
``--model fake`` puts sleep in place of training.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1]), str(HERE.parents[2])]

import kill  # noqa: E402
import postgresql_server  # noqa: E402
import ray_cluster  # noqa: E402

FAULTS = ("node", "driver", "database")
# Longest wait between two faults, seconds.
PATIENCE = {"fake": 3.0, "tiny": 10.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--kinds", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--model", choices=("tiny", "fake"), default="tiny")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--grid-seeds", type=int, default=2, help="seeds of the plan: 32 runs each")
    parser.add_argument("--seed", type=int, default=0, help="of moments and order")
    parser.add_argument("--url", help="a PostgreSQL server that is there; else one is started")
    arguments = parser.parse_args()
    arguments.workers = 1
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        if arguments.url:
            soak(Path(folder), arguments, arguments.url)
        else:
            with postgresql_server.running_server() as url:
                soak(Path(folder), arguments, url)


def soak(folder: Path, arguments: argparse.Namespace, server: str) -> None:
    """An undisturbed grid by local processes, then disturbed ones on Ray until all faults are spent."""
    from fake_training import make_tasks

    began = time.monotonic()
    make_tasks(folder / "tasks", "a b c d", train=40)
    plan = folder / "plan.toml"
    plan.write_text(kill.PLAN.format(seeds=list(range(arguments.grid_seeds))))
    reference = kill.Grid(folder / "undisturbed", plan, arguments, None)
    reference.finish()
    expected = reference.content()
    left = [arguments.kinds[i % len(arguments.kinds)] for i in range(arguments.faults)]
    random.shuffle(left)
    grids, done, attempts = 0, Counter[str](), 0
    with ray_cluster.running_cluster(arguments.nodes, cpus_of_head=0) as cluster:
        while left:
            grids += 1
            grid = RayGrid(folder / f"grid{grids}", plan, arguments, server, cluster)
            done += grid.disturb(left)
            grid.finish()
            kill.check(expected, grid.content(), grid)
            attempts += grid.attempts()
    counts = ", ".join(f"{done[kind]} {kind}" for kind in FAULTS if done[kind])
    print(
        f"ray, {arguments.model}: {done.total()} faults ({counts}) in {grids} grids of {len(expected)} runs on "
        f"{arguments.nodes} nodes; {attempts - grids * len(expected)} claims more than runs; every grid equals "
        f"the undisturbed one; {time.monotonic() - began:.0f} s",
        flush=True,
    )


class RayGrid(kill.Grid):
    """One store, the drivers that work on it, and the faults they have to bear."""

    def __init__(
        self, folder: Path, plan: Path, arguments: argparse.Namespace, server: str, cluster: Any
    ) -> None:
        super().__init__(folder, plan, arguments, server)
        self.server, self.cluster = server, cluster
        program = [str(HERE), "--work"] if arguments.model == "fake" else ["-m", "transfer_meta", "run"]
        self.command = [
            sys.executable,
            *program,
            str(plan),
            *("--engine", "ray", "--address", cluster.address),
            *("--checkpoints", str(self.checkpoints)),
        ]
        self.environment["PYTHONPATH"] = ray_cluster.python_path()

    def disturb(self, left: list[str]) -> Counter[str]:
        """Faults, taken from the end of `left`, until there are none or the grid is done."""
        done = Counter[str]()
        process = self.start()
        while left:
            self.await_progress(process)
            try:
                code = process.wait(timeout=random.uniform(0, PATIENCE[self.arguments.model]))
            except subprocess.TimeoutExpired:
                kind = left.pop()
                done[kind] += 1
                process = self.suffer(kind, process)
            else:
                if code != 0:
                    sys.exit(f"exit code {code}:\n{(self.folder / 'log').read_text()[-3000:]}")
                break
        # The last fault is borne by the driver that saw it: `finish` only starts another one after it.
        if process.wait(timeout=900):
            sys.exit(f"exit code {process.returncode}:\n{(self.folder / 'log').read_text()[-3000:]}")
        return done

    def suffer(self, kind: str, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """One fault; returns the driver that works on."""
        if kind == "driver":
            process.kill()
            process.wait()
            return self.start()
        if kind == "database":
            postgresql_server.restart(self.server)
            return process
        self.cluster.remove_node(random.choice(list(self.cluster.worker_nodes)), allow_graceful=False)
        ray_cluster.add_node(self.cluster)
        return process

    def attempts(self) -> int:
        """Claims in all."""
        from transfer_meta.runs.store.run_store import Store

        store = Store(self.address)
        found = sum(run.attempts for run in store.runs())
        store.close()
        return found


def work() -> int:
    """Do what ``transfer-meta run --engine ray`` does, with sleep in place of training."""
    from fake_training import fake_finetune

    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
    from transfer_meta.runs.ray_engine import RayEngine
    from transfer_meta.runs.ray_nodes import connect_ray

    def engine(arguments: argparse.Namespace, plan: Any) -> RayEngine:
        connect_ray(arguments.address)
        checkpoints = open_checkpoints(arguments.checkpoints)
        return RayEngine(plan.task_sources, checkpoints, finetune=fake_finetune)

    return kill.work_on_plan(engine)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        sys.exit(work())
    main()
