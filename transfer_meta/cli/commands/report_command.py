"""``transfer-meta report``: the analysis of a table as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from transfer_meta.cli.shared.console import progress
from transfer_meta.cli.shared.options import Seed, WorkersOption, count_workers, with_options
from transfer_meta.cli.shared.table_options import VectorTableOptions, load_task_space
from transfer_meta.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ReportOptions(VectorTableOptions):
    """Options of ``report``."""

    out: Annotated[Path, Option(help="The page to write.")] = Path("report.html")
    curves: Annotated[
        Path | None,
        Option(help="Learning curves written by `runs export`; default: the file beside the table."),
    ] = None
    repeats: Annotated[
        int | None, Option(help="Shuffles of pairs-5fold; default: 10, or 100 on published tables.")
    ] = None
    seed: Seed = 0
    workers: WorkersOption = None


@with_options
def report_command(*, options: ReportOptions) -> None:
    """Write the analysis of a table as one HTML page.

    Contents: gains, picks, every protocol, noise ceiling, decisions, importance and reliability.

    Example: transfer-meta report bingel-soegaard-2017 --out report.html
    """
    from transfer_meta.files import atomic_file
    from transfer_meta.pages import build_report, write_report

    out = options.out
    if out.is_dir():
        raise InputError(
            f"cannot write '{out}': it is a folder (expected a file, for example {out}/report.html)"
        )
    table = options.load()
    vectors, types = task_space(options.dataset, options.vectors)
    curves = logged_curves(options.dataset, options.curves)
    # Opened first: an output that cannot be written is reported before the work is done.
    with atomic_file(out) as page, progress("report") as on_progress:
        contents = build_report(
            table,
            repeats=options.repeats,
            seed=options.seed,
            workers=count_workers(options.workers),
            on_progress=on_progress,
        )
        write_report(replace(contents, vectors=vectors, types=types, curves=curves), page)
    print(f"report: {out}")


def task_space(dataset: str, given: Path | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return vectors and types of tasks, from the file given or those shipped with the table."""
    from transfer_meta.outcomes.shipped import shipped_tables

    shipped = shipped_tables().get(dataset)
    files = [given] if given else list(shipped.vectors.values()) if shipped else []
    vectors: dict[str, Any] = {}
    types: dict[str, str] = {}
    for file in files:
        more, more_types = load_task_space(file)
        vectors |= more
        types |= more_types
    return vectors, types


def logged_curves(dataset: str, given: Path | None) -> pd.DataFrame | None:
    """Return the curves of single-task runs, from the file given or the one beside the table, if any."""
    from transfer_meta.figures.learning_curves import single_task_curves
    from transfer_meta.outcomes.shipped import shipped_tables
    from transfer_meta.readers.whole_table import read_table

    shipped = shipped_tables().get(dataset)
    table = Path(dataset) if shipped is None else shipped.outcomes
    beside = (
        [table.with_suffix(f".curves.{kind}") for kind in ("parquet", "csv")] if table.suffix else []
    )
    file = given or next((path for path in beside if path.is_file()), None)
    return None if file is None else single_task_curves(read_table(file))
