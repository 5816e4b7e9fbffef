"""Tables of the run store.

A change here needs a migration in ``migrations/versions``; a test compares the two.  Times are seconds since 1970
(UTC) by the database's clock, the only one that all workers share.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = "0001"
VERSION_TABLE = "transfer_meta_version"
STATUSES = ("pending", "running", "done", "failed", "skipped")


class Base(DeclarativeBase):
    """Registry of the tables; constraints have names for migrations."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        dict[str, Any]: JSON(none_as_null=True),
        bytes: LargeBinary,
        float: Double,
    }


class Run(Base):
    """A fine-tuning run: its settings, its status, and its result.

    `settings` is the stage including the stages before it, `task_digests` and `encoder_revision` identify its
    inputs, and `key` is the digest of all three.
    """

    __tablename__ = "runs"
    __table_args__ = (CheckConstraint(f"status IN {STATUSES}", name="status"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)

    method: Mapped[str]
    source: Mapped[str]  # "" of a single-task run
    target: Mapped[str]
    regime: Mapped[str]
    seed: Mapped[int]
    encoder: Mapped[str]
    encoder_revision: Mapped[str]
    settings: Mapped[dict[str, Any]]
    task_digests: Mapped[dict[str, Any]]
    # Of the run whose encoder this one needs, see `Stage.prerequisite`.
    start_key: Mapped[str | None] = mapped_column(String(64), index=True)
    baseline_key: Mapped[str | None] = mapped_column(String(64))

    status: Mapped[str] = mapped_column(String(8), index=True)
    reason: Mapped[str] = mapped_column(default="")
    worker: Mapped[str] = mapped_column(default="")  # "host|process id" of the last claim
    token: Mapped[str] = mapped_column(default="")  # of the last claim; only its holder may write
    lease_until: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(default=0)
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]

    main_metric: Mapped[str | None]
    score: Mapped[float | None]
    scores: Mapped[dict[str, Any] | None]
    seconds: Mapped[float | None]
    tokens_per_second: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    device: Mapped[str | None]
    versions: Mapped[dict[str, Any] | None]
    code_commit: Mapped[str | None]
    notes: Mapped[dict[str, Any] | None]

    @property
    def is_logged(self) -> bool:
        """Whether another training loop did the run, so that none of the workers can do it again."""
        return "logged_by" in (self.notes or {})


class Curve(Base):
    """Learning curve of a finished run on one of its tasks; columns hold little-endian float64."""

    __tablename__ = "curves"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    task: Mapped[str] = mapped_column(primary_key=True)
    steps: Mapped[bytes]
    losses: Mapped[bytes]
    dev_steps: Mapped[bytes]
    dev_losses: Mapped[bytes]
    dev_scores: Mapped[bytes]


class Checkpoint(Base):
    """An encoder that a finished run left among the checkpoints."""

    __tablename__ = "checkpoints"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    file: Mapped[str] = mapped_column(unique=True)  # name among the checkpoints
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    kept: Mapped[bool]  # on request; `runs gc` removes it only with --kept
    created: Mapped[float]


class Vector(Base):
    """A component of a task vector; `key` is a digest of everything that determines it."""

    __tablename__ = "vectors"
    __table_args__ = (UniqueConstraint("key", "component"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    component: Mapped[str]
    kind: Mapped[str]
    task: Mapped[str]
    task_digest: Mapped[str] = mapped_column(String(64), index=True)
    encoder: Mapped[str]
    encoder_revision: Mapped[str]
    settings: Mapped[dict[str, Any]]
    data: Mapped[bytes]  # little-endian float64
