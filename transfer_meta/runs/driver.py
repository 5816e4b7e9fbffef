"""Plan driver: claim runs from the store, hand them to an engine, record their results."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import FrameType

from transfer_meta._version import __version__
from transfer_meta.errors import InputError
from transfer_meta.provenance import code_commit, host, is_alive
from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints
from transfer_meta.runs.engine import Engine, Event, Job
from transfer_meta.runs.stop_signals import handle_signals
from transfer_meta.runs.store.connection import StoreError
from transfer_meta.runs.store.run_store import Claim, Store
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage

LEASE_SECONDS = 120.0
RENEWAL_SECONDS = 20.0
TICK_SECONDS = 0.5
"""Longest wait for an event before the clock, the signals and the store are checked."""
DEAD_WORKER_CHECK_SECONDS = 2.0
"""Interval between searches for killed workers of this machine."""
MAX_DEATHS = 5
"""Attempts that end with the death of their process, or lack a usable start, before the run counts as failed."""
STOP_SECONDS = 120.0
"""Longest wait for jobs to save their states after the store or the disk became unusable."""


@dataclass(frozen=True)
class Limits:
    """When to stop although runs are left.

    Parameters
    ----------
    runs : int or None
        Number of runs to start; None for all.
    seconds : float or None
        Time after which running jobs are stopped after their current step.
    """

    runs: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Summary:
    """Status of a plan's runs after `PlanDriver.run`.

    Parameters
    ----------
    done, failed, skipped, left : int
        Runs of the plan by status, whoever did them; `left` are pending or running elsewhere.
    signal : int or None
        Number of the signal that stopped the driver.
    """

    done: int
    failed: int
    skipped: int
    left: int
    signal: int | None = None


class PlanDriver:
    """Execute the runs of a plan from one process.

    Parameters
    ----------
    store : Store
        Run store that holds all of `stages`.
    stages : mapping of str to Stage
        Stage of every run, by key.
    checkpoints : Checkpoints
        Where encoders and states are left.
    engine : Engine
        Executes the runs.
    keep : bool
        Keep the encoders of runs without a source, even if no run needs them.
    models : collection of str
        Keys of runs whose trained models are kept (`Checkpoints.model`); one that is done and whose model is not
        there is done again.
    limits : Limits
        When to stop early.
    tell : callable
        Called with one line for every run that ended.
    """

    def __init__(
        self,
        store: Store,
        stages: Mapping[str, Stage],
        checkpoints: Checkpoints,
        engine: Engine,
        *,
        keep: bool = False,
        models: Collection[str] = (),
        limits: Limits = Limits(),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.store = store
        self.stages = stages
        self.checkpoints = checkpoints
        self.engine = engine
        self.keep = keep
        self.models = frozenset(models)
        self.limits = limits
        self.tell = tell
        self._claims: dict[str, Claim] = {}
        self._deaths: Counter[str] = Counter()
        self._begun = self._ended = 0
        self._worker = f"{host()}|{os.getpid()}"
        self._commit = code_commit()
        self._started = self._renewed = time.monotonic()
        self._checked_workers = 0.0
        self._statuses: dict[str, str] = {}
        self._by_status = Counter[str]()
        self._counted = -math.inf
        self._is_waiting = False
        self._stopping = False
        self._blocked = ""
        self._store_is_lost = False
        self._signal: int | None = None

    def run(self, *, close_engine: bool = True) -> Summary:
        """Execute runs until all have ended, a limit is reached, or a signal asks to stop.

        Raises
        ------
        InputError
            The store, the disk or the checkpoints cannot be used any more.  The runs in hand were stopped and their
            states saved where possible; they count as pending.
        """
        with handle_signals(self._on_signal):
            try:
                self.checkpoints.sweep(self.store)
                self.store.redo(self.missing_models())
                while self._step():
                    pass
            except StoreError:
                self._save_states()
                raise
            finally:
                if close_engine:
                    self.engine.close()
                self._tidy()
        if self._blocked:
            raise InputError(self._blocked)
        counts = self._count()
        left = counts["pending"] + counts["running"]
        return Summary(counts["done"], counts["failed"], counts["skipped"], left, self._signal)

    def _save_states(self) -> None:
        """Wait until the running jobs have stopped and saved their states, without the store."""
        self._store_is_lost = True
        if not self._stopping:
            self._stop("the store cannot be used: stopping after the current step")
        until = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(InputError):
            while self._claims and time.monotonic() < until:
                for event in self.engine.events(TICK_SECONDS):
                    del self._claims[event.job.claim.token]

    def _tidy(self) -> None:
        """Release what is still claimed, and remove the checkpoints that no run needs.

        Without a store its runs become pending when somebody opens it: this process, or its lease, has ended then.
        """
        if self._store_is_lost:
            return
        for claim in self._claims.values():
            self.store.release(claim)
        self.checkpoints.remove(self.store.drop_checkpoints())
        self.checkpoints.sweep(self.store)

    def missing_models(self) -> list[str]:
        """Return the keys of the runs that are done without having left the whole model that is to be kept."""
        statuses = self.store.statuses() if self.models else {}
        done = (key for key in sorted(self.models) if statuses.get(key) == "done")
        return [
            key
            for key in done
            if not self.checkpoints.is_whole(self.checkpoints.model(key), run=self.stages[key].run_name)
        ]

    def _step(self) -> bool:
        """Submit the runs that can start and record those that ended; return False when nothing is left."""
        self._check_time()
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

    def _check_time(self) -> None:
        """Stop if a signal or the time limit says so; renew leases and free the runs of dead workers."""
        now = time.monotonic()
        if self._signal is not None and not self._stopping:
            self._stop("stopping after the current step (once more: at once)")
        elif self.limits.seconds is not None and now - self._started > self.limits.seconds:
            self._stop("the time is up: stopping after the current step")
        if now - self._renewed > RENEWAL_SECONDS:
            self._renewed = now
            self.store.renew(list(self._claims.values()), lease_seconds=LEASE_SECONDS)
        if not self._stopping and now - self._checked_workers > DEAD_WORKER_CHECK_SECONDS:
            self._checked_workers = now
            self.store.release_dead(host(), is_alive, lease_seconds=LEASE_SECONDS)

    def _say_whether_waiting(self, counts: Counter[str]) -> None:
        elsewhere = counts["running"] - len(self._claims)
        if not self._claims and elsewhere and not self._is_waiting:
            self.tell(f"waiting for {elsewhere} runs of other processes")
        self._is_waiting = not self._claims and elsewhere > 0

    def _begin(self) -> bool:
        """Claim a run and submit it to the engine; return False if none can start now."""
        claim = self.store.claim(self.stages.keys(), worker=self._worker, lease_seconds=LEASE_SECONDS)
        if claim is None:
            return False
        if claim.start_file and self.checkpoints.size(claim.start_file) != claim.start_bytes:
            self._forget_start(claim)
            return True
        stage = self.stages[claim.key]
        kept = self.keep and not stage.sources and stage.start is None
        file = self.checkpoints.file
        start = file(claim.start_file) if claim.start_file else None
        save = file(self.checkpoints.encoder(claim)) if claim.wanted or kept else None
        state = file(self.checkpoints.state(claim.key))
        model = file(self.checkpoints.model(claim.key)) if claim.key in self.models else None
        self._begun += 1
        self._note(claim.key, "running")
        self._claims[claim.token] = claim
        self.engine.submit(Job(claim, stage, start, save, state, model))
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
        elif event.kind == "start" and claim.start_file and self._deaths[claim.key] < MAX_DEATHS:
            self._deaths[claim.key] += 1
            self._forget_start(claim)
            self._count()
            self._tell(job, f"{event.value}; that encoder is made again")
        elif event.kind == "start":
            self._fail(job, str(event.value))
        else:
            self.store.release(claim)
            self._note(claim.key, "pending")
            if event.kind == "disk":
                self._block(f"{event.value}; free some space and repeat the call")
            elif event.value and event.kind == "stopped":
                self._tell(job, f"its state could not be saved: {event.value}")

    def _forget_start(self, claim: Claim) -> None:
        """Make a run pending whose encoder to start from is gone or damaged, and have that made again."""
        self.store.release(claim)
        if claim.start_file:
            self.store.forget_checkpoint(claim.start_file)
            self.checkpoints.remove([claim.start_file])

    def _block(self, reason: str) -> None:
        """Stop because no run can be done now."""
        self._blocked = self._blocked or reason
        self._stop("stopping: no run can be done now")

    def _finish(self, job: Job, result: RunResult) -> None:
        checkpoint = None
        if job.save is not None:
            name = self.checkpoints.encoder(job.claim)
            size = self.checkpoints.size(name)
            if size is None:
                self._fail(job, f"it left no encoder '{name}' in '{self.checkpoints.address}'")
                return
            checkpoint = (name, size)
        name = self.checkpoints.model(job.claim.key)
        if job.model is not None and self.checkpoints.size(name) is None:
            self._fail(job, f"it left no model '{name}' in '{self.checkpoints.address}'")
            return
        is_recorded = self.store.finish(
            job.claim,
            replace(result, versions={**result.versions, "transfer-meta": __version__}),
            checkpoint=checkpoint,
            keep=self.keep,
            code_commit=self._commit,
        )
        if not is_recorded:
            self._count()
            self._tell(job, "another process has taken this run over; its result will count")
            self.checkpoints.remove(self._saved(job))
            return
        self._note(job.claim.key, "done")
        discarded = result.notes.get("discarded_state")
        self._tell(
            job,
            f"{result.main_metric} {result.score:.3f} in {result.seconds:.0f} s"
            + (f"; begun anew: {discarded}" if discarded else ""),
        )
        self.checkpoints.remove_state(job.claim.key)
        self.checkpoints.remove(self.store.drop_checkpoints())

    def _fail(self, job: Job, reason: str) -> None:
        if unwritable := self._checkpoint_fault():
            # The run is not at fault, and the next ones would fail as well.
            self.store.release(job.claim)
            self._note(job.claim.key, "pending")
            self._block(unwritable)
            return
        self.store.fail(job.claim, reason)
        self._count()  # runs that start from it are skipped
        self._tell(job, f"failed: {reason}")
        self.checkpoints.remove([self.checkpoints.state(job.claim.key), *self._saved(job)])

    def _checkpoint_fault(self) -> str:
        """Return why nothing can be written to the checkpoints, or an empty string."""
        try:
            is_writable = self.checkpoints.is_writable()
        except InputError as error:
            return str(error)
        return (
            "" if is_writable else f"cannot write to the checkpoint folder '{self.checkpoints.address}'"
        )

    def _saved(self, job: Job) -> list[str]:
        """Return the name of the encoder that a job leaves, if it leaves one."""
        return [self.checkpoints.encoder(job.claim)] if job.save is not None else []

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
        """Return the plan's runs by status; changes by other processes may show some seconds later."""
        is_old = time.monotonic() - self._counted > DEAD_WORKER_CHECK_SECONDS
        return self._by_status if self._claims and not is_old else self._count()

    def _count(self) -> Counter[str]:
        """Read the statuses of the plan's runs from the store and count them."""
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
    """Return a short name of a stage.

    Examples
    --------
    >>> describe(Stage("rte", seed=1, encoder="offline", start=Stage("snli", seed=1, encoder="offline")))
    'snli > rte, seed 1'
    """
    *earlier, _ = stage.chain
    names = [*(before.target for before in earlier), " + ".join(stage.tasks)]
    return f"{' > '.join(names)}, seed {stage.seed}"
