"""Options that name a table of outcomes, and loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from transfer_meta.cli.shared.console import tell
from transfer_meta.cli.shared.options import parse_pairs, split_list

if TYPE_CHECKING:
    from transfer_meta.outcomes.tables import OutcomeTable

TasksFile = Annotated[Path | None, Option("--tasks", help="Table of task features, one row per task.")]
ColumnsOption = Annotated[
    str | None, Option("--columns", help="Rename columns, ours=theirs: source=aux,target=main.")
]
TableSeparator = Annotated[
    str | None,
    Option("--separator", help="Character between columns, or 'tab'; default: told from the rows."),
]
TableEncoding = Annotated[
    str | None, Option("--encoding", help="Encoding of the tables; default: by its mark, else utf-8.")
]
DecimalSign = Annotated[
    str | None, Option("--decimal", help="Decimal sign: '.' or ','; default: told from the numbers.")
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
    separator: TableSeparator = None
    encoding: TableEncoding = None
    decimal: DecimalSign = None
    lower_is_better: Annotated[
        bool | None,
        Option(
            "--lower-is-better/--higher-is-better",
            help="Direction of the score; default: by the metric's name, row by row.",
        ),
    ] = None
    strict: Annotated[
        bool, Option("--strict", help="Refuse the table at the first row that cannot be used.")
    ] = False
    verbose: Annotated[
        bool, Option("--verbose", help="List the rows that notes on the table count.")
    ] = False

    def load(self) -> OutcomeTable:
        """Load the table and print its notes on stderr."""
        from transfer_meta.outcomes.table_settings import TableSettings
        from transfer_meta.outcomes.tables import load_outcomes
        from transfer_meta.readers.whole_table import TableFormat

        settings = TableSettings(
            columns=parse_columns(self.columns),
            features=getattr(self, "features", None),
            lower_is_better=self.lower_is_better,
            form=TableFormat(self.separator, self.encoding, self.decimal),
            strict=self.strict,
            verbose=self.verbose,
        )
        table = load_outcomes(self.dataset, tasks=self.tasks, settings=settings)
        for note in table.notes:
            tell(f"{table.name}: {note}")
        return table


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
    from transfer_meta.readers.clean_names import clean_name

    vectors, settings = load_vectors(path)
    types = settings.get("types", {})
    return {clean_name(task): found for task, found in vectors.items()}, {
        clean_name(task): kind for task, kind in types.items()
    }


def parse_columns(text: str | None) -> dict[str, str]:
    """Return ``source=aux, target=main`` as a mapping of our column names to the table's."""
    pairs = ("=".join(map(str.strip, part.split("=", 1))) for part in split_list(text))
    return parse_pairs("--columns", pairs, form="ours=theirs, for example source=aux")
