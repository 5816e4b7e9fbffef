"""``transfer-meta report``: the analysis of a table as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from transfer_meta.cli.shared.console import progress, show
from transfer_meta.cli.shared.options import (
    Seed,
    WorkersOption,
    count_workers,
    settings_of,
    with_options,
)
from transfer_meta.cli.shared.table_options import VectorTableOptions


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
    from transfer_meta.pages.build import ReportSettings, report

    table = options.load()
    values = settings_of(options, ReportSettings) | {"workers": count_workers(options.workers)}
    with progress("report") as on_progress:
        report(table, ReportSettings(**values), out=options.out, on_progress=on_progress)
    show(f"report: {options.out}")
