"""`transfer-meta run`: do the runs of a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.harness.plan import Plan
    from transfer_meta.outcomes.store import Store

PlanPath = Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What to run.")]
StoreAddress = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="TRANSFER_META_STORE",
        help="The run store: a file (SQLite) or postgresql://USER:PASSWORD@HOST/DATABASE.",
    ),
]
CheckpointPath = Annotated[
    Path | None,
    typer.Option(
        "--checkpoints", help="Folder for checkpoints; default: beside the store.", show_default=False
    ),
]
DEFAULT_STORE = "runs.sqlite"


def run(
    plan: PlanPath,
    store: StoreAddress = DEFAULT_STORE,
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
    """
    require("sqlalchemy", "torch")
    from transfer_meta.harness.checkpoints import CheckpointFolder
    from transfer_meta.harness.devices import find_devices
    from transfer_meta.harness.engines import Limits, Work
    from transfer_meta.harness.local import LocalEngine

    if limit_hours is not None and not limit_hours > 0:
        raise InputError(f"--limit-hours {limit_hours} (expected a positive number)")
    slots = find_devices(device, workers=workers, runs_per_device=runs_per_device)
    loaded, opened = open_both(plan, store, create=True)
    assert opened is not None
    folder = CheckpointFolder(checkpoints or opened.folder)
    new = opened.add(loaded.runs)
    known = len(loaded.runs) - new
    say(f"{len(loaded.runs)} runs, {known} of them known to {opened.name}; on {', '.join(slots)}")
    engine = LocalEngine(slots, loaded.task_sources, cache=folder.path / "tokens")
    limits = Limits(runs=max_runs, seconds=None if limit_hours is None else limit_hours * 3600)
    summary = Work(
        opened, loaded.stages, folder, engine, keep=keep_checkpoints, limits=limits, tell=say
    ).run()
    say(
        f"{summary.done} done, {summary.failed} failed, {summary.skipped} skipped, {summary.left} left"
        + ("; `transfer-meta runs status` says why" if summary.failed else "")
        + ("; the same command goes on" if summary.left else "")
    )
    if summary.signal is not None:
        return 128 + summary.signal
    return 1 if summary.failed or summary.skipped else 0


def open_both(plan: Path, store: str, *, create: bool) -> tuple[Plan, Store | None]:
    """A plan and its store, all that is wrong with either told at once.

    Without `create`, a SQLite store that is not there yet is none: None.
    """
    from transfer_meta.harness.plan import load_plan
    from transfer_meta.outcomes.connect import parse_url
    from transfer_meta.outcomes.store import Store

    problems: list[str] = []
    opened = None
    made = False
    try:
        url = parse_url(store)
        is_new = url.drivername == "sqlite" and not Path(str(url.database)).exists()
        if create or not is_new:
            made = is_new
            opened = Store(store, create=create)
    except InputError as error:
        problems.append(str(error))
    try:
        return load_plan(plan, problems=problems), opened
    except InputError:
        if opened is not None:
            opened.close()
        if made:
            Path(str(url.database)).unlink(missing_ok=True)
        raise


def require(*modules: str) -> None:
    """Raise an InputError that names the extra where a module of the harness is not installed."""
    from importlib.util import find_spec

    for module in modules:
        if find_spec(module) is None:
            raise InputError(
                f"this command needs {module}, which is not installed: pip install 'transfer-meta[harness]'"
            )


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)
