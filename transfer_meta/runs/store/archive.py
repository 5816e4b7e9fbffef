"""Read access to a run store, and storage of task vectors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sqlalchemy import JSON, Double, delete, select
from sqlalchemy.orm import Session

from transfer_meta.encoding.vector_store import VectorKey
from transfer_meta.errors import InputError
from transfer_meta.records import FloatArray, LearningCurve
from transfer_meta.runs.store.connection import StoreError
from transfer_meta.runs.store.database import Database
from transfer_meta.runs.store.schema import STATUSES, Checkpoint, Curve, Run, Vector
from transfer_meta.tasks.source_sets import TOGETHER

CURVE_COLUMNS = ("steps", "losses", "dev_steps", "dev_losses", "dev_scores")
_NUMBER_BYTES = 8
_TYPES = {
    column.name: (
        dict if isinstance(column.type, JSON) else column.type.python_type,
        *((int,) if isinstance(column.type, Double) else ()),
        *((type(None),) if column.nullable else ()),
    )
    for column in Run.__table__.columns
}
"""Python types that the columns of a run may hold; SQLite itself accepts any."""


class Archive(Database):
    """Runs with their curves and checkpoints; task vectors."""

    def runs(
        self, *, keys: Collection[str] | None = None, statuses: Sequence[str] = STATUSES
    ) -> list[Run]:
        """Return runs in the order in which they were added.

        Parameters
        ----------
        keys : collection of str or None
            Keys of the runs; None for all.
        statuses : sequence of str
        """
        rows = self.read(
            lambda s: list(s.scalars(select(Run).where(Run.status.in_(statuses)).order_by(Run.id)))
        )
        self._check_rows(rows)
        return rows if keys is None else [row for row in rows if row.key in keys]

    def statuses(self) -> dict[str, str]:
        """Return the status of every run, by key."""
        return self.read(lambda s: {r.key: r.status for r in s.execute(select(Run.key, Run.status))})

    def mixtures(self) -> dict[str, str]:
        """Return the names of the sources of every run with several of them side by side, by key."""
        wanted = select(Run.key, Run.source).where(Run.source.contains(TOGETHER))
        return self.read(lambda s: {r.key: r.source for r in s.execute(wanted)})

    def run(self, name: str) -> Run:
        """Return the run with an id, or with a key that begins with `name` (at least 4 characters).

        Raises
        ------
        InputError
            No run, or more than one, matches.
        """

        def work(session: Session) -> list[Run]:
            if name.isdecimal() and len(name) < 10 and (run := session.get(Run, int(name))):
                return [run]
            if len(name) < 4 or not name.isalnum():
                return []
            return list(session.scalars(select(Run).where(Run.key.startswith(name.lower())).limit(2)))

        found = self.read(work)
        if not found:
            raise InputError(f"no run '{name}' in the store '{self.name}' (expected an id or a key)")
        if len(found) > 1:
            raise InputError(f"more than one run's key begins with '{name}': give more letters")
        self._check_rows(found)
        return found[0]

    def curves(self, run_id: int, *, damaged: list[str] | None = None) -> dict[str, LearningCurve]:
        """Return the learning curves of a run by task, the target's first; empty if it is not finished.

        Parameters
        ----------
        run_id : int
        damaged : list of str, optional
            Gets one line for each curve that cannot be read, which is left out then.

        Raises
        ------
        StoreError
            A curve cannot be read, and there is no `damaged`.
        """
        query = (
            select(Curve)
            .join(Run, Run.id == Curve.run_id)
            .where(Run.id == run_id)
            .order_by(Curve.task != Run.target, Curve.task)
        )
        rows = self.read(lambda s: list(s.scalars(query)))
        found = {}
        for row in rows:
            try:
                found[row.task] = _read_curve(row)
            except ValueError as error:
                line = f"run {run_id}: its learning curve on '{row.task}' is damaged ({error})"
                if damaged is None:
                    raise StoreError(f"the store '{self.name}': {line}") from None
                damaged.append(f"{line} and left out")
        return found

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Return the checkpoints on record, by the key of their run."""
        query = select(Run.key, Checkpoint).join(Checkpoint, Checkpoint.run_id == Run.id)
        return self.read(lambda s: {row.key: row.Checkpoint for row in s.execute(query)})

    def save_vectors(self, key: VectorKey, task: str, components: Mapping[str, FloatArray]) -> None:
        """Store the components of a task vector, replacing those of the same key."""

        def work(session: Session) -> None:
            session.execute(delete(Vector).where(Vector.key == key.digest))
            fields = {**asdict(key), "settings": plain_json(dict(key.settings))}
            session.add_all(
                Vector(key=key.digest, task=task, component=name, data=to_bytes(values), **fields)
                for name, values in components.items()
            )

        self.write(work)

    def vectors(self, key: VectorKey) -> dict[str, FloatArray]:
        """Return the components of a task vector, each of shape (d,); empty if it is not stored."""
        query = select(Vector).where(Vector.key == key.digest).order_by(Vector.component)
        rows = self.read(lambda s: list(s.scalars(query)))
        try:
            return {v.component: _from_bytes(v.data, v.component) for v in rows}
        except ValueError as error:
            raise StoreError(
                f"the store '{self.name}': a vector of '{key.kind}' is damaged ({error})"
            ) from None

    def _check_rows(self, runs: Sequence[Run]) -> None:
        """Raise a StoreError if a damaged file gives values of other types than the columns have."""
        for run in runs if self.is_sqlite else ():
            for name, types in _TYPES.items():
                if not isinstance(getattr(run, name), types):
                    raise StoreError(
                        f"the store '{self.name}' is damaged: run {run.id} has {name} = {getattr(run, name)!r:.40}"
                    )


def to_bytes(values: FloatArray) -> bytes:
    """Return numbers as little-endian float64, as columns store them."""
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _from_bytes(data: bytes, name: str) -> FloatArray:
    """Return stored numbers; ValueError if the bytes of column `name` are none."""
    if not isinstance(data, bytes):
        raise ValueError(f"{name} holds {type(data).__name__}, expected bytes")
    if len(data) % _NUMBER_BYTES:
        raise ValueError(f"{name} has {len(data)} bytes, expected a multiple of {_NUMBER_BYTES}")
    return np.frombuffer(data, dtype="<f8").astype(np.float64)


def _read_curve(row: Curve) -> LearningCurve:
    """Return a stored curve; ValueError if it is none."""
    arrays = {name: _from_bytes(getattr(row, name), name) for name in CURVE_COLUMNS}
    for name in ("steps", "dev_steps"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds a step that is not a finite number")
    return LearningCurve(**arrays)


def plain_json(value: Any) -> Any:
    """Convert NumPy values to plain ones, and NaN and infinity within JSON to null."""
    if isinstance(value, Mapping):
        return {str(k): None if _is_not_finite(v) else plain_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [None if _is_not_finite(v) else plain_json(v) for v in value]
    if hasattr(value, "tolist"):
        return plain_json(value.tolist())
    return value


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
