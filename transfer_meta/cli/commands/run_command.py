"""`transfer-meta run`: do the runs of a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    PlanPath,
    StoreAddress,
    open_both,
    require,
    say,
)
from transfer_meta.errors import InputError, unknown

if TYPE_CHECKING:
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.checkpoints.folder import Checkpoints
    from transfer_meta.runs.engine import Engine
    from transfer_meta.runs.plan import Plan
    from transfer_meta.runs.store.run_store import Store

RUN_ENGINES = ("local", "ray")
# Options that mean nothing to the other engine.
OF_ENGINE = {
    "workers": "local",
    "device": "local",
    "runs_per_device": "local",
    "address": "ray",
    "gpus_per_run": "ray",
    "cpus_per_run": "ray",
    "memory_per_run": "ray",
}


def run_command(
    context: typer.Context,
    plan: PlanPath,
    store: StoreAddress = DEFAULT_STORE,
    engine: Annotated[
        str, typer.Option("--engine", help="Where the runs are done: local, or ray: a cluster.")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Worker processes; default: one a device.", show_default=False),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, or CUDA devices: cuda:0,cuda:1.")
    ] = "auto",
    runs_per_device: Annotated[
        int | None,
        typer.Option(
            "--runs-per-device", help="Runs side by side on each device; default 1.", show_default=False
        ),
    ] = None,
    address: Annotated[
        str, typer.Option("--address", help="Ray: auto, local, or HOST:PORT of the cluster's head.")
    ] = "auto",
    gpus_per_run: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-run",
            help="Ray: share of a GPU; default: 1 where the cluster has any.",
            show_default=False,
        ),
    ] = None,
    cpus_per_run: Annotated[float, typer.Option("--cpus-per-run", help="Ray: cores of a run.")] = 1.0,
    memory_per_run: Annotated[
        float | None,
        typer.Option(
            "--memory-per-run",
            help="Ray: GB of main memory; default: what the largest run so far held.",
            show_default=False,
        ),
    ] = None,
    max_runs: Annotated[
        int | None,
        typer.Option("--max-runs", min=1, help="Begin at most so many runs.", show_default=False),
    ] = None,
    limit_hours: Annotated[
        float | None,
        typer.Option(
            "--limit-hours", help="Stop after so many hours; the rest is left.", show_default=False
        ),
    ] = None,
    checkpoints: CheckpointPath = None,
    keep_checkpoints: Annotated[
        bool,
        typer.Option("--keep-checkpoints", help="Keep the encoders of single-task and source runs."),
    ] = False,
) -> int:
    """Do the runs of a plan that are not done yet; again after anything that stopped it.

    Ctrl-C and SIGTERM stop after the current step and save its state. Exit code 1 if any run failed.

    Example: transfer-meta run plan.toml --workers 2

    On a cluster: transfer-meta run plan.toml --engine ray --gpus-per-run 0.25 --store postgresql://HOST/runs
    """
    require("sqlalchemy", "torch")
    from transfer_meta.runs.checkpoints.folder import open_checkpoints
    from transfer_meta.runs.driver import Limits, PlanDriver

    if limit_hours is not None and not limit_hours > 0:
        raise InputError(f"--limit-hours {limit_hours} (expected a positive number)")
    _check_options(context, engine)
    make: Callable[[Plan, Store, Checkpoints], Engine]
    if engine == "local":
        make = _local(device, workers, runs_per_device)
    else:
        make = _ray(address, gpus_per_run, cpus_per_run, memory_per_run)
    loaded, opened = open_both(plan, store, create=True)
    assert opened is not None
    folder = open_checkpoints(checkpoints or opened.folder)
    ready = make(loaded, opened, folder)
    new = opened.add(loaded.runs)
    known = len(loaded.runs) - new
    say(f"{len(loaded.runs)} runs, {known} of them known to {opened.name}; on {ready}")
    limits = Limits(runs=max_runs, seconds=None if limit_hours is None else limit_hours * 3600)
    summary = PlanDriver(
        opened, loaded.stages, folder, ready, keep=keep_checkpoints, limits=limits, tell=say
    ).run()
    say(
        f"{summary.done} done, {summary.failed} failed, {summary.skipped} skipped, {summary.left} left"
        + ("; `transfer-meta runs status` says why" if summary.failed else "")
        + ("; the same command goes on" if summary.left else "")
    )
    if summary.signal is not None:
        return 128 + summary.signal
    return 1 if summary.failed or summary.skipped else 0


def _local(
    device: str, workers: int | None, runs_per_device: int | None
) -> Callable[[Plan, Store, Checkpoints], Engine]:
    """What makes the engine of this machine; bad options are told at once."""
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.local_engine import LocalEngine

    slots = find_devices(device, workers=workers, runs_per_device=runs_per_device)

    def make(plan: Plan, store: Store, folder: Checkpoints) -> Engine:
        side_by_side = max(slots.count(slot) for slot in slots)
        cards = _cards(side_by_side, plan, store)
        return LocalEngine(slots, plan.task_sources, cache=folder.tokens, cards=cards)

    return make


def _ray(
    address: str, gpus: float | None, cpus: float, memory_gb: float | None
) -> Callable[[Plan, Store, Checkpoints], Engine]:
    """What makes the engine of a cluster; bad options and an address that does not answer are told at once."""
    require("ray", extra="ray")
    for name, value in (("gpus", gpus), ("cpus", cpus), ("memory", memory_gb)):
        if value is not None and not (value > 0 or (name == "gpus" and value == 0)):
            raise InputError(f"--{name}-per-run {value} (expected a positive number)")
    from transfer_meta.runs.ray_engine import RayEngine
    from transfer_meta.runs.ray_nodes import connect_ray

    connect_ray(address)

    def make(plan: Plan, store: Store, folder: Checkpoints) -> Engine:
        return RayEngine(
            plan.task_sources,
            folder,
            store=store,
            gpus_per_run=gpus,
            cpus_per_run=cpus,
            memory_per_run=None if memory_gb is None else int(memory_gb * 1e9),
            cards=_cards(int(1 / gpus) if gpus else 1, plan, store),
            encoder=(plan.file.encoder, plan.encoder.revision),
        )

    return make


def _cards(asked: int, plan: Plan, store: Store) -> CardMemory:
    """How many runs a card holds, by what those of the store held that are like the plan's."""
    from transfer_meta.runs.card_memory import CardMemory
    from transfer_meta.runs.cost import is_like

    cards = CardMemory(asked, tell=say)
    sizes = ("precision", "lora_rank", "compile", "batch_size", "max_length")
    for run in store.runs(statuses=("done",)) if asked > 1 else ():
        if (run.notes or {}).get("card_bytes") and is_like(run, plan, settings=sizes):
            cards.learn(run)
    return cards


def _check_options(context: typer.Context, engine: str) -> None:
    """Raise an InputError for an unknown engine, an option of the other one, or a password for all to see."""
    if engine not in RUN_ENGINES:
        raise unknown("engine", engine, RUN_ENGINES)

    def is_typed(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    for name, of in OF_ENGINE.items():
        if of != engine and is_typed(name):
            raise InputError(f"--{name.replace('_', '-')} is an option of --engine {of}")
    if engine == "ray" and is_typed("store"):
        from transfer_meta.runs.store.connection import parse_url

        if parse_url(context.params["store"]).password:
            raise InputError(
                "--store holds a password, and Ray shows the command line to whoever reaches the cluster "
                "(expected the URL in TRANSFER_META_STORE, or the password in ~/.pgpass)"
            )
