"""``transfer-meta report``: the whole analysis of a table as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.console import progress
from transfer_meta.cli.shared.options import (
    ColumnsOption,
    Dataset,
    Seed,
    TasksFile,
    VectorsOption,
    WorkersOption,
    cores,
    load,
    load_task_space,
)

if TYPE_CHECKING:
    import pandas as pd


def report_command(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    tasks: TasksFile = None,
    columns: ColumnsOption = None,
    vectors: VectorsOption = None,
    curves: Annotated[
        Path | None,
        typer.Option(
            help="Learning curves, as `runs export` writes them; default: those beside the table.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Shuffles of pairs-5fold; default: 10, or as many as the paper's.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    workers: WorkersOption = None,
) -> None:
    """Write one HTML page: gains, picks, every protocol, noise ceiling, decisions, importance, reliability.

    For example:

      transfer-meta report bingel-soegaard-2017 --out report.html
    """
    from dataclasses import replace

    from transfer_meta.errors import InputError
    from transfer_meta.files import atomic_file
    from transfer_meta.report import build_report, write_report

    if out.is_dir():
        raise InputError(
            f"cannot write '{out}': it is a folder (expected a file, for example {out}/report.html)"
        )
    table = load(dataset, tasks, columns, vectors)
    of_task, types = task_space(dataset, vectors)
    logged = logged_curves(dataset, curves)
    # Opened first: that the page cannot be written is better said before the work than after it.
    with atomic_file(out) as page, progress("report") as on_progress:
        contents = build_report(
            table, repeats=repeats, seed=seed, workers=cores(workers), on_progress=on_progress
        )
        write_report(replace(contents, vectors=of_task, types=types, curves=logged), page)
    print(f"report: {out}")


def task_space(dataset: str, vectors: Path | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Vectors and types of tasks: those of the file, or those that ship with the table."""
    from transfer_meta.outcomes.shipped import shipped_tables

    shipped = shipped_tables().get(dataset)
    files = [vectors] if vectors is not None or shipped is None else list(shipped.vectors.values())
    of_task: dict[str, Any] = {}
    types: dict[str, str] = {}
    for file in files:
        more, more_types = load_task_space(file)
        of_task |= more
        types |= more_types
    return of_task, types


def logged_curves(dataset: str, given: Path | None) -> pd.DataFrame | None:
    """Curves of the single-task runs: of the file, or of that beside the table; None where there is none."""
    from transfer_meta.outcomes.shipped import shipped_tables
    from transfer_meta.readers.whole_table import read_table
    from transfer_meta.report.figures.learning_curves import single_task_curves

    shipped = shipped_tables().get(dataset)
    table = Path(dataset) if shipped is None else shipped.outcomes
    beside = (
        [table.with_suffix(f".curves.{kind}") for kind in ("parquet", "csv")] if table.suffix else []
    )
    file = given or next((path for path in beside if path.is_file()), None)
    return None if file is None else single_task_curves(read_table(file))
