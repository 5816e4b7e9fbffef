"""Engine that executes runs in worker processes of this machine, one for each slot of a device."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError
from transfer_meta.runs.engine import Event, Finetune, Job, TaskSource, do_job, real_finetune

if TYPE_CHECKING:
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.tasks import Task

MAX_FAILED_STARTS = 3
"""Workers that end in a row before they are ready, after which no further one is started."""


class LocalEngine:
    """Execute jobs in processes of this machine.

    Every worker has its own pipe and shares no lock with others, so killing one does not affect them.  A worker
    whose parent is gone stops after its current step.

    Parameters
    ----------
    slots : sequence of str
        The device of each worker, such as ``cpu`` or ``cuda:0``; a device may occur more than once.
    tasks : mapping of str to TaskSource
    cache : Path or None
        Folder for tokenised tasks.
    cards : CardMemory or None
        How many runs a graphics card holds; None for one for each of its slots.
    finetune : callable or None
        Executes a run, importable by its name; None for `transfer_meta.training.finetune.finetune`.
    """

    def __init__(
        self,
        slots: Sequence[str],
        tasks: Mapping[str, TaskSource],
        *,
        cache: Path | None = None,
        cards: CardMemory | None = None,
        finetune: Finetune | None = None,
    ) -> None:
        self._slots = tuple(slots)
        self._cards = cards
        self._free_slots = list(reversed(slots))
        self._workers: list[_Worker] = []
        # More threads than cores slow each other down.
        self.threads = max(1, _cores() // max(1, len(slots)))
        self._failed_starts = 0
        self._arguments = (tasks, cache, finetune, self.threads)

    def __str__(self) -> str:
        return ", ".join(self._slots)

    def has_room(self, wanted: int) -> bool:
        """Return whether a worker is idle; start workers for up to `wanted` jobs on free slots."""
        self._end_surplus()
        idle = [worker for worker in self._workers if worker.job is None]
        for slot in self._slots_with_memory()[: max(0, wanted - len(idle))]:
            self._free_slots.remove(slot)
            self._workers.append(_Worker(slot, self._arguments))
        return any(worker.is_ready for worker in idle)

    def submit(self, job: Job) -> None:
        worker = next(w for w in self._workers if w.is_ready and w.job is None)
        worker.job = job
        # `events` notices a worker that has just died.
        with contextlib.suppress(OSError):
            worker.connection.send(job)

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        ready = wait([worker.connection for worker in self._workers], timeout_seconds)
        for worker in [w for w in self._workers if w.connection in ready]:
            try:
                kind, value = worker.connection.recv()
            except (EOFError, OSError):
                self._workers.remove(worker)
                self._free_slots.append(worker.device)
                reason = worker.bury()
                if worker.job is not None:
                    yield Event("died", worker.job, reason)
                elif not worker.is_ready and (worker.process.exitcode or 0) > 0:
                    self._failed_starts += 1
                    if self._failed_starts == MAX_FAILED_STARTS:
                        raise InputError(f"the worker does not start: {reason}") from None
                continue
            if kind == "ready":
                worker.is_ready, self._failed_starts = True, 0
            elif worker.job is not None:
                job, worker.job = worker.job, None
                if kind == "done" and self._cards and worker.device != "cpu":
                    self._cards.learn(value)
                yield Event(kind, job, value)

    def stop(self) -> None:
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.connection.send(None)

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()
            if worker.job is not None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(5)
            worker.process.kill()
            worker.process.join()
        self._workers.clear()

    def _slots_with_memory(self) -> list[str]:
        """Return free slots, at most as many of a card as it holds runs."""
        held = Counter(worker.device for worker in self._workers)
        found = []
        for slot in reversed(self._free_slots):
            if self._cards is None or slot == "cpu" or held[slot] < self._cards.allowed:
                held[slot] += 1
                found.append(slot)
        return found

    def _end_surplus(self) -> None:
        """End idle workers of cards that hold fewer runs: a process keeps its memory between runs."""
        if self._cards is None:
            return
        held = Counter(worker.device for worker in self._workers)
        for worker in [w for w in self._workers if w.job is None and w.device != "cpu"]:
            if held[worker.device] > self._cards.allowed:
                held[worker.device] -= 1
                self._workers.remove(worker)
                self._free_slots.append(worker.device)
                worker.bury()


class _Worker:
    """A worker process with the engine's end of its pipe."""

    def __init__(self, device: str, arguments: tuple[Any, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self.device = device
        self.job: Job | None = None
        self.is_ready = False
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs, device, *arguments))
        with _ignored_interrupts():
            self.process.start()
        theirs.close()

    def bury(self) -> str:
        """Return why the process has ended."""
        self.connection.close()
        self.process.join(10)
        code = self.process.exitcode
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"its process was ended by {signal.Signals(-code).name}{hint}"
        return f"its process ended with exit code {code}"


def work(
    connection: Connection,
    device: str,
    tasks: Mapping[str, TaskSource],
    cache: Path | None,
    finetune: Finetune | None,
    threads: int,
) -> None:
    """Execute the jobs that arrive through a pipe until it is closed; runs in a worker process."""
    stop = threading.Event()
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def stop_now(*_: object) -> None:
        stop.set()
        jobs.put(None)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGTERM, stop_now)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # By default oneDNN caches 1,024 compiled products, one for each shape, which fills the memory over many runs.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    train = finetune or real_finetune()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while (message := connection.recv()) is not None:
                jobs.put(message)
        stop_now()

    threading.Thread(target=listen, daemon=True).start()
    loaded: dict[str, Task] = {}
    # The pipe breaks when the parent is gone.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(("ready", None))
        while not stop.is_set() and (job := jobs.get()) is not None:
            kind, value = do_job(
                job, train, tasks, loaded, device=device, cache=cache, should_stop=stop.is_set
            )
            connection.send(("failed" if kind == "crashed" else kind, value))
            if kind == "crashed":
                break  # the state after a crash, of a GPU above all, may spoil the next run


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Make a child process started in the context ignore Ctrl-C from its first instruction on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
