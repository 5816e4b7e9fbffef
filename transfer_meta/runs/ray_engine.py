"""Engine that executes runs as tasks of a Ray cluster.

As with every engine, the store decides which run can start.  Ray queues the submitted runs, places them on nodes,
and repeats those whose node is lost.  All nodes must see the tasks' files and the checkpoints under the paths that
the driver uses.
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
from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints
from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
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
from transfer_meta.tasks.hub import is_hub_address

if TYPE_CHECKING:
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.store.database import Database
    from transfer_meta.tasks import Task

RETRIES = 4
"""How often Ray repeats a run whose worker process or node was lost."""
NODE_CHECK_SECONDS = 5.0
BACKLOG = 0.25
"""Runs submitted beyond the cluster's room, as a share of it, so that a free slot does not wait for the driver."""


class RayEngine:
    """Execute jobs on the cluster joined by `transfer_meta.runs.ray_nodes.connect_ray`.

    Parameters
    ----------
    tasks : mapping of str to TaskSource
    checkpoints : Checkpoints
    share : Share or None
        Resources of a run; None for the defaults of `Share`.
    store : Database or None
        Run store, to check that all nodes can share it: SQLite serves one node only.
    cards : CardMemory or None
        How many runs a graphics card holds; None for as many as their share allows.
    encoder : (str, str) or None
        Name and revision of the plan's encoder, compared on every node.
    finetune : callable or None
        Executes a run, importable by its name; None for `transfer_meta.training.finetune.finetune`.

    Raises
    ------
    InputError
        No node has room for a run, a node cannot give the same results as this machine, or the nodes cannot share
        `store`.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskSource],
        checkpoints: Checkpoints,
        *,
        share: Share | None = None,
        store: Database | None = None,
        cards: CardMemory | None = None,
        encoder: tuple[str, str] | None = None,
        finetune: Finetune | None = None,
    ) -> None:
        nodes = alive_nodes()
        share = share or Share()
        self._plans_memory = share.memory_bytes is None
        if share.gpus is None:
            share = replace(share, gpus=float(any(node["Resources"].get("GPU") for node in nodes)))
        self.share = self._asked = share
        self._cards = cards if 0 < (share.gpus or 0) < 1 else None
        # max_calls: by default Ray ends a process that used a GPU after every run, and torch starts slowly.
        self._task = ray.remote(max_retries=RETRIES, max_calls=0, scheduling_strategy="SPREAD")(_work)
        self._jobs: dict[Any, Job] = {}
        self._room = 0
        self._counted = 0.0
        places = [task.address for task in tasks.values() if not is_hub_address(task.address)]
        self._expected = Expected(
            tuple(package_versions().items()),
            checkpoints.address,
            checkpoints.mark(),
            tuple(places),
            encoder,
        )
        self._common = ray.put((self._expected, tasks, finetune))
        try:
            self._count_room()
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
        """Number of nodes that have room for runs."""
        return sum(self.share.fits(node) > 0 for node in alive_nodes())

    def has_room(self, wanted: int) -> bool:
        """Return whether another job may be submitted: as many as fit on the cluster, plus `BACKLOG`."""
        if time.monotonic() - self._counted > NODE_CHECK_SECONDS:
            self._count_room()
        return len(self._jobs) < self._room + max(1, self._room * BACKLOG)

    def submit(self, job: Job) -> None:
        share = self.share
        task = self._task.options(
            name=f"{'+'.join(job.stage.tasks)} seed {job.stage.seed}",
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            memory=share.memory_bytes or None,
        )
        self._jobs[task.remote(job, self._common)] = job

    def events(self, timeout_seconds: float) -> Iterator[Event]:
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
        for reference in self._jobs:
            ray.cancel(reference, force=False)

    def close(self) -> None:
        for reference in self._jobs:
            with contextlib.suppress(RayError, ValueError):
                ray.cancel(reference, force=True)
        self._jobs.clear()
        ray.shutdown()

    def _count_room(self) -> None:
        """Count how many runs fit on the nodes, which come and go."""
        self._room = sum(self.share.fits(node) for node in alive_nodes())
        self._counted = time.monotonic()

    def _share_cards(self) -> None:
        """Raise each run's share of a card so that no more runs are placed on it than fit."""
        if self._cards is None:
            return
        # Ray rounds shares to four decimals: seven shares of 0.1429 exceed a card.
        least = math.floor(10_000 / self._cards.allowed) / 10_000
        self.share = replace(self.share, gpus=max(self._asked.gpus or 0, least))
        self._count_room()

    def _plan_memory(self, peak_bytes: int) -> None:
        """Reserve the memory of the largest run so far for each run, at most that of the largest node."""
        largest = max((node["Resources"].get("memory", 0) for node in alive_nodes()), default=0)
        planned = int(min(max(peak_bytes, self.share.memory_bytes or 0), largest))
        self.share = replace(self.share, memory_bytes=planned)


Common = tuple[Expected, Mapping[str, TaskSource], Finetune | None]

# State of a worker process between jobs.
_loaded: dict[str, Task] = {}
_crashed = threading.Event()


def _work(job: Job, common: Common) -> tuple[str, Any]:
    """Execute a job on this node."""
    expected, tasks, finetune = common
    if _crashed.is_set():
        # The state after a crash, of a GPU above all, may spoil this run: Ray repeats it in another process.
        os._exit(1)
    if faults := _faults(expected):
        return "unfit", of_node(socket.gethostname(), faults)
    stop = threading.Event()
    # `ray.cancel` interrupts a task.
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
    """Return what is wrong with this node, which may have joined after the driver checked the others."""
    return expected.faults()


@cache
def _tokens(checkpoints: str) -> Path:
    """Return this node's folder for tokenised tasks."""
    return open_checkpoints(checkpoints, create=False).tokens


def _outcome(reference: Any) -> tuple[str, Any]:
    """Return kind and value of a task that ended; see `transfer_meta.runs.engine.do_job`."""
    try:
        return ray.get(reference)
    except TaskCancelledError:
        return "stopped", None
    except RayTaskError as error:
        return "failed", failure_reason(error)
    except RayError as error:
        return "failed", f"{failure_reason(error)} (after {RETRIES} retries)"
