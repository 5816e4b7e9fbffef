"""``transfer-meta import``: convert a public corpus or a matrix of outcomes to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Option

from transfer_meta.cli.shared.console import show, tell
from transfer_meta.cli.shared.options import GuardOption, refuse_ignored
from transfer_meta.cli.shared.output_files import check_out, write_table
from transfer_meta.cli.shared.table_options import DecimalSign, TableEncoding, TableSeparator

MATRIX = "matrix"


def import_command(
    context: Context,
    corpus: Annotated[str, Argument(help="taskweb, or matrix: sources by targets with scores.")],
    path: Annotated[
        Path,
        Argument(metavar="DIR|FILE", help="Your copy: a table of runs, the folder, or the matrix."),
    ],
    out: Annotated[Path, Option(help="File to write: .csv, .parquet or .json.")],
    rows: Annotated[
        str | None, Option(help="Rows of a matrix: sources or targets; default: told from its names.")
    ] = None,
    separator: TableSeparator = None,
    encoding: TableEncoding = None,
    decimal: DecimalSign = None,
    guard: GuardOption = True,
) -> None:
    """Convert a public corpus of outcomes, or a matrix of scores, to a table.

    A matrix has the names of tasks in its first row and column; the diagonal, or a row or column named baseline,
    holds the scores of the targets alone.

    Example: transfer-meta import taskweb TaskWeb/data/taskweb --out taskweb.csv

    Example: transfer-meta import matrix scores.csv --out outcomes.csv
    """
    from transfer_meta.outcomes.importers import import_corpus
    from transfer_meta.outcomes.tables import build_table
    from transfer_meta.outcomes.wide_matrix import MatrixSettings, import_matrix
    from transfer_meta.readers.whole_table import TableFormat

    check_out(out, guard=guard)
    if corpus == MATRIX:
        form = TableFormat(separator, encoding, decimal)
        imported = import_matrix(path, MatrixSettings(rows=rows, form=form))  # type: ignore[arg-type]
    else:
        refuse_ignored(context, ("rows", "separator", "encoding", "decimal"), "except with matrix")
        imported = import_corpus(corpus, path)
    table = build_table(imported.table, name=corpus)
    write_table(imported.table, out, guard=guard)
    for note in imported.notes:
        show(f"{path.name}: {note}" if corpus == MATRIX else f"left out: {note}")
    for note in table.notes:
        tell(f"{out.name}: {note}")
    kind = "gains" if table.has_gain else "scores without baselines"
    show(
        f"{out}: {len(imported.table)} runs, {len(table.pairs)} pairs with {kind}, "
        f"{table.pairs['target'].nunique()} targets, {table.pairs['setting'].nunique()} settings"
    )
