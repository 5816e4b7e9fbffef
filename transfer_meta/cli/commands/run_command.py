"""`transfer-meta run`: execute the runs of a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from transfer_meta.cli.shared.console import tell
from transfer_meta.cli.shared.options import is_given, with_options
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    DeviceNames,
    DeviceWorkers,
    PlanPath,
    StoreAddress,
    open_both,
    refuse_password,
    require,
)
from transfer_meta.errors import InputError, unknown

if TYPE_CHECKING:
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints
    from transfer_meta.runs.engine import Engine
    from transfer_meta.runs.plan import Plan
    from transfer_meta.runs.store.run_store import Store

    MakeEngine = Callable[[Plan, Store, Checkpoints], Engine]

OPTIONS_OF_ENGINE = {
    "local": ("workers", "device", "runs_per_device"),
    "ray": ("address", "gpus_per_run", "cpus_per_run", "memory_per_run"),
}
"""Options that have no effect with the other engine."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of ``run``."""

    engine: Annotated[str, Option(help="Where to execute runs: local or ray (a cluster).")] = "local"
    workers: DeviceWorkers = None
    device: DeviceNames = "auto"
    runs_per_device: Annotated[
        int | None, Option(help="Runs at the same time on each device; default: 1.")
    ] = None
    address: Annotated[str, Option(help="Ray: auto, local, or HOST:PORT of the cluster's head.")] = (
        "auto"
    )
    gpus_per_run: Annotated[
        float | None,
        Option(help="Ray: GPUs per run, may be a fraction; default: 1 if the cluster has any."),
    ] = None
    cpus_per_run: Annotated[float, Option(help="Ray: CPU cores per run.")] = 1.0
    memory_per_run: Annotated[
        float | None,
        Option(help="Ray: GB of main memory per run; default: the peak of the runs so far."),
    ] = None
    max_runs: Annotated[int | None, Option(min=1, help="Start at most N runs.")] = None
    limit_hours: Annotated[float | None, Option(help="Stop after N hours.")] = None
    checkpoints: CheckpointPath = None
    keep_checkpoints: Annotated[
        bool, Option("--keep-checkpoints", help="Keep the encoders of single-task and source runs.")
    ] = False


@with_options
def run_command(
    context: Context, plan: PlanPath, *, store: StoreAddress = DEFAULT_STORE, options: RunOptions
) -> int:
    """Execute the runs of a plan that are not done.

    After an interruption, repeat the command. Ctrl-C and SIGTERM stop after the current step and save its state.
    Exit code 1 if any run failed.

    Example: transfer-meta run plan.toml --engine ray --gpus-per-run 0.25 --store postgresql://HOST/runs
    """
    require("sqlalchemy", "torch")
    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
    from transfer_meta.runs.driver import Limits, PlanDriver

    hours = options.limit_hours
    if hours is not None and not hours > 0:
        raise InputError(f"--limit-hours {hours} (expected a positive number)")
    _check_engine(context, options.engine)
    make = _local(options) if options.engine == "local" else _ray(options)
    loaded, opened = open_both(plan, store, create=True)
    assert opened is not None
    checkpoints = open_checkpoints(options.checkpoints or opened.checkpoint_folder)
    engine = make(loaded, opened, checkpoints)
    known = len(loaded.runs) - opened.add(loaded.runs)
    tell(f"{len(loaded.runs)} runs, {known} of them known to {opened.name}; on {engine}")
    limits = Limits(runs=options.max_runs, seconds=None if hours is None else hours * 3600)
    keep = options.keep_checkpoints
    summary = PlanDriver(
        opened, loaded.stages, checkpoints, engine, keep=keep, limits=limits, tell=tell
    ).run()
    tell(
        f"{summary.done} done, {summary.failed} failed, {summary.skipped} skipped, {summary.left} left"
        + ("; for the reasons: `transfer-meta runs status`" if summary.failed else "")
        + ("; to continue, repeat the command" if summary.left else "")
    )
    if summary.signal is not None:
        return 128 + summary.signal
    return 1 if summary.failed or summary.skipped else 0


def _local(options: RunOptions) -> MakeEngine:
    """Check the options of the local engine, and return a function that makes it."""
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.local_engine import LocalEngine

    slots = find_devices(
        options.device, workers=options.workers, runs_per_device=options.runs_per_device
    )

    def make(plan: Plan, store: Store, checkpoints: Checkpoints) -> Engine:
        cards = _card_memory(max(slots.count(slot) for slot in slots), plan, store)
        return LocalEngine(slots, plan.task_sources, cache=checkpoints.tokens, cards=cards)

    return make


def _ray(options: RunOptions) -> MakeEngine:
    """Check the options of Ray, connect to the cluster, and return a function that makes the engine."""
    require("ray", extra="ray")
    gpus, memory_gb = options.gpus_per_run, options.memory_per_run
    for name, value in (("gpus", gpus), ("cpus", options.cpus_per_run), ("memory", memory_gb)):
        if value is not None and not (value > 0 or (name == "gpus" and value == 0)):
            raise InputError(f"--{name}-per-run {value} (expected a positive number)")
    from transfer_meta.runs.ray_engine import RayEngine
    from transfer_meta.runs.ray_nodes import Share, connect_ray

    memory_bytes = None if memory_gb is None else int(memory_gb * 1e9)
    share = Share(options.cpus_per_run, gpus, memory_bytes)
    connect_ray(options.address)

    def make(plan: Plan, store: Store, checkpoints: Checkpoints) -> Engine:
        return RayEngine(
            plan.task_sources,
            checkpoints,
            share=share,
            store=store,
            cards=_card_memory(int(1 / gpus) if gpus else 1, plan, store),
            encoder=(plan.file.encoder, plan.encoder.revision),
        )

    return make


def _card_memory(runs_per_card: int, plan: Plan, store: Store) -> CardMemory:
    """Return the number of runs that a GPU holds, learned from similar runs in the store."""
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.cost import is_like

    cards = CardMemory(runs_per_card, tell=tell)
    sizes = ("precision", "lora_rank", "compile", "batch_size", "max_length")
    for run in store.runs(statuses=("done",)) if runs_per_card > 1 else ():
        if (run.notes or {}).get("card_bytes") and is_like(run, plan, settings=sizes):
            cards.learn(run)
    return cards


def _check_engine(context: Context, engine: str) -> None:
    """Raise an InputError for an unknown engine, an option of the other one, or a visible password."""
    if engine not in OPTIONS_OF_ENGINE:
        raise unknown("engine", engine, OPTIONS_OF_ENGINE)
    for other, names in OPTIONS_OF_ENGINE.items():
        for name in names if other != engine else ():
            if is_given(context, name):
                raise InputError(f"--{name.replace('_', '-')} is an option of --engine {other}")
    if engine == "ray" and is_given(context, "store"):
        remedy = "the URL in TRANSFER_META_STORE, or the password in ~/.pgpass"
        refuse_password(context.params["store"], remedy)
