"""`transfer-meta runs`: plans before they run, and what is in a run store."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import AsJson
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    PlanPath,
    StoreAddress,
    open_both,
    require,
    say,
)
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_store import Store
    from transfer_meta.runs.store.schema import Run

runs_app = typer.Typer(help="Plans, and the store of fine-tuning runs.", no_args_is_help=True)
WATCH_SECONDS = 5.0


@runs_app.command("plan")
def plan_command(
    plan: PlanPath,
    store: StoreAddress = DEFAULT_STORE,
    each: Annotated[bool, typer.Option("--list", help="Also a line for every run.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a plan will run, what the store has already, and what the rest will take."""
    from transfer_meta.cli.shared.console import print_json, print_table

    require("sqlalchemy", "torch")
    from transfer_meta.runs.estimate import estimate

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
    columns = ("new", "pending", "running", "done", "failed", "skipped")
    shown = [c for c in columns if any(counts[c] for counts in groups.values())]
    rows = [
        [method, regime, sum(counts.values()), *(counts[c] for c in shown)]
        for (method, regime), counts in groups.items()
    ]
    if each:
        print_table(
            ["method", "source", "target", "examples", "seed", "status"],
            [
                [r.method, r.source, r.target, r.regime, r.seed, there.get(r.key, "new")]
                for r in loaded.runs
            ],
        )
    print_table(["method", "examples", "runs", *shown], rows, title=f"{len(loaded.runs)} runs")
    print(f"{len(left)} to do: about {_duration(cost.seconds)} for one worker ({cost.basis})")
    print(f"checkpoints: at most about {_size(cost.disk_bytes)} at a time")


@runs_app.command("status")
def status_command(
    store: StoreAddress = DEFAULT_STORE,
    watch: Annotated[
        bool, typer.Option("--watch", help="A line at every change, until nothing is left to do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How many runs stand where; what runs now; what failed and why."""
    from transfer_meta.cli.shared.console import print_json, print_table
    from transfer_meta.runs.store.schema import STATUSES

    opened = _open(store)
    if watch:
        _watch(opened)
        return
    runs = opened.runs()
    counts = Counter(run.status for run in runs)
    if as_json:
        print_json({"counts": dict(counts), "runs": [_summary(run) for run in runs]})
        return
    methods = Counter(run.method for run in runs)
    rows: list[list[Any]] = [
        [method, *(sum(r.method == method and r.status == s for r in runs) for s in STATUSES)]
        for method in methods
    ]
    rows.append(["all", *(counts[s] for s in STATUSES)])
    print_table(["method", *STATUSES], rows, title=opened.name)
    running = [run for run in runs if run.status == "running"]
    if running:
        columns = ["id", "source", "target", "regime", "seed", "worker", "since"]
        print_table(
            columns,
            [[r.id, r.source, r.target, r.regime, r.seed, r.worker, _time(r.started)] for r in running],
            title="running",
        )
    failed = [run for run in runs if run.status == "failed"]
    if failed:
        columns = ["id", "source", "target", "regime", "seed", "reason"]
        print_table(
            columns,
            [[r.id, r.source, r.target, r.regime, r.seed, r.reason] for r in failed],
            title="failed (`transfer-meta runs retry --failed` tries them again)",
        )


@runs_app.command("show")
def show_command(
    run_id: Annotated[
        str, typer.Argument(metavar="ID", help="A run's id, or the beginning of its key.")
    ],
    store: StoreAddress = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """All that is known of one run."""
    from transfer_meta.cli.shared.console import format_value, print_json

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
    for name, value in record.items():
        shown = _time(value) if name in ("created", "started", "finished") else value
        if isinstance(shown, dict):
            print(f"{name}:")
            for line in _lines(shown, "  "):
                print(line)
        else:
            print(f"{name}: {format_value(shown)}")


@runs_app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="Outcomes table, .csv or .parquet.")],
    store: StoreAddress = DEFAULT_STORE,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", help="Only this plan's runs, scored by its metrics.", show_default=False
        ),
    ] = None,
) -> None:
    """Write the outcomes as `transfer-meta benchmark` reads them, and the curves as FILE.curves.parquet."""
    from transfer_meta.files import atomic_file
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
    with atomic_file(out) as temporary:
        if out.suffix == ".csv":
            exported.table.to_csv(temporary, index=False)
        else:
            exported.table.to_parquet(temporary, index=False)
    with atomic_file(curves_file) as temporary:
        export_curves(opened, keys=keys).to_parquet(temporary, index=False)
    say(f"{len(exported.table)} outcomes in {out}, their curves in {curves_file}")
    if exported.without_baseline:
        say(f"{exported.without_baseline} left out: their baseline is not done")
    if exported.zero_baseline:
        say(f"{exported.zero_baseline} left out: their baseline is 0, so there is no relative gain")


@runs_app.command("retry")
def retry_command(
    store: StoreAddress = DEFAULT_STORE,
    failed: Annotated[
        bool, typer.Option("--failed", help="The failed runs and those they held up.")
    ] = False,
) -> None:
    """Make failed runs pending again; `transfer-meta run` then does them."""
    if not failed:
        raise InputError("what to retry? (expected --failed)")
    say(f"{_open(store).retry()} runs are pending again")


@runs_app.command("gc")
def gc_command(
    store: StoreAddress = DEFAULT_STORE,
    checkpoints: CheckpointPath = None,
    kept: Annotated[
        bool, typer.Option("--kept", help="Also checkpoints kept by --keep-checkpoints.")
    ] = False,
) -> None:
    """Remove checkpoints that no pending run needs, and what killed runs left behind."""
    from transfer_meta.runs.checkpoints.folder import open_checkpoints

    opened = _open(store)
    folder = open_checkpoints(checkpoints or opened.folder)
    freed = folder.remove(opened.drop_checkpoints(kept=kept)) + folder.sweep(opened)
    say(f"freed {_size(freed)} in {folder.address}")


@runs_app.command("migrate")
def migrate_command(store: StoreAddress = DEFAULT_STORE) -> None:
    """Bring a store that an older transfer-meta wrote up to date."""
    require("sqlalchemy")
    from transfer_meta.runs.store import connection

    url = connection.parse_url(store)
    before, after = connection.migrate_database(url)
    say(f"{connection.show_address(url)}: schema version {before or 'none'} -> {after}")


def _open(store: str) -> Store:
    require("sqlalchemy")
    from transfer_meta.runs.store.run_store import Store

    return Store(store)


def _watch(store: Store) -> None:
    """Print how the runs stand whenever that has changed; the rate is that since the first look."""
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


def _summary(run: Run) -> dict[str, Any]:
    names = ("id", "key", "method", "source", "target", "regime", "encoder", "seed", "status", "reason")
    return {name: getattr(run, name) for name in (*names, "score", "seconds")}


def _lines(table: dict[str, Any], indent: str) -> list[str]:
    """A nested table as indented lines."""
    from transfer_meta.cli.shared.console import format_value

    lines = []
    for name, value in table.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{name}: {', '.join(map(format_value, value)) or '–'}")
        else:
            # A learning rate of 0.0001 has more than three decimals.
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
