"""``transfer-meta import``: convert the user's copy of a public corpus of outcomes to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def import_command(
    corpus: Annotated[str, Argument(help="Name of the corpus: taskweb.")],
    path: Annotated[
        Path, Argument(metavar="DIR|FILE", help="Your copy: a table of runs, or the folder.")
    ],
    out: Annotated[Path, Option(help="CSV file to write.")],
) -> None:
    """Convert a public corpus of outcomes to a table.

    Example: transfer-meta import taskweb TaskWeb/data/taskweb --out taskweb.csv
    """
    from transfer_meta.files import atomic_file
    from transfer_meta.outcomes.importers import import_corpus
    from transfer_meta.outcomes.tables import build_table

    imported = import_corpus(corpus, path)
    table = build_table(imported.table, name=corpus)
    with atomic_file(out) as temporary:
        imported.table.to_csv(temporary, index=False)
    for note in imported.notes:
        print(f"left out: {note}")
    kind = "gains" if table.has_gain else "scores without baselines"
    print(
        f"{out}: {len(imported.table)} runs, {len(table.pairs)} pairs with {kind}, "
        f"{table.pairs['target'].nunique()} targets, {table.pairs['setting'].nunique()} settings"
    )
