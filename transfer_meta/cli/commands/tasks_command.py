"""`transfer-meta tasks`: check how tasks are read."""

from __future__ import annotations

from typing import Annotated

from typer import Option, Typer

from transfer_meta.cli.shared.console import print_json, progress, show
from transfer_meta.cli.shared.options import AsJson, with_options
from transfer_meta.cli.shared.task_options import ReadOptions, TaskNames

tasks_app = Typer(help="Check tasks before using them.", no_args_is_help=True)


@tasks_app.callback()
def _tasks() -> None:
    """Make `check` a subcommand although it is the only one."""


@tasks_app.command("check")
@with_options
def check_command(
    names: TaskNames,
    *,
    examples: Annotated[int, Option(min=0, help="Examples to show per task.")] = 2,
    as_json: AsJson = False,
    reading: ReadOptions,
) -> None:
    """Show how tasks are read, what is left out, mended and unused, and problems.

    Exit code 2 if there is a problem: an unreadable file, a single label in train, labels that train lacks, labels
    that look alike.

    Example: transfer-meta tasks check reviews.train.csv --column label=stars --type regression
    """
    from transfer_meta.api.task_checks import check_tasks

    reading.refuse_unused(names)
    with progress("tasks") as on_progress:
        found = check_tasks(names, reading.to_settings(), examples=examples, on_progress=on_progress)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found)
    found.raise_problems()
