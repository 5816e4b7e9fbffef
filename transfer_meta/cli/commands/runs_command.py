"""`transfer-meta runs`: preview plans, and inspect and maintain a run store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from transfer_meta.cli.shared.console import print_json, print_records, print_table, tell
from transfer_meta.cli.shared.options import AsJson
from transfer_meta.cli.shared.output_files import write_table
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    PlanPath,
    StoreAddress,
    open_both,
    require,
)
from transfer_meta.errors import InputError
from transfer_meta.results import format_value

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_store import Store

runs_app = Typer(help="Preview plans, and manage the run store.", no_args_is_help=True)
WATCH_SECONDS = 5.0
SUMMARY = (
    "id", "key", "method", "source", "target", "regime", "encoder", "seed", "status", "reason", "score", "seconds",
)  # fmt: skip
"""Fields of a run in the JSON of ``status``."""


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
    from transfer_meta.runs.cost import estimate

    loaded, opened = open_both(plan, store, create=False)
    there = opened.statuses() if opened else {}
    done = opened.runs(statuses=("done",)) if opened else []
    left = [run.key for run in loaded.runs if there.get(run.key, "pending") in ("pending", "running")]
    cost = estimate(loaded, done, left)
    groups: dict[tuple[str, str], Counter[str]] = {}
    for run in loaded.runs:
        status = there.get(run.key, "new")
        groups.setdefault((run.method, run.regime), Counter())[status] += 1
    if as_json:
        print_json(
            {
                "runs": len(loaded.runs),
                "left": len(left),
                "groups": [{"method": m, "regime": r, **counts} for (m, r), counts in groups.items()],
                "estimated_seconds": cost.seconds,
                "measured": cost.measured,
                "estimated_gpu_hours": cost.gpu_hours,
                "basis": cost.basis,
                "checkpoint_bytes": cost.disk_bytes,
            }
        )
        return
    if each:
        columns = ("method", "source", "target", "examples", "seed", "status")
        every = [
            (r.method, r.source, r.target, r.regime, r.seed, there.get(r.key, "new"))
            for r in loaded.runs
        ]
        print_table(columns, every)
    statuses = ("new", "pending", "running", "done", "failed", "skipped")
    shown = [s for s in statuses if any(counts[s] for counts in groups.values())]
    rows = [
        {"method": m, "examples": r, "runs": counts.total(), **{s: counts[s] for s in shown}}
        for (m, r), counts in groups.items()
    ]
    print_records(rows, title=f"{len(loaded.runs)} runs")
    print(f"{len(left)} to do: about {_duration(cost.seconds)} for one worker ({cost.basis})")
    print(f"checkpoints: at most about {_size(cost.disk_bytes)} at a time")


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
    from transfer_meta.runs.store.schema import STATUSES

    opened = _open(store)
    if watch:
        _watch(opened)
        return
    runs = opened.runs()
    counts = Counter(run.status for run in runs)
    if as_json:
        print_json({"counts": dict(counts), "runs": [_fields(run, SUMMARY) for run in runs]})
        return
    methods = dict.fromkeys(run.method for run in runs)
    by_method = {method: Counter(r.status for r in runs if r.method == method) for method in methods}
    rows = [
        {"method": method, **{status: of_method[status] for status in STATUSES}}
        for method, of_method in [*by_method.items(), ("all", counts)]
    ]
    print_records(rows, title=opened.name)
    columns = ("id", "source", "target", "regime", "seed")
    running = [r for r in runs if r.status == "running"]
    if running:
        rows = [{**_fields(r, columns), "worker": r.worker, "since": _time(r.started)} for r in running]
        print_records(rows, title="running")
    failed = [_fields(run, (*columns, "reason")) for run in runs if run.status == "failed"]
    if failed:
        print_records(failed, title="failed (`transfer-meta runs retry --failed` tries them again)")


@runs_app.command("show")
def show_command(
    run_id: Annotated[str, Argument(metavar="ID", help="A run's id, or the beginning of its key.")],
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Show everything the store knows about one run.

    Example: transfer-meta runs show 12
    """
    opened = _open(store)
    run = opened.run(run_id)
    record = {column.name: getattr(run, column.name) for column in run.__table__.columns}
    curves = {
        task: {
            "steps": len(curve.steps),
            "first_loss": float(curve.losses[0]) if len(curve.losses) else None,
            "last_loss": float(curve.losses[-1]) if len(curve.losses) else None,
            "dev_scores": curve.dev_scores.tolist(),
        }
        for task, curve in opened.curves(run.id).items()
    }
    checkpoint = opened.checkpoints().get(run.key)
    record["checkpoint"] = checkpoint.file if checkpoint else None
    record["curves"] = curves
    if as_json:
        print_json(record)
        return
    times = {name: _time(record[name]) for name in ("created", "started", "finished")}
    print("\n".join(_lines(record | times, "")))


@runs_app.command("export")
def export_command(
    out: Annotated[Path, Option("--out", help="Outcomes table, .csv or .parquet.")],
    store: StoreAddress = DEFAULT_STORE,
    plan: Annotated[
        Path | None, Option("--plan", help="Export only the runs of this plan, scored by its metrics.")
    ] = None,
) -> None:
    """Write the outcomes as a table for `benchmark`.

    The learning curves are written beside it as FILE.curves.parquet.

    Example: transfer-meta runs export --out outcomes.csv
    """
    from transfer_meta.runs.export import export_curves, export_outcomes

    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out '{out}' (expected a name that ends in .csv or .parquet)")
    if plan is None:
        opened, keys, metrics = _open(store), None, None
    else:
        loaded, found = open_both(plan, store, create=False)
        opened, keys, metrics = found or _open(store), set(loaded.stages), loaded.file.metrics
    exported = export_outcomes(opened, keys=keys, metrics=metrics)
    curves_file = out.with_suffix(".curves.parquet")
    write_table(exported.table, out)
    write_table(export_curves(opened, keys=keys), curves_file)
    tell(f"{len(exported.table)} outcomes in {out}, their curves in {curves_file}")
    if exported.without_baseline:
        tell(f"{exported.without_baseline} left out: their baseline is not done")
    if exported.zero_baseline:
        tell(f"{exported.zero_baseline} left out: their baseline is 0, so there is no relative gain")


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
        bool, Option("--kept", help="Also remove checkpoints kept by --keep-checkpoints.")
    ] = False,
) -> None:
    """Remove checkpoints that no pending run needs.

    Leftovers of killed runs are removed too.

    Example: transfer-meta runs gc
    """
    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints

    opened = _open(store)
    place = open_checkpoints(checkpoints or opened.checkpoint_folder)
    freed = place.remove(opened.drop_checkpoints(kept=kept)) + place.sweep(opened)
    tell(f"freed {_size(freed)} in {place.address}")


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
    from transfer_meta.runs.store.run_store import Store

    return Store(store)


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
                line += f"; {3600 * rate:.0f} runs an hour, about {_duration(left / rate)} left"
            print(line, flush=True)
            before = counts
        if not left:
            return
        time.sleep(WATCH_SECONDS)


def _fields(run: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(run, name) for name in names}


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


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%F %T UTC")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(number: int) -> str:
    return f"{number / 1e6:.0f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"
