"""Run store: fine-tuning runs from pending to done, with claims by workers.

Writers take turns, and every change of a run's status is one transaction.  A run belongs to the worker that
claimed it while the lease is renewed; only the holder of the claim's token may finish it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from transfer_meta.runs.store.archive import CURVE_COLUMNS, Archive, plain_json, to_bytes
from transfer_meta.runs.store.database import database_time
from transfer_meta.runs.store.schema import Checkpoint, Curve, Run
from transfer_meta.training.run_result import RunResult

RESULT_COLUMNS = (
    "main_metric",
    "score",
    "scores",
    "seconds",
    "tokens_per_second",
    "peak_memory_bytes",
    "device",
    "versions",
    "notes",
)
"""Fields of a `RunResult` that are columns of `Run`."""


@dataclass(frozen=True)
class NewRun:
    """A new run; the fields are columns of `transfer_meta.runs.store.schema.Run`."""

    key: str
    method: str
    source: str
    target: str
    regime: str
    seed: int
    encoder: str
    encoder_revision: str
    settings: Mapping[str, Any]
    task_digests: Mapping[str, str]
    start_key: str | None = None
    baseline_key: str | None = None


@dataclass(frozen=True)
class Claim:
    """A worker's claim on a run, valid until the lease ends.

    Parameters
    ----------
    run_id : int
    key : str
        Identify the run.
    token : str
        Unique to the claim.
    start_file : str or None
        Name of the checkpoint to start from.
    start_bytes : int or None
        Its size on record.
    wanted : bool
        Whether pending runs start from this run's encoder.
    """

    run_id: int
    key: str
    token: str
    start_file: str | None
    start_bytes: int | None
    wanted: bool


class Store(Archive):
    """Run store: `Archive` with the transitions between a run's statuses."""

    def __init__(self, address: str, *, create: bool = False) -> None:
        super().__init__(address, create=create)
        self._watched: dict[str, tuple[float, float]] = {}
        """By token of a claim: the end of its lease, and when this process first saw that, by a monotonic clock."""

    # --- statuses ------------------------------------------------------------------------------------

    def add(self, runs: Iterable[NewRun]) -> int:
        """Add runs whose keys are new, as pending; return how many were added."""

        def work(session: Session) -> int:
            known = set(session.scalars(select(Run.key)))
            new = {run.key: run for run in runs if run.key not in known}
            now = database_time(session)
            session.add_all(Run(**asdict(run), status="pending", created=now) for run in new.values())
            return len(new)

        runs = list(runs)
        return self.write(work)

    def claim(self, keys: Collection[str], *, worker: str, lease_seconds: float) -> Claim | None:
        """Claim a run among `keys` that can start now; return None if there is none.

        Runs that start from a checkpoint come first, so that it can be removed early.
        """

        def work(session: Session) -> Claim | None:
            # `_settle` reads every run: call it only if that may change the answer.
            found = None if _end_leases(session) else _ready(session, keys)
            if found is None:
                _settle(session)
                found = _ready(session, keys)
            if found is None:
                return None
            run_id, key, file, size = found
            child = aliased(Run)
            now = database_time(session)
            token = uuid.uuid4().hex
            session.execute(
                update(Run)
                .where(Run.id == run_id)
                .values(
                    status="running",
                    reason="",
                    worker=worker,
                    token=token,
                    lease_until=now + lease_seconds,
                    attempts=Run.attempts + 1,
                    started=now,
                )
            )
            wanted = session.scalar(
                select(exists().where(child.start_key == key, child.status == "pending"))
            )
            return Claim(run_id, key, token, file, size, bool(wanted))

        return self.write(work)

    def renew(self, claims: Collection[Claim], *, lease_seconds: float) -> list[Claim]:
        """Renew the leases; return the claims that were lost because another worker took the run."""

        def work(session: Session) -> list[Claim]:
            until = database_time(session) + lease_seconds
            return [c for c in claims if not _set(session, c, lease_until=until)]

        return self.write(work)

    def finish(
        self,
        claim: Claim,
        result: RunResult,
        *,
        checkpoint: tuple[str, int] | None = None,
        keep: bool = False,
        code_commit: str | None = None,
    ) -> bool:
        """Record a run's result with its curves and checkpoint; return False if the claim is lost.

        Parameters
        ----------
        claim : Claim
        result : RunResult
        checkpoint : (str, int) or None
            Name and size in bytes of the file that holds the run's encoder.
        keep : bool
            Keep the checkpoint although no run needs it.
        code_commit : str or None
            Git commit of the code.
        """

        def work(session: Session) -> bool:
            now = database_time(session)
            values = {name: plain_json(getattr(result, name)) for name in RESULT_COLUMNS}
            values |= {"status": "done", "reason": "", "finished": now, "lease_until": None}
            mine = _set(session, claim, code_commit=code_commit, **values)
            run = session.get_one(Run, claim.run_id)
            if not mine:
                # After a lost connection the first attempt may have been written nevertheless.
                return run.token == claim.token and run.status == "done"
            session.execute(delete(Curve).where(Curve.run_id == claim.run_id))
            for task, curve in {run.target: result.curve, **result.source_curves}.items():
                arrays = {name: to_bytes(getattr(curve, name)) for name in CURVE_COLUMNS}
                session.add(Curve(run_id=claim.run_id, task=task, **arrays))
            if checkpoint is not None:
                file, size = checkpoint
                session.merge(
                    Checkpoint(run_id=claim.run_id, file=file, size_bytes=size, kept=keep, created=now)
                )
            return True

        return self.write(work)

    def fail(self, claim: Claim, reason: str) -> bool:
        """Record that a run failed, and skip the runs that start from it."""

        def work(session: Session) -> bool:
            now = database_time(session)
            mine = _set(session, claim, status="failed", reason=reason, finished=now, lease_until=None)
            _settle(session)
            return mine

        return self.write(work)

    def release(self, claim: Claim) -> bool:
        """Make a claimed run pending again."""
        return self.write(lambda s: _set(s, claim, status="pending", lease_until=None))

    def release_dead(
        self, host: str, is_alive: Callable[[int], bool], *, lease_seconds: float | None = None
    ) -> int:
        """Make the runs of dead workers pending again; return how many.

        A worker is dead if its process on this host is, or if its lease has ended.  With `lease_seconds` also if it
        did not renew the lease for so long by this process's monotonic clock: after the database's clock jumped
        back, leases seem to end that much later.
        """

        def work(session: Session) -> int:
            now, clock, watched = database_time(session), time.monotonic(), self._watched
            self._watched = {}
            dead = 0
            for run in session.scalars(select(Run).where(Run.status == "running")):
                where, _, process = run.worker.rpartition("|")
                until = run.lease_until or now
                before, since = watched.get(run.token, (until, clock))
                self._watched[run.token] = (until, since if before == until else clock)
                unrenewed = clock - self._watched[run.token][1]
                is_local = where == host and process.isdecimal()
                if (
                    (is_local and not is_alive(int(process)))
                    or until < now
                    or (lease_seconds is not None and unrenewed > lease_seconds)
                ):
                    run.status, run.lease_until = "pending", None
                    dead += 1
            return dead

        return self.write(work)

    def retry(self, *, only: Collection[str] | None = None) -> int:
        """Make failed and skipped runs pending again, except logged ones; return how many."""

        def work(session: Session) -> int:
            runs = session.scalars(select(Run).where(Run.status.in_(("failed", "skipped"))))
            chosen = [run for run in runs if (only is None or run.key in only) and not run.is_logged]
            for run in chosen:
                run.status, run.reason = "pending", ""
            return len(chosen)

        return self.write(work)

    def redo(self, keys: Collection[str]) -> int:
        """Make finished runs pending again, whose trained models are wanted and not there; return how many."""

        def work(session: Session) -> int:
            runs = session.scalars(select(Run).where(Run.key.in_(keys), Run.status == "done")).all()
            for run in runs:
                run.status, run.reason = "pending", "again: its model is wanted and not there"
            return len(runs)

        return self.write(work) if keys else 0

    # --- checkpoints ---------------------------------------------------------------------------------

    def forget_checkpoint(self, file: str) -> None:
        """Record that a checkpoint's file is gone; its run is done again if it is needed."""
        self.write(lambda s: s.execute(delete(Checkpoint).where(Checkpoint.file == file)))

    def drop_checkpoints(self, *, kept: bool = False) -> list[str]:
        """Delete the records of checkpoints that no pending or running run needs; return their files.

        Parameters
        ----------
        kept : bool
            Include checkpoints that were kept on request.
        """

        def work(session: Session) -> list[str]:
            child = aliased(Run)
            needed = exists().where(
                child.start_key == Run.key, child.status.in_(("pending", "running"))
            )
            rows = select(Checkpoint).join(Run, Run.id == Checkpoint.run_id).where(~needed)
            if not kept:
                rows = rows.where(~Checkpoint.kept)
            dropped = list(session.scalars(rows))
            for row in dropped:
                session.delete(row)
            return [row.file for row in dropped]

        return self.write(work)

    def checkpoint_files(self) -> tuple[set[str], set[str]]:
        """Return the checkpoint files on record and the tokens of running claims."""

        def work(session: Session) -> tuple[set[str], set[str]]:
            files = set(session.scalars(select(Checkpoint.file)))
            tokens = set(session.scalars(select(Run.token).where(Run.status == "running")))
            return files, tokens

        return self.read(work)


def _set(session: Session, claim: Claim, **values: Any) -> bool:
    """Update a running run; return False if the claim on it is lost."""
    result = session.execute(
        update(Run)
        .where(Run.id == claim.run_id, Run.token == claim.token, Run.status == "running")
        .values(**values)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _ready(session: Session, keys: Collection[str]) -> tuple[int, str, str | None, int | None] | None:
    """Return id, key, start checkpoint and its size of the next run among `keys`."""
    # A subquery: SQLite would begin a join at the runs, and there are few checkpoints.
    key = select(Run.key).where(Run.id == Checkpoint.run_id).scalar_subquery()
    columns = select(key, Checkpoint.file, Checkpoint.size_bytes)
    files = {row[0]: (row.file, row.size_bytes) for row in session.execute(columns)}
    # The concatenation keeps SQLite from using the index of the status: most runs are pending.
    is_pending = Run.status.concat("") == "pending"
    pending = select(Run.id, Run.key, Run.start_key).where(is_pending).order_by(Run.id)
    for query in (
        pending.where(Run.start_key.in_(files)),
        pending.where(Run.start_key.is_(None)),
    ):
        for row in session.execute(query):
            if row.key in keys:
                return row.id, row.key, *files.get(row.start_key or "", (None, None))
    return None


def _end_leases(session: Session) -> bool:
    """Make runs whose lease ended pending again; return whether there were any."""
    ended = session.execute(
        update(Run)
        .where(Run.status == "running", Run.lease_until < database_time(session))
        .values(status="pending", lease_until=None)
    )
    assert isinstance(ended, CursorResult)
    return ended.rowcount > 0


def _settle(session: Session) -> None:
    """Update statuses: end leases, skip runs that cannot start, redo runs whose checkpoint is missing."""
    _end_leases(session)
    start, child = aliased(Run), aliased(Run)
    cannot_start = (
        select(Run, start)
        .join(start, start.key == Run.start_key)
        .where(Run.status == "pending", start.status.in_(("failed", "skipped")))
    )
    # One link of a chain per iteration.
    while rows := session.execute(cannot_start).all():
        for run, before in rows:
            run.status = "skipped"
            run.reason = f"the run it starts from, {before.id}, {before.status}: {before.reason}"
        session.flush()
    redo = (
        select(Run)
        .join(child, child.start_key == Run.key)
        .where(Run.status == "done", child.status == "pending")
        .where(~exists().where(Checkpoint.run_id == Run.id))
    )
    while done := session.scalars(redo).unique().all():
        for run in done:
            run.status, run.reason = "pending", "again: its checkpoint is needed and no longer there"
        session.flush()
