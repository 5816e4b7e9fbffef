"""Options that name a table of outcomes, and loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from transfer_meta.cli.shared.options import parse_pairs, split_list

if TYPE_CHECKING:
    from transfer_meta.outcomes.tables import OutcomeTable

TasksFile = Annotated[Path | None, Option("--tasks", help="Table of task features, one row per task.")]
ColumnsOption = Annotated[
    str | None, Option("--columns", help="Rename columns, ours=theirs: source=aux,target=main.")
]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """A table of outcomes."""

    dataset: Annotated[
        str,
        Argument(metavar="NAME|FILE", help="Name of a shipped table, or a CSV, TSV or Parquet file."),
    ]
    tasks: TasksFile = None
    columns: ColumnsOption = None

    def load(self) -> OutcomeTable:
        """Load the table."""
        from transfer_meta.outcomes.tables import load_outcomes

        return load_outcomes(self.dataset, tasks=self.tasks, columns=parse_columns(self.columns))


@dataclass(frozen=True, kw_only=True)
class VectorTableOptions(TableOptions):
    """A table of outcomes with task vectors."""

    vectors: Annotated[
        Path | None,
        Option(
            help="Task vectors written by `embed` (.npz, .safetensors): adds their similarities as features."
        ),
    ] = None

    def load(self) -> OutcomeTable:
        """Load the table, with the similarities of task vectors as features of the pairs."""
        table = super().load()
        if self.vectors is None:
            return table
        from transfer_meta.metadataset import with_similarities

        return with_similarities(table, load_task_space(self.vectors)[0])


def load_task_space(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the vectors and the types of tasks from a file written by ``embed``."""
    from transfer_meta.features.vectors.vector_files import load_vectors

    vectors, settings = load_vectors(path)
    return vectors, settings.get("types", {})


def parse_columns(text: str | None) -> dict[str, str]:
    """Return ``source=aux, target=main`` as a mapping of our column names to the table's."""
    pairs = ("=".join(map(str.strip, part.split("=", 1))) for part in split_list(text))
    return parse_pairs("--columns", pairs, form="ours=theirs, for example source=aux")
