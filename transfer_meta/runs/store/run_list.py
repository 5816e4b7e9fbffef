"""What a page shows of a run store: numbers, workers, reasons, and the runs that match a filter, some at a time.

Only the columns that are shown are read: the settings and scores of ten thousand runs are megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from sqlalchemy import ColumnElement, Integer, String, and_, cast, func, or_, select
from sqlalchemy.orm import Session

from transfer_meta.errors import unknown
from transfer_meta.files import digest
from transfer_meta.runs.store.archive import Archive
from transfer_meta.runs.store.database import database_time
from transfer_meta.runs.store.schema import STATUSES, Curve, Run

LISTED = (
    "id", "key", "method", "source", "target", "regime", "encoder", "seed", "status", "reason", "worker", "started",
    "finished", "score", "main_metric", "seconds", "attempts", "device",
)  # fmt: skip
"""Columns of a listed run; ``has_curves`` is added."""
SORTED_BY = ("id", "status", "method", "source", "target", "score", "seconds", "finished")
SEARCHED = ("source", "target", "method", "regime", "encoder", "reason", "worker", "key", "device")
"""Columns in which `RunFilter.text` is looked for."""
_NUMBERS = {column.name for column in Run.__table__.columns if not isinstance(column.type, String)}
MAX_RUNNING = 200
MAX_LISTED_REASONS = 20


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Runs that are listed; empty: all.

    Parameters
    ----------
    method, source, target, status : str
        Values of these columns.
    text : str
        Part of any column of `SEARCHED`; upper and lower case are the same.
    sort : str
        One of `SORTED_BY`; with ``-`` before it, the largest first.

    Raises
    ------
    InputError
        An unknown status or column.
    """

    method: str = ""
    source: str = ""
    target: str = ""
    status: str = ""
    text: str = ""
    sort: str = "-finished"

    def __post_init__(self) -> None:
        if self.status and self.status not in STATUSES:
            raise unknown("status", self.status, STATUSES)
        if self.sort.removeprefix("-") not in SORTED_BY:
            raise unknown("column", self.sort.removeprefix("-"), SORTED_BY)

    def condition(self) -> ColumnElement[bool]:
        """Return the filter as a condition of a query."""
        named = {name: getattr(self, name) for name in ("method", "source", "target", "status")}
        parts = [getattr(Run, name) == value for name, value in named.items() if value]
        if self.text:
            parts.append(
                or_(*(getattr(Run, name).icontains(self.text, autoescape=True) for name in SEARCHED))
            )
        return and_(True, *parts)


@dataclass(frozen=True, kw_only=True)
class StoreOverview:
    """What a store holds, in numbers.

    Parameters
    ----------
    digest : str
        Changes with the content.
    counts : mapping of (method, status) to int
    seconds : sequence of (str, float)
        Method and duration of each finished run.
    running : sequence of mapping
        Runs in work, at most `MAX_RUNNING`; those whose lease has ended with ``is_lost``.
    reasons : sequence of (str, int)
        Reasons of failures with their numbers, the most frequent first.
    now : float
        Seconds since 1970 by the store's clock.
    """

    digest: str
    counts: Mapping[tuple[str, str], int]
    seconds: Sequence[tuple[str, float]]
    running: Sequence[Mapping[str, Any]]
    reasons: Sequence[tuple[str, int]]
    now: float


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """Some of the runs that match a filter.

    Parameters
    ----------
    total : int
        Number of all that match.
    rows : sequence of mapping
        Columns of `LISTED`, and ``has_curves``.
    """

    total: int
    rows: Sequence[Mapping[str, Any]]


def store_digest(store: Archive) -> str:
    """Return a digest that changes whenever a run is added, begins, ends, or loses its worker.

    While runs are in work, it also changes every minute.
    """
    return store.read(_digest)


def _digest(session: Session) -> str:
    now = database_time(session)
    lost = and_(Run.status == "running", Run.lease_until < now)
    query = select(
        Run.method,
        Run.status,
        func.count(),
        func.max(Run.id),
        func.max(Run.started),
        func.max(Run.finished),
        func.sum(Run.attempts),
        func.sum(cast(lost, Integer)),
    ).group_by(Run.method, Run.status)
    rows = sorted(map(repr, session.execute(query).all()))
    minute = int(now // 60) if any("'running'" in row for row in rows) else 0
    return digest(*rows, str(minute))[:16]


def store_overview(store: Archive) -> StoreOverview:
    """Return what a store holds, in numbers."""

    def work(session: Session) -> StoreOverview:
        now = database_time(session)
        counts = select(Run.method, Run.status, func.count()).group_by(Run.method, Run.status)
        done = select(Run.method, Run.seconds).where(Run.status == "done", Run.seconds.is_not(None))
        columns = [getattr(Run, name) for name in LISTED]
        running = (
            select(*columns, Run.lease_until)
            .where(Run.status == "running")
            .order_by(Run.worker, Run.id)
            .limit(MAX_RUNNING)
        )
        reasons = (
            select(Run.reason, func.count())
            .where(Run.status == "failed")
            .group_by(Run.reason)
            .order_by(func.count().desc(), Run.reason)
            .limit(MAX_LISTED_REASONS)
        )
        return StoreOverview(
            digest=_digest(session),
            counts={(str(m), str(s)): int(n) for m, s, n in session.execute(counts)},
            seconds=[(str(m), float(t)) for m, t in session.execute(done) if _is_number(t)],
            running=[
                {
                    **_plain(row._asdict()),
                    "is_lost": _is_number(row.lease_until) and row.lease_until < now,
                }
                for row in session.execute(running)
            ],
            reasons=[(str(reason), int(n)) for reason, n in session.execute(reasons)],
            now=now,
        )

    return store.read(work)


def list_values(store: Archive, column: str, *, limit: int = 500) -> list[str]:
    """Return the different values of ``method``, ``source`` or ``target``, in order."""
    chosen = getattr(Run, column)
    query = select(chosen).distinct().order_by(chosen).limit(limit)
    return store.read(lambda s: [str(value) for value in s.scalars(query) if value])


def list_runs(
    store: Archive,
    wanted: RunFilter,
    *,
    first: int = 0,
    count: int = 50,
    ids: Sequence[int] | None = None,
) -> RunPage:
    """Return some of the runs that match a filter.

    Parameters
    ----------
    store : Archive
    wanted : RunFilter
    first, count : int
        Place of the first run to return, and how many.
    ids : sequence of int, optional
        Only these.
    """
    condition = wanted.condition()
    if ids is not None:
        condition = and_(condition, Run.id.in_(ids))
    column = getattr(Run, wanted.sort.removeprefix("-"))
    order = column.desc() if wanted.sort.startswith("-") else column.asc()

    def work(session: Session) -> RunPage:
        columns = [getattr(Run, name) for name in LISTED]
        # What has no value yet comes last, whichever way the others are sorted.
        query = (
            select(*columns)
            .where(condition)
            .order_by(column.is_(None), order, Run.id.desc())
            .offset(first)
            .limit(count)
        )
        rows = [_plain(row._asdict()) for row in session.execute(query)]
        found = select(Curve.run_id).where(Curve.run_id.in_([row["id"] for row in rows])).distinct()
        with_curves = set(session.scalars(found))
        total = session.scalar(select(func.count()).select_from(Run).where(condition)) or 0
        return RunPage(
            total=total, rows=[{**row, "has_curves": row["id"] in with_curves} for row in rows]
        )

    return store.read(work)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the types that its columns have: a damaged file may give others."""
    return {
        name: (value if _is_number(value) else None)
        if name in _NUMBERS
        else ("" if value is None else str(value))
        for name, value in row.items()
    }


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
