"""What a run store holds, as records: runs, learning curves, checkpoints, task vectors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from transfer_meta.errors import InputError
from transfer_meta.files import digest
from transfer_meta.records import FloatArray, LearningCurve
from transfer_meta.runs.store.database import Database
from transfer_meta.runs.store.schema import STATUSES, Checkpoint, Curve, Run, Vector

CURVE_COLUMNS = ("steps", "losses", "dev_steps", "dev_losses", "dev_scores")


@dataclass(frozen=True)
class VectorKey:
    """All that decides a task vector; `components` of one kind are stored together."""

    kind: str
    task_digest: str
    encoder: str
    encoder_revision: str
    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """What the vectors are found by."""
        settings = repr(sorted(self.settings.items()))
        return digest(self.kind, self.task_digest, self.encoder, self.encoder_revision, settings)


class Archive(Database):
    """Reading runs and what they left; task vectors in and out."""

    def runs(
        self, *, keys: Collection[str] | None = None, statuses: Sequence[str] = STATUSES
    ) -> list[Run]:
        """The runs, in the order in which they were added."""
        rows = self.read(
            lambda s: list(s.scalars(select(Run).where(Run.status.in_(statuses)).order_by(Run.id)))
        )
        return rows if keys is None else [row for row in rows if row.key in keys]

    def statuses(self) -> dict[str, str]:
        """Status by key."""
        return self.read(lambda s: {r.key: r.status for r in s.execute(select(Run.key, Run.status))})

    def run(self, name: str) -> Run:
        """The run of an id, or of a key or the first letters of one (at least 4)."""

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
        return found[0]

    def curves(self, run_id: int) -> dict[str, LearningCurve]:
        """The learning curves of a run by task, the target's first; empty where it is not finished."""
        query = (
            select(Curve)
            .join(Run, Run.id == Curve.run_id)
            .where(Run.id == run_id)
            .order_by(Curve.task != Run.target, Curve.task)
        )
        rows = self.read(lambda s: list(s.scalars(query)))
        return {
            row.task: LearningCurve(*(_from_bytes(getattr(row, c)) for c in CURVE_COLUMNS))
            for row in rows
        }

    def checkpoints(self) -> dict[str, Checkpoint]:
        """Checkpoints by the key of their run."""
        query = select(Run.key, Checkpoint).join(Checkpoint, Checkpoint.run_id == Run.id)
        return self.read(lambda s: {row.key: row.Checkpoint for row in s.execute(query)})

    def save_vectors(self, key: VectorKey, task: str, components: Mapping[str, FloatArray]) -> None:
        """Store the components of a task vector in place of those of the same key."""

        def work(session: Session) -> None:
            session.execute(delete(Vector).where(Vector.key == key.digest))
            fields = {**asdict(key), "settings": plain_json(dict(key.settings))}
            session.add_all(
                Vector(key=key.digest, task=task, component=name, data=to_bytes(values), **fields)
                for name, values in components.items()
            )

        self.write(work)

    def vectors(self, key: VectorKey) -> dict[str, FloatArray]:
        """The components of a task vector, each of shape (d,); empty where it is not stored."""
        query = select(Vector).where(Vector.key == key.digest).order_by(Vector.component)
        return {v.component: _from_bytes(v.data) for v in self.read(lambda s: list(s.scalars(query)))}


def to_bytes(values: FloatArray) -> bytes:
    """Numbers as a column holds them: little-endian float64."""
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _from_bytes(data: bytes) -> FloatArray:
    return np.frombuffer(data, dtype="<f8").astype(np.float64)


def plain_json(value: Any) -> Any:
    """What JSON columns and both databases hold: NumPy scalars as numbers, NaN in JSON as null."""
    if isinstance(value, Mapping):
        return {str(k): None if _is_odd(v) else plain_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [None if _is_odd(v) else plain_json(v) for v in value]
    if hasattr(value, "tolist"):
        return plain_json(value.tolist())
    return value


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
