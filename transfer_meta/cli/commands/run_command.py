"""`transfer-meta run`: execute the runs of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from transfer_meta.cli.shared.console import tell
from transfer_meta.cli.shared.options import is_given, with_options
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    DeviceWorkers,
    PlanPath,
    StoreAddress,
    refuse_password,
)
from transfer_meta.errors import require

if TYPE_CHECKING:
    from transfer_meta.runs.run_plan import RunSettings


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of ``run``; the fields are those of `RunSettings`."""

    store: StoreAddress = DEFAULT_STORE
    engine: Annotated[str, Option(help="Where to execute runs: local or ray (a cluster).")] = "local"
    workers: DeviceWorkers = None
    device: Annotated[
        str | None, Option(help="auto, cpu, or CUDA devices: cuda:0,cuda:1; default: auto.")
    ] = None
    runs_per_device: Annotated[
        int | None, Option(help="Runs at the same time on each device; default: 1.")
    ] = None
    address: Annotated[
        str | None, Option(help="Ray: auto, local, or HOST:PORT of the cluster's head; default: auto.")
    ] = None
    gpus_per_run: Annotated[
        float | None,
        Option(help="Ray: GPUs per run, may be a fraction; default: 1 if the cluster has any."),
    ] = None
    cpus_per_run: Annotated[float | None, Option(help="Ray: CPU cores per run; default: 1.")] = None
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

    def to_settings(self) -> RunSettings:
        """Return the library's settings."""
        from transfer_meta.runs.run_plan import RunSettings

        return RunSettings(**vars(self))


@with_options
def run_command(context: Context, plan: PlanPath, *, options: RunOptions) -> int:
    """Execute the runs of a plan that are not done.

    After an interruption, repeat the command. Ctrl-C and SIGTERM stop after the current step and save its state.
    Exit code 1 if any run failed.

    Example: transfer-meta run plan.toml --engine ray --gpus-per-run 0.25 --store postgresql://HOST/runs
    """
    require("sqlalchemy", "torch")
    from transfer_meta.api.recommended_sets import recommend_sets
    from transfer_meta.runs.run_plan import run

    settings = options.to_settings()
    if settings.engine == "ray" and is_given(context, "store"):
        remedy = "the URL in TRANSFER_META_STORE, or the password in ~/.pgpass"
        refuse_password(options.store, remedy)
    summary = run(recommend_sets(plan, tell=tell), settings, tell=tell)
    tell(summary.caption)
    return summary.exit_code
