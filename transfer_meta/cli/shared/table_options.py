"""Options that name a table of outcomes, and loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from transfer_meta.cli.shared.console import tell
from transfer_meta.cli.shared.options import parse_pairs, split_list
from transfer_meta.errors import InputError

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
        self._refuse_unused()
        table = load_outcomes(self.dataset, tasks=self.tasks, settings=settings)
        if self.lower_is_better is not None and "score" not in table.runs:
            raise InputError(
                "--lower-is-better/--higher-is-better has no effect on a table without scores"
            )
        for note in table.notes:
            tell(f"{table.name}: {note}")
        return table

    def _refuse_unused(self) -> None:
        """Raise an InputError for an option of reading files without effect on these."""
        from transfer_meta.outcomes.shipped import shipped_tables

        is_shipped = self.dataset in shipped_tables()
        of_files = {"separator": self.separator, "encoding": self.encoding, "decimal": self.decimal}
        if is_shipped and self.tasks is None:
            ignored, reason = {**of_files, "columns": self.columns}, "on a table that ships"
        else:
            files = [None if is_shipped else Path(self.dataset), self.tasks]
            if not all(file.suffix.lower() == ".parquet" for file in files if file is not None):
                return
            del of_files["decimal"]  # numbers may be text in Parquet too
            ignored, reason = of_files, "on Parquet"
        for name, value in ignored.items():
            if value is not None:
                raise InputError(f"--{name} has no effect {reason}")


@dataclass(frozen=True, kw_only=True)
class VectorTableOptions(TableOptions):
    """A table of outcomes with task vectors."""

    vectors: Annotated[
        Path | None,
        Option(
            help="Task vectors written by `embed` (.npz, .safetensors): adds their similarities as features."
        ),
    ] = None


def parse_columns(text: str | None) -> dict[str, str]:
    """Return ``source=aux, target=main`` as a mapping of our column names to the table's."""
    pairs = ("=".join(map(str.strip, part.split("=", 1))) for part in split_list(text))
    return parse_pairs("--columns", pairs, form="ours=theirs, for example source=aux")
