"""Runs as tasks of a Ray cluster: Ray queues them, places them, and does them again where a node is lost.

Which run can start is for the store to say, as with every engine: a target is claimed as soon as its source's
checkpoint is there.  Everything else is Ray's: `RayEngine` hands claimed runs over and takes results in.
The nodes see the tasks' files and the checkpoint folder under the same paths as the driver does.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError

from transfer_meta.errors import InputError
from transfer_meta.provenance import package_versions
from transfer_meta.runs.checkpoints.folder import Checkpoints, open_checkpoints
from transfer_meta.runs.engine import Event, Finetune, Job, TaskSource, do_job, real_finetune
from transfer_meta.runs.ray_nodes import (
    Expected,
    Share,
    alive_nodes,
    check_nodes,
    failure_reason,
    given_device,
    of_node,
)

if TYPE_CHECKING:
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.store.database import Database
    from transfer_meta.tasks import Task

# How often a run is begun again, by Ray, whose worker or node went away.
RETRIES = 4
# How often to ask which nodes there are.
NODE_CHECK_SECONDS = 5.0
# Runs handed over beyond those that have room, as a share: a slot that falls free finds the next one waiting.
BACKLOG = 0.25


class RayEngine:
    """Runs jobs on the cluster that `transfer_meta.runs.ray_nodes.connect_ray` joined.

    Parameters
    ----------
    tasks
        Where the tasks are read from; every node sees the files.
    folder
        The checkpoints; every node sees them.
    store
        The run store, if its kind is to be looked at: SQLite is for one node.
    gpus_per_run
        Share of a graphics card; None: a whole one where the cluster has any.
    cpus_per_run
        Cores.
    memory_per_run
        Main memory in bytes; None: what the largest run so far held.
    cards
        How many runs a graphics card holds, where it is shared; None: as many as have their share of it.
    encoder
        Name and revision of the plan's encoder, to be compared on every node.
    finetune
        What does a run, importable by its name; None: `transfer_meta.training.finetune.finetune`.

    Raises
    ------
    InputError
        No node has room for a run, one that has cannot give the same results as this machine, or `store`
        cannot be shared by all.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskSource],
        folder: Checkpoints,
        *,
        store: Database | None = None,
        gpus_per_run: float | None = None,
        cpus_per_run: float = 1.0,
        memory_per_run: int | None = None,
        cards: CardMemory | None = None,
        encoder: tuple[str, str] | None = None,
        finetune: Finetune | None = None,
    ) -> None:
        nodes = alive_nodes()
        if gpus_per_run is None:
            gpus_per_run = float(any(node["Resources"].get("GPU") for node in nodes))
        self.share = Share(cpus_per_run, gpus_per_run, memory_per_run or 0)
        self._asked = self.share
        self._cards = cards if 0 < gpus_per_run < 1 else None
        self._plans_memory = memory_per_run is None
        # max_calls: Ray would end a process that used a GPU, and with it torch's start-up, after every run.
        self._task = ray.remote(max_retries=RETRIES, max_calls=0, scheduling_strategy="SPREAD")(_work)
        self._jobs: dict[Any, Job] = {}
        self._room = 0
        self._looked = 0.0
        places = [task.address for task in tasks.values() if not task.address.startswith("hf:")]
        self._expected = Expected(
            tuple(package_versions().items()), folder.address, folder.mark(), tuple(places), encoder
        )
        self._common = ray.put((self._expected, tasks, finetune))
        try:
            self._look()
            if not self._room:
                raise InputError(f"no node of the cluster has room for a run of {self.share}")
            self._share_cards()
            if store is not None and store.is_sqlite and self.machines > 1:
                raise InputError(
                    f"the store '{store.name}' is a SQLite file, which only the processes of one machine can "
                    f"share; the cluster has {self.machines} (expected --store postgresql://HOST/DATABASE)"
                )
            check_nodes([node for node in nodes if self.share.fits(node)], self._expected)
        except BaseException:
            self.close()
            raise

    def __str__(self) -> str:
        nodes = self.machines
        room = sum(self._asked.fits(node) for node in alive_nodes())
        return f"{nodes} node{'s' * (nodes != 1)} with room for {room} runs of {self._asked}"

    @property
    def machines(self) -> int:
        """Nodes that have room for runs."""
        return sum(self.share.fits(node) > 0 for node in alive_nodes())

    def has_room(self, wanted: int) -> bool:
        """Whether another job may be handed over: as many as the cluster holds, and a few that wait."""
        if time.monotonic() - self._looked > NODE_CHECK_SECONDS:
            self._look()
        return len(self._jobs) < self._room + max(1, self._room * BACKLOG)

    def submit(self, job: Job) -> None:
        """Hand a job over to Ray."""
        share = self.share
        task = self._task.options(
            name=f"{'+'.join(job.stage.tasks)} seed {job.stage.seed}",
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            memory=share.memory_bytes or None,
        )
        self._jobs[task.remote(job, self._common)] = job

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        """The ends of jobs; waits for the first for at most so long."""
        if not self._jobs:
            time.sleep(timeout_seconds)
            return
        ended, _ = ray.wait(list(self._jobs), timeout=timeout_seconds, fetch_local=False)
        if ended:
            ended, _ = ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=0)
        for reference in ended:
            job = self._jobs.pop(reference)
            kind, value = _outcome(reference)
            if kind == "unfit":
                yield Event("stopped", job, None)
                raise InputError(value)
            if kind == "done" and self._plans_memory and not self.share.gpus:
                self._plan_memory(value.peak_memory_bytes)
            if kind == "done" and self._cards and self._cards.learn(value):
                self._share_cards()
            yield Event("failed" if kind == "crashed" else kind, job, value)

    def stop(self) -> None:
        """Ask the jobs in hand to stop after their current step; those that wait are not begun."""
        for reference in self._jobs:
            ray.cancel(reference, force=False)

    def close(self) -> None:
        """End whatever is in hand, and leave the cluster."""
        for reference in self._jobs:
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(reference, force=True)
        self._jobs.clear()
        ray.shutdown()

    def _look(self) -> None:
        """See how many runs the nodes have room for: nodes come and go."""
        self._room = sum(self.share.fits(node) for node in alive_nodes())
        self._looked = time.monotonic()

    def _share_cards(self) -> None:
        """Give each run what keeps others off its card that would not fit."""
        if self._cards is None:
            return
        # Ray rounds shares to four decimals: seven of 0.1429 would be more than a card.
        least = math.floor(10_000 / self._cards.allowed) / 10_000
        self.share = replace(self.share, gpus=max(self._asked.gpus, least))
        self._look()

    def _plan_memory(self, peak_bytes: int) -> None:
        """Reserve for each run what the largest held; never more than the largest node has."""
        largest = max((node["Resources"].get("memory", 0) for node in alive_nodes()), default=0)
        planned = int(min(max(peak_bytes, self.share.memory_bytes), largest))
        self.share = replace(self.share, memory_bytes=planned)


Common = tuple[Expected, Mapping[str, TaskSource], Finetune | None]

# What a worker process keeps from one job to the next: the tasks it has read, and whether it must not go on.
_loaded: dict[str, Task] = {}
_crashed = threading.Event()


def _work(job: Job, common: Common) -> tuple[str, Any]:
    """Do one job on whatever node this is."""
    expected, tasks, finetune = common
    if _crashed.is_set():
        # What the last run left behind, on a GPU above all, may spoil this one: Ray does it elsewhere.
        os._exit(1)
    if faults := _faults(expected):
        return "unfit", of_node(socket.gethostname(), faults)
    stop = threading.Event()
    # An interrupt is how `ray.cancel` reaches a task.
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        kind, value = do_job(
            job,
            finetune or real_finetune(),
            tasks,
            _loaded,
            device=given_device(),
            cache=_tokens(expected.checkpoints),
            should_stop=stop.is_set,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    if kind == "crashed":
        _crashed.set()
    elif kind == "done":
        value = replace(value, notes={**value.notes, "node": socket.gethostname()})
    return kind, value


@cache
def _faults(expected: Expected) -> list[str]:
    """What is wrong with this process's node, which may have joined after the others were looked at."""
    return expected.faults()


@cache
def _tokens(checkpoints: str) -> Path:
    """Where this node keeps tokenised tasks."""
    return open_checkpoints(checkpoints, create=False).tokens


def _outcome(reference: Any) -> tuple[str, Any]:
    """What came of a task that ended."""
    try:
        return ray.get(reference)
    except TaskCancelledError:
        return "stopped", None
    except RayTaskError as error:
        return "failed", failure_reason(error)
    except RayError as error:
        return "failed", f"{failure_reason(error)} (after {RETRIES} retries)"
