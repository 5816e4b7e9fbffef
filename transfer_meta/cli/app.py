"""Entry point of the command line: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from transfer_meta._version import __version__
from transfer_meta.cli.commands.apply_command import apply_command
from transfer_meta.cli.commands.benchmark_command import benchmark_command
from transfer_meta.cli.commands.doctor_command import doctor_command
from transfer_meta.cli.commands.embed_command import embed_command
from transfer_meta.cli.commands.import_command import import_command
from transfer_meta.cli.commands.importance_command import importance_command
from transfer_meta.cli.commands.leaderboard_command import leaderboard_command
from transfer_meta.cli.commands.model_command import fit_command, predict_command
from transfer_meta.cli.commands.outcomes_command import outcomes_app
from transfer_meta.cli.commands.pairs_command import pairs_command
from transfer_meta.cli.commands.profile_command import profile_command
from transfer_meta.cli.commands.quickstart_command import quickstart_command
from transfer_meta.cli.commands.recommend_command import recommend_command
from transfer_meta.cli.commands.report_command import report_command
from transfer_meta.cli.commands.run_command import run_command
from transfer_meta.cli.commands.runs_command import runs_app
from transfer_meta.cli.commands.search_command import search_command
from transfer_meta.cli.commands.serve_command import serve_command
from transfer_meta.cli.commands.share_command import pull_command, push_command
from transfer_meta.cli.commands.sources_command import sources_app
from transfer_meta.cli.commands.tasks_command import tasks_app
from transfer_meta.cli.commands.train_command import train_command
from transfer_meta.cli.commands.transferability_command import transferability_command
from transfer_meta.cli.shared.console import show, tell
from transfer_meta.errors import GatheredInputError, InputError
from transfer_meta.results import visible

HEADINGS: dict[str, tuple[dict[str, Callable[..., Any] | typer.Typer], str]] = {
    "Ask": (
        {
            "quickstart": quickstart_command,
            "recommend": recommend_command,
            "serve": serve_command,
            "sources": sources_app,
            "search": search_command,
            "train": train_command,
            "apply": apply_command,
            "predict": predict_command,
        },
        "transfer-meta recommend demo:urgency",
    ),
    "Compare": (
        {
            "benchmark": benchmark_command,
            "importance": importance_command,
            "report": report_command,
            "leaderboard": leaderboard_command,
            "fit": fit_command,
            "outcomes": outcomes_app,
            "import": import_command,
        },
        "transfer-meta benchmark bingel-soegaard-2017",
    ),
    "Make outcomes": (
        {"run": run_command, "runs": runs_app},
        "transfer-meta runs plan examples/plan.toml",
    ),
    "Share": (
        {"push": push_command, "pull": pull_command},
        "transfer-meta push my_runs.csv hf:my-team/my-runs",
    ),
    "Inspect": (
        {
            "tasks": tasks_app,
            "profile": profile_command,
            "pairs": pairs_command,
            "embed": embed_command,
            "transferability": transferability_command,
            "doctor": doctor_command,
        },
        "transfer-meta tasks check demo:topic",
    ),
}
"""Commands by heading of the help, and an example for each heading."""


class GroupedCommands(TyperGroup):
    """Commands whose help is divided into `HEADINGS`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each heading, with the commands and the example."""
        longest = max(map(len, self.commands))
        for heading, (commands, example) in HEADINGS.items():
            with formatter.section(heading):
                limit = formatter.width - 6 - longest
                formatter.write_dl(
                    [
                        (name.ljust(longest), self.commands[name].get_short_help_str(limit))
                        for name in commands
                    ]
                )
                formatter.write_text(f"Example: {example}")


app = typer.Typer(
    name="transfer-meta",
    cls=GroupedCommands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        show(f"transfer-meta {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Predict whether fine-tuning on a source task first helps a target task."""


for _commands, _example in HEADINGS.values():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name)
        else:
            app.command(_name)(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for mistakes of the user, each a line on stderr."""
    try:
        code = app(args=arguments, prog_name="transfer-meta", standalone_mode=False)
    except typer.TyperException as error:
        # The str() of usage errors (unknown option, missing argument) lacks the details.
        message = getattr(error, "format_message", error.__str__)()
        tell(f"error: {message}")
        return 2
    except InputError as error:
        lines = error.lines if isinstance(error, GatheredInputError) else (str(error),)
        show("error: " + "\n".join(map(visible, lines)), stream=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        tell("stopped")
        return 130
    return code if isinstance(code, int) else 0


def console_script() -> None:
    """Run the console script."""
    sys.exit(main())
