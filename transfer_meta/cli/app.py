"""Entry point of the command line: registers the commands and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from transfer_meta.cli.commands.benchmark_command import benchmark_command
from transfer_meta.cli.commands.embed_command import embed_command
from transfer_meta.cli.commands.import_command import import_command
from transfer_meta.cli.commands.importance_command import importance_command
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
from transfer_meta.cli.commands.tasks_command import tasks_app
from transfer_meta.cli.commands.transferability_command import transferability_command
from transfer_meta.errors import GatheredInputError, InputError

app = typer.Typer(
    name="transfer-meta",
    help="Predict whether fine-tuning on a source task first helps a target task.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# In the order that --help shows them.
_COMMANDS: dict[str, Callable[..., Any]] = {
    "quickstart": quickstart_command,
    "benchmark": benchmark_command,
    "importance": importance_command,
    "report": report_command,
    "fit": fit_command,
    "predict": predict_command,
    "profile": profile_command,
    "pairs": pairs_command,
    "run": run_command,
    "search": search_command,
    "embed": embed_command,
    "transferability": transferability_command,
    "recommend": recommend_command,
    "import": import_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
for _name, _group in {"outcomes": outcomes_app, "tasks": tasks_app, "runs": runs_app}.items():
    app.add_typer(_group, name=_name)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for mistakes of the user, each a line on stderr."""
    try:
        code = app(args=arguments, prog_name="transfer-meta", standalone_mode=False)
    except typer.TyperException as error:
        # The str() of usage errors (unknown option, missing argument) lacks the details.
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
    r"""Return a message with control characters, from a file's content or name, escaped.

    Examples
    --------
    >>> one_line("no column 'a\nb'")
    "no column 'a\\nb'"
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


def run() -> None:
    """Run the console script."""
    sys.exit(main())
