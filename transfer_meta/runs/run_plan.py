"""Execution of a plan on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError, require, unknown
from transfer_meta.results import plain_values
from transfer_meta.runs.open_plan import open_plan
from transfer_meta.runs.run_status import RunStatus, run_table

if TYPE_CHECKING:
    from transfer_meta.records import Tell
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints
    from transfer_meta.runs.engine import Engine
    from transfer_meta.runs.plan import Plan
    from transfer_meta.runs.plan_file import PlanSource
    from transfer_meta.runs.store.run_store import Store

    MakeEngine = Callable[[Plan, Store, Checkpoints], Engine]

OPTIONS_OF_ENGINE = {
    "local": ("workers", "device", "runs_per_device"),
    "ray": ("address", "gpus_per_run", "cpus_per_run", "memory_per_run"),
}
"""Settings that have no effect with the other engine."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of `run`.

    Parameters
    ----------
    store : str, Path or None
        Run store: a file (SQLite, made if it is not there) or ``postgresql://USER@HOST/DATABASE``.  Default:
        ``$TRANSFER_META_STORE``, else ``runs.sqlite``.
    engine : str
        Where to execute runs: ``local``, or ``ray`` (a cluster).
    workers : int or None
        Local: worker processes; None for one on each device.
    device : str or None
        Local: ``auto``, ``cpu``, or CUDA devices (``cuda:0,cuda:1``); None for ``auto``.
    runs_per_device : int or None
        Local: runs at the same time on each device; None for one.
    address : str or None
        Ray: ``auto``, ``local``, or ``HOST:PORT`` of the cluster's head; None for ``auto``.
    gpus_per_run : float or None
        Ray: GPUs of a run, may be a fraction; None for one if the cluster has any.
    cpus_per_run : float or None
        Ray: CPU cores of a run; None for one.
    memory_per_run : float or None
        Ray: main memory of a run in GB; None for the peak of the runs so far.
    max_runs : int or None
        Start at most this number of runs.
    limit_hours : float or None
        Stop after this time.
    checkpoints : str, Path or None
        Folder, or ``s3://``, ``gs://`` or another URL of fsspec, for checkpoints; None for one beside the store.
    keep_checkpoints : bool
        Keep the encoders of single-task and source runs.

    Raises
    ------
    InputError
        An unknown engine, a setting of the other engine, or a number out of range.
    """

    store: str | Path | None = field(default=None, repr=False)  # may hold a password
    engine: str = "local"
    workers: int | None = None
    device: str | None = None
    runs_per_device: int | None = None
    address: str | None = None
    gpus_per_run: float | None = None
    cpus_per_run: float | None = None
    memory_per_run: float | None = None
    max_runs: int | None = None
    limit_hours: float | None = None
    checkpoints: str | Path | None = None
    keep_checkpoints: bool = False

    def __post_init__(self) -> None:
        if self.engine not in OPTIONS_OF_ENGINE:
            raise unknown("engine", self.engine, OPTIONS_OF_ENGINE)
        for other, names in OPTIONS_OF_ENGINE.items():
            for name in names if other != self.engine else ():
                if getattr(self, name) is not None:
                    raise InputError(f"--{name.replace('_', '-')} is an option of --engine {other}")
        if self.max_runs is not None and self.max_runs < 1:
            raise InputError(f"--max-runs {self.max_runs} (expected at least 1)")
        for name in ("limit_hours", "cpus_per_run", "memory_per_run", "gpus_per_run"):
            value = getattr(self, name)
            if value is not None and not (value > 0 or (name == "gpus_per_run" and value == 0)):
                option = name.replace("_", "-")
                raise InputError(f"--{option} {value} (expected a positive number)")


@dataclass(frozen=True, kw_only=True)
class RunSummary(RunStatus):
    """Status of a plan's runs after `run`, whoever executed them.

    Parameters
    ----------
    signal : int or None
        Number of the signal that stopped the execution.
    """

    signal: int | None = None

    @property
    def left(self) -> int:
        """Number of runs that are pending, or running in another process."""
        return self.counts.get("pending", 0) + self.counts.get("running", 0)

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 128 + the signal if there was one, 1 if a run failed or was skipped, else 0."""
        if self.signal is not None:
            return 128 + self.signal
        return int(bool({"failed", "skipped"} & self.counts.keys()))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by status, every run, the signal and the exit code."""
        more = {"left": self.left, "signal": self.signal, "exit_code": self.exit_code}
        return plain_values({**super().to_dict(), **more})

    @property
    def caption(self) -> str:
        """The numbers of runs, and what to do next."""
        done, failed, skipped = (self.counts.get(s, 0) for s in ("done", "failed", "skipped"))
        return (
            f"{done} done, {failed} failed, {skipped} skipped, {self.left} left"
            + ("; for the reasons: `transfer-meta runs status`" if failed else "")
            + ("; to continue, repeat the command" if self.left else "")
        )


def run(
    plan: PlanSource, settings: RunSettings | None = None, *, tell: Tell = lambda _: None
) -> RunSummary:
    """Execute the runs of a plan that are not done, and return the status of all.

    Ctrl-C and SIGTERM stop after the current step and save its state; call it again to continue.

    Parameters
    ----------
    plan : path or mapping
        A plan file (TOML), or a mapping of the same structure; its relative paths start from the current folder.
    settings : RunSettings, optional
    tell : callable
        Called with one line for each note on the tasks, and for each run that ended.

    Raises
    ------
    InputError
        With all problems of the plan, its tasks and the store, one a line; nothing was started.
    """
    settings = settings or RunSettings()
    require("sqlalchemy", "torch")
    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
    from transfer_meta.runs.driver import Limits, PlanDriver

    make = (_local if settings.engine == "local" else _ray)(settings, tell)
    loaded, opened = open_plan(plan, settings.store, create=True, tell=tell)
    assert opened is not None
    checkpoints = open_checkpoints(settings.checkpoints or opened.checkpoint_folder)
    engine = make(loaded, opened, checkpoints)
    known = len(loaded.runs) - opened.add(loaded.runs)
    tell(f"{len(loaded.runs)} runs, {known} of them known to {opened.name}; on {engine}")
    hours = settings.limit_hours
    driver = PlanDriver(
        opened,
        loaded.stages,
        checkpoints,
        engine,
        keep=settings.keep_checkpoints,
        limits=Limits(runs=settings.max_runs, seconds=None if hours is None else hours * 3600),
        tell=tell,
    )
    stopped_by = driver.run().signal
    runs = run_table(opened, loaded.stages.keys())
    opened.close()
    return RunSummary(store=opened.name, runs=runs, signal=stopped_by)


def _local(settings: RunSettings, tell: Tell) -> MakeEngine:
    """Check the settings of the local engine, and return a function that makes it."""
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.local_engine import LocalEngine

    slots = find_devices(
        settings.device or "auto", workers=settings.workers, runs_per_device=settings.runs_per_device
    )

    def make(plan: Plan, store: Store, checkpoints: Checkpoints) -> Engine:
        cards = _card_memory(max(slots.count(slot) for slot in slots), plan, store, tell)
        return LocalEngine(slots, plan.task_sources, cache=checkpoints.tokens, cards=cards)

    return make


def _ray(settings: RunSettings, tell: Tell) -> MakeEngine:
    """Connect to the cluster, and return a function that makes the engine."""
    require("ray", extra="ray")
    from transfer_meta.runs.ray_engine import RayEngine
    from transfer_meta.runs.ray_nodes import Share, connect_ray

    gpus, memory_gb = settings.gpus_per_run, settings.memory_per_run
    memory_bytes = None if memory_gb is None else int(memory_gb * 1e9)
    share = Share(settings.cpus_per_run or 1.0, gpus, memory_bytes)
    connect_ray(settings.address or "auto")

    def make(plan: Plan, store: Store, checkpoints: Checkpoints) -> Engine:
        return RayEngine(
            plan.task_sources,
            checkpoints,
            share=share,
            store=store,
            cards=_card_memory(int(1 / gpus) if gpus else 1, plan, store, tell),
            encoder=(plan.file.encoder, plan.encoder.revision),
        )

    return make


def _card_memory(runs_per_card: int, plan: Plan, store: Store, tell: Tell) -> CardMemory:
    """Return the number of runs that a GPU holds, learned from similar runs in the store."""
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.cost import is_like

    cards = CardMemory(runs_per_card, tell=tell)
    sizes = ("precision", "lora_rank", "compile", "batch_size", "max_length", "long_inputs")
    for row in store.runs(statuses=("done",)) if runs_per_card > 1 else ():
        if (row.notes or {}).get("card_bytes") and is_like(row, plan, settings=sizes):
            cards.learn(row)
    return cards
