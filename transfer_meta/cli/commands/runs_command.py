"""`transfer-meta runs`: preview plans, and inspect and maintain a run store."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from transfer_meta.cli.shared.console import print_json, show, tell
from transfer_meta.cli.shared.options import AsJson, GuardOption
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    PlanPath,
    StoreAddress,
)
from transfer_meta.errors import InputError, require
from transfer_meta.results import format_bytes, format_duration, format_value, frame_as_text, visible

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_store import Store

runs_app = Typer(help="Preview plans, and manage the run store.", no_args_is_help=True)
WATCH_SECONDS = 5.0


@runs_app.command("plan")
def plan_command(
    plan: PlanPath,
    store: StoreAddress = DEFAULT_STORE,
    each: Annotated[bool, Option("--list", help="Also print a line per run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the runs of a plan and their estimated cost.

    Example: transfer-meta runs plan plan.toml
    """
    if each and as_json:
        raise InputError("--list has no effect with --json")
    require("sqlalchemy", "torch")
    from transfer_meta.api.recommended_sets import recommend_sets
    from transfer_meta.runs.plan_preview import plan as preview_plan

    preview = preview_plan(recommend_sets(plan, tell=tell), store, tell=tell)
    if as_json:
        print_json(preview.to_dict())
        return
    if each:
        show(frame_as_text(preview.runs))
    show(preview)


@runs_app.command("status")
def status_command(
    store: StoreAddress = DEFAULT_STORE,
    watch: Annotated[
        bool, Option("--watch", help="Print a line at every change until all runs have ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the numbers of runs by status, and why runs failed.

    Example: transfer-meta runs status --watch
    """
    if watch and as_json:
        raise InputError("--json has no effect with --watch")
    if watch:
        _watch(_open(store))
        return
    require("sqlalchemy")
    from transfer_meta.runs.run_status import run_status

    status = run_status(store)
    print_json(status.to_dict()) if as_json else show(status)


@runs_app.command("show")
def show_command(
    run_id: Annotated[str, Argument(metavar="ID", help="A run's id, or the beginning of its key.")],
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Show everything the store knows about one run.

    Example: transfer-meta runs show 12
    """
    from transfer_meta.runs.run_status import format_time

    opened = _open(store)
    run = opened.run(run_id)
    record = {column.name: getattr(run, column.name) for column in run.__table__.columns}
    damaged: list[str] = []
    curves = {
        task: {
            "steps": len(curve.steps),
            "first_loss": float(curve.losses[0]) if len(curve.losses) else None,
            "last_loss": float(curve.losses[-1]) if len(curve.losses) else None,
            "dev_scores": curve.dev_scores.tolist(),
        }
        for task, curve in opened.curves(run.id, damaged=damaged).items()
    }
    for line in damaged:
        tell(line)
    checkpoint = opened.checkpoints().get(run.key)
    record["checkpoint"] = checkpoint.file if checkpoint else None
    record["curves"] = curves
    if as_json:
        print_json(record)
        return
    times = {name: format_time(record[name]) for name in ("created", "started", "finished")}
    show("\n".join(map(visible, _lines(record | times, ""))))


@runs_app.command("export")
def export_command(
    out: Annotated[
        Path | None, Option("--out", help="Write an outcomes table, .csv or .parquet.")
    ] = None,
    store: StoreAddress = DEFAULT_STORE,
    plan: Annotated[
        Path | None, Option("--plan", help="Export only the runs of this plan, scored by its metrics.")
    ] = None,
    tensorboard: Annotated[
        Path | None,
        Option("--tensorboard", metavar="FOLDER", help="Write the curves as TensorBoard event files."),
    ] = None,
    guard: GuardOption = True,
) -> None:
    """Write the outcomes as a table for `benchmark`, or the curves for TensorBoard.

    The learning curves are also written beside the table as FILE.curves.parquet.

    Example: transfer-meta runs export --out outcomes.csv
    """
    require("sqlalchemy")
    from transfer_meta.api.recommended_sets import recommend_sets
    from transfer_meta.runs.export import ExportSettings, checked_table_path, export

    if out is None and tensorboard is None:
        raise InputError("what to write? (expected --out FILE or --tensorboard FOLDER)")
    if not guard and (out is None or out.suffix != ".csv"):
        raise InputError("--no-guard has no effect without --out FILE.csv")
    if out is not None:
        checked_table_path(out)
    if tensorboard is not None:
        require("tensorboardX", extra="tensorboard")
    chosen = recommend_sets(plan, tell=tell) if plan else None
    exported = export(ExportSettings(store=store, plan=chosen), tell=tell)
    if out is not None:
        curves_file = exported.save(out, guard=guard)
        tell(f"{len(exported.table)} outcomes in {out}, their curves in {curves_file}")
        for line in exported.left_out:
            tell(line)
    if tensorboard is not None:
        tell(f"curves of {len(exported.save_tensorboard(tensorboard))} runs in {tensorboard}")


@runs_app.command("retry")
def retry_command(
    store: StoreAddress = DEFAULT_STORE,
    failed: Annotated[
        bool, Option("--failed", help="Failed runs and those skipped because of them.")
    ] = False,
) -> None:
    """Make failed runs pending again, for the next `run`.

    Example: transfer-meta runs retry --failed
    """
    if not failed:
        raise InputError("what to retry? (expected --failed)")
    tell(f"{_open(store).retry()} runs are pending again")


@runs_app.command("gc")
def gc_command(
    store: StoreAddress = DEFAULT_STORE,
    checkpoints: CheckpointPath = None,
    kept: Annotated[
        bool,
        Option(
            "--kept", help="Also remove checkpoints kept by --keep-checkpoints, and trained models."
        ),
    ] = False,
) -> None:
    """Remove checkpoints that no pending run needs.

    Leftovers of killed runs are removed too.

    Example: transfer-meta runs gc
    """
    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints

    opened = _open(store)
    place = open_checkpoints(checkpoints or opened.checkpoint_folder)
    freed = place.remove(opened.drop_checkpoints(kept=kept)) + place.sweep(opened, models=kept)
    tell(f"freed {format_bytes(freed)} in {place.address}")


@runs_app.command("migrate")
def migrate_command(store: StoreAddress = DEFAULT_STORE) -> None:
    """Convert an older store to the current schema.

    Example: transfer-meta runs migrate --store runs.sqlite
    """
    require("sqlalchemy")
    from transfer_meta.runs.store import connection

    url = connection.parse_url(store)
    before, after = connection.migrate_database(url)
    tell(f"{connection.show_address(url)}: schema version {before or 'none'} -> {after}")


def _open(store: str) -> Store:
    require("sqlalchemy")
    from transfer_meta.runs.open_plan import open_store

    return open_store(store)


def _watch(store: Store) -> None:
    """Print the numbers of runs by status whenever they change; the rate is that since the start."""
    before: Counter[str] = Counter()
    first, began = None, time.monotonic()
    while True:
        counts = Counter(store.statuses().values())
        left = counts["pending"] + counts["running"]
        ended = counts.total() - left
        first = ended if first is None else first
        if counts != before:
            parts = [f"{counts[status]} {status}" for status in counts if counts[status]]
            line = f"{datetime.now():%H:%M:%S}  {ended} of {counts.total()} ended ({', '.join(sorted(parts))})"
            if left and ended > first:
                rate = (ended - first) / (time.monotonic() - began)
                line += f"; {3600 * rate:.0f} runs an hour, about {format_duration(left / rate)} left"
            show(line)
            before = counts
        if not left:
            return
        time.sleep(WATCH_SECONDS)


def _lines(table: dict[str, Any], indent: str) -> list[str]:
    """Return a nested table as indented lines."""
    lines = []
    for name, value in table.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{name}: {', '.join(map(format_value, value)) or '–'}")
        else:
            # Three decimals would show a learning rate of 0.0001 as 0.
            shown = f"{value:g}" if isinstance(value, float) else format_value(value)
            lines.append(f"{indent}{name}: {shown}")
    return lines
