"""``transfer-meta report``: the whole analysis of a table as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfer_meta.cli.console import progress
from transfer_meta.cli.options import (
    Columns,
    Dataset,
    Jobs,
    Seed,
    TasksFile,
    Vectors,
    cores,
    load,
    load_task_space,
)


def report(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    tasks: TasksFile = None,
    columns: Columns = None,
    vectors: Vectors = None,
    repeats: Annotated[
        int | None, typer.Option(help="Shuffles of pairs-5fold; default: 100.", show_default=False)
    ] = None,
    seed: Seed = 0,
    n_jobs: Jobs = None,
) -> None:
    """Write one HTML page: gains, every protocol, importance, reliability.

    Example:

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
    of_task, types = load_task_space(vectors)
    # Opened first: that the page cannot be written is better said before the work than after it.
    with atomic_file(out) as page, progress("report") as on_progress:
        contents = build_report(
            table, repeats=repeats, seed=seed, n_jobs=cores(n_jobs), on_progress=on_progress
        )
        write_report(replace(contents, vectors=of_task, types=types), page)
    print(f"report: {out}")
