"""The command line: the commands' names, and what happens when one fails."""

from __future__ import annotations

import sys

import typer

from transfer_meta.cli.commands import (
    benchmark_command,
    importance_command,
    model_command,
    outcomes_command,
    quickstart_command,
    report_command,
    runs_command,
)
from transfer_meta.cli.commands.embed_command import embed
from transfer_meta.cli.commands.import_command import import_outcomes
from transfer_meta.cli.commands.pairs_command import pairs
from transfer_meta.cli.commands.profile_command import profile
from transfer_meta.cli.commands.recommend_command import recommend
from transfer_meta.cli.commands.run_command import run as run_plan
from transfer_meta.cli.commands.search_command import search
from transfer_meta.cli.commands.tasks_command import tasks_app
from transfer_meta.cli.commands.transferability_command import transferability
from transfer_meta.errors import GatheredInputError, InputError

app = typer.Typer(
    name="transfer-meta",
    help="Predict whether fine-tuning on a source task first helps a target task.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(quickstart_command.quickstart)
app.command()(benchmark_command.benchmark)
app.command()(importance_command.importance)
app.command()(report_command.report)
app.command()(model_command.fit)
app.command()(model_command.predict)
app.add_typer(outcomes_command.app, name="outcomes")
app.add_typer(tasks_app, name="tasks")
app.command()(profile)
app.command()(pairs)
app.command("run")(run_plan)
app.add_typer(runs_command.app, name="runs")
app.command()(search)
app.command()(embed)
app.command()(transferability)
app.command()(recommend)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for a user's mistakes, told on stderr in a line each)."""
    try:
        code = app(args=arguments, prog_name="transfer-meta", standalone_mode=False)
    except typer.TyperException as error:
        # Usage errors (unknown option, missing argument) know more than their str().
        message = getattr(error, "format_message", error.__str__)()
        print(f"error: {one_line(message)}", file=sys.stderr)
        return 2
    except InputError as error:
        lines = error.lines if isinstance(error, GatheredInputError) else (str(error),)
        print("error: " + "\n".join(map(one_line, lines)), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("stopped", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def one_line(message: str) -> str:
    r"""A message whose control characters, from a file's content or name, are written out.

    Examples
    --------
    >>> one_line("no column 'a\nb'")
    "no column 'a\\nb'"
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


def run() -> None:
    """The console script."""
    sys.exit(main())


app.command("import")(import_outcomes)
