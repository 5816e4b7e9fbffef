"""Working a plan off: claim a run, hand it to an engine, record what came of it, until none is left."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from transfer_meta._version import __version__
from transfer_meta.provenance import code_commit, host, is_alive
from transfer_meta.runs.checkpoints.folder import Checkpoints
from transfer_meta.runs.engine import Engine, Event, Job
from transfer_meta.runs.store.run_store import Claim, Store
from transfer_meta.training.stage import Stage

LEASE_SECONDS = 120.0
RENEWAL_SECONDS = 20.0
# How long to wait for an event before looking at the clock, the signals and the other processes.
TICK_SECONDS = 0.5
# How often to look for workers of this machine that were killed.
DEAD_WORKER_CHECK_SECONDS = 2.0
# A run during which the process went away so often is not tried again: it is what ends the process.
MAX_DEATHS = 5


@dataclass(frozen=True)
class Limits:
    """When to leave off although runs are left.

    Parameters
    ----------
    runs
        Runs begun; None: all.
    seconds
        Time since the start; the runs in hand are then stopped after their current step.
    """

    runs: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Summary:
    """How a plan stands after working on it.

    Parameters
    ----------
    done, failed, skipped, left
        Runs of the plan by status, whoever did them; `left` are pending or running elsewhere.
    signal
        The number of the signal that ended the work; None: none did.
    """

    done: int
    failed: int
    skipped: int
    left: int
    signal: int | None = None


class PlanDriver:
    """One process's work on the runs of a plan.

    Parameters
    ----------
    store
        Where the runs stand, all of `stages` among them.
    stages
        What to do, by key.
    folder
        Where encoders and states are left.
    engine
        What does the runs.
    keep
        Keep the encoders of runs without a source, though no run needs them.
    limits
        When to leave off.
    tell
        Called with one line for every run that ended.
    """

    def __init__(
        self,
        store: Store,
        stages: Mapping[str, Stage],
        folder: Checkpoints,
        engine: Engine,
        *,
        keep: bool = False,
        limits: Limits = Limits(),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.stages = stages
        self.folder = folder
        self.engine = engine
        self.keep = keep
        self.limits = limits
        self.tell = tell
        self._claims: dict[str, Claim] = {}
        self._deaths: Counter[str] = Counter()
        self._begun = self._ended = 0
        self._worker = f"{host()}|{os.getpid()}"
        self._commit = code_commit()
        self._started = self._renewed = time.monotonic()
        self._looked = 0.0
        self._statuses: dict[str, str] = {}
        self._by_status = Counter[str]()
        self._counted = -math.inf
        self._is_waiting = False
        self._stopping = False
        self._signal: int | None = None

    def run(self) -> Summary:
        """Work until every run has ended, a limit is reached, or a signal asks to stop."""
        with _signals(self._on_signal):
            try:
                self.folder.sweep(self.store)
                while self._step():
                    pass
            finally:
                self.engine.close()
                for claim in self._claims.values():
                    self.store.release(claim)
                self.folder.remove(self.store.drop_checkpoints())
                self.folder.sweep(self.store)
        counts = self._count()
        left = counts["pending"] + counts["running"]
        return Summary(counts["done"], counts["failed"], counts["skipped"], left, self._signal)

    def _step(self) -> bool:
        """Hand out what can start, take in what has ended; False when there is nothing to wait for."""
        self._tend()
        if not self._stopping:
            wanted = self._counts()["pending"]
            if self.limits.runs is not None:
                wanted = min(wanted, self.limits.runs - self._begun)
            while wanted > 0 and self.engine.has_room(wanted) and self._begin():
                wanted -= 1
            counts = self._counts()
            reached = self._begun == self.limits.runs
            if not self._claims and (reached or not counts["pending"] + counts["running"]):
                return False
            self._say_whether_waiting(counts)
        elif not self._claims:
            return False
        for event in self.engine.events(TICK_SECONDS):
            del self._claims[event.job.claim.token]
            self._end(event)
        return True

    def _tend(self) -> None:
        """What is due from time to time, and what has been asked for meanwhile."""
        now = time.monotonic()
        if self._signal is not None and not self._stopping:
            self._stop("stopping after the current step (once more: at once)")
        elif self.limits.seconds is not None and now - self._started > self.limits.seconds:
            self._stop("the time is up: stopping after the current step")
        if now - self._renewed > RENEWAL_SECONDS:
            self._renewed = now
            self.store.renew(list(self._claims.values()), lease_seconds=LEASE_SECONDS)
        if not self._stopping and now - self._looked > DEAD_WORKER_CHECK_SECONDS:
            self._looked = now
            self.store.release_dead(host(), is_alive)

    def _say_whether_waiting(self, counts: Counter[str]) -> None:
        elsewhere = counts["running"] - len(self._claims)
        if not self._claims and elsewhere and not self._is_waiting:
            self.tell(f"waiting for {elsewhere} runs of other processes")
        self._is_waiting = not self._claims and elsewhere > 0

    def _begin(self) -> bool:
        """Claim a run and hand it over; False where none can start now."""
        claim = self.store.claim(self.stages.keys(), worker=self._worker, lease_seconds=LEASE_SECONDS)
        if claim is None:
            return False
        if claim.start_file and self.folder.size(claim.start_file) is None:
            self.store.release(claim)
            self.store.forget_checkpoint(claim.start_file)
            return True
        stage = self.stages[claim.key]
        kept = self.keep and not stage.sources and stage.start is None
        start = self.folder.file(claim.start_file) if claim.start_file else None
        save = self.folder.file(self.folder.encoder(claim)) if claim.wanted or kept else None
        state = self.folder.file(self.folder.state(claim.key))
        self._begun += 1
        self._note(claim.key, "running")
        self._claims[claim.token] = claim
        self.engine.submit(Job(claim, stage, start, save, state))
        return True

    def _end(self, event: Event) -> None:
        """Record the end of a job."""
        job, claim = event.job, event.job.claim
        if event.kind == "done":
            self._finish(job, event.value)
        elif event.kind == "failed":
            self._fail(job, str(event.value))
        elif event.kind == "died" and not self._stopping:
            self._deaths[claim.key] += 1
            if self._deaths[claim.key] < MAX_DEATHS:
                self.store.release(claim)
                self._note(claim.key, "pending")
                self._tell(job, f"{event.value}; the run is done again")
            else:
                self._fail(job, f"{event.value}, {MAX_DEATHS} times")
        else:
            self.store.release(claim)
            self._note(claim.key, "pending")

    def _finish(self, job: Job, result: Any) -> None:
        checkpoint = None
        if job.save is not None:
            name = self.folder.encoder(job.claim)
            size = self.folder.size(name)
            if size is None:
                self._fail(job, f"it left no encoder '{name}' in '{self.folder.address}'")
                return
            checkpoint = (name, size)
        mine = self.store.finish(
            job.claim,
            curves={job.stage.target: result.curve, **result.source_curves},
            checkpoint=checkpoint,
            keep=self.keep,
            main_metric=result.main_metric,
            score=float(result.score),
            scores=dict(result.scores),
            seconds=result.seconds,
            tokens_per_second=result.tokens_per_second,
            peak_memory_bytes=result.peak_memory_bytes,
            device=result.device,
            versions={**result.versions, "transfer-meta": __version__},
            code_commit=self._commit,
            notes=dict(result.notes),
        )
        if not mine:
            self._count()
            self._tell(job, "another process has taken this run over; its result will count")
            self.folder.remove(self._saved(job))
            return
        self._note(job.claim.key, "done")
        self._tell(job, f"{result.main_metric} {result.score:.3f} in {result.seconds:.0f} s")
        self.folder.remove([self.folder.state(job.claim.key), *self.store.drop_checkpoints()])

    def _fail(self, job: Job, reason: str) -> None:
        self.store.fail(job.claim, reason)
        self._count()  # those that would start from it are skipped
        self._tell(job, f"failed: {reason}")
        self.folder.remove([self.folder.state(job.claim.key), *self._saved(job)])

    def _saved(self, job: Job) -> list[str]:
        """Name of the encoder that a job leaves, if it does."""
        return [self.folder.encoder(job.claim)] if job.save is not None else []

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number

    def _stop(self, message: str) -> None:
        if not self._stopping:
            self.tell(message)
            self._stopping = True
            self.engine.stop()

    def _counts(self) -> Counter[str]:
        """Runs of the plan by status; while runs are in hand, what others did shows some seconds later."""
        is_old = time.monotonic() - self._counted > DEAD_WORKER_CHECK_SECONDS
        return self._by_status if self._claims and not is_old else self._count()

    def _count(self) -> Counter[str]:
        """Runs of the plan by status, counted anew."""
        self._statuses = {k: s for k, s in self.store.statuses().items() if k in self.stages}
        self._by_status = Counter(self._statuses.values())
        self._counted = time.monotonic()
        return self._by_status

    def _note(self, key: str, status: str) -> None:
        """Count a run under its new status."""
        self._by_status[self._statuses[key]] -= 1
        self._by_status[status] += 1
        self._statuses[key] = status

    def _tell(self, job: Job, message: str) -> None:
        counts = self._counts()
        ended = counts["done"] + counts["failed"] + counts["skipped"]
        self._ended += 1
        left = (time.monotonic() - self._started) / self._ended * (len(self.stages) - ended)
        hint = f" (about {left / 60:.0f} min left)" if left > 60 else ""
        self.tell(f"[{ended}/{len(self.stages)}] {describe(job.stage)}: {message}{hint}")


def describe(stage: Stage) -> str:
    """A stage in a few words.

    Examples
    --------
    >>> describe(Stage("rte", seed=1, encoder="offline", start=Stage("snli", seed=1, encoder="offline")))
    'snli > rte, seed 1'
    """
    names = [" + ".join(stage.tasks)]
    start = stage.start
    while start is not None:
        names.append(start.target)
        start = start.start
    return f"{' > '.join(reversed(names))}, seed {stage.seed}"


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM go to `handler` in here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, handler) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
