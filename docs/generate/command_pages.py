"""Reference of the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from markdown_table import markdown_table

from transfer_meta.cli.app import HEADINGS, app

PROGRAM = "transfer-meta"


def command_pages() -> Iterator[tuple[str, str]]:
    """Yield path and Markdown of an overview and of each command's page."""
    program = typer.main.get_command(app)
    commands = program.commands  # type: ignore[attr-defined]
    overview = ["# Command line", _description(program), _options(program, PROGRAM)]
    for heading, (names, example) in HEADINGS.items():
        rows = [[f"[`{name}`]({name}.md)", _first_line(commands[name])] for name in names]
        overview += [
            f"## {heading}",
            markdown_table(["command", "what it does"], rows),
            _example(example),
        ]
    yield "reference/cli/index.md", "\n\n".join(overview) + "\n"
    for name in (name for names, _ in HEADINGS.values() for name in names):
        command = commands[name]
        parts = [f"# {PROGRAM} {name}", *_body(command, f"{PROGRAM} {name}")]
        for sub_name, sub_command in getattr(command, "commands", {}).items():
            title = f"{PROGRAM} {name} {sub_name}"
            parts += [f"## {title}", *_body(sub_command, title)]
        yield f"reference/cli/{name}.md", "\n\n".join(parts) + "\n"


def _body(command: Any, title: str) -> list[str]:
    context = command.context_class(command, info_name=title)
    usage = " ".join([title, *command.collect_usage_pieces(context)])
    return [f"```text\n{usage}\n```", _description(command), _options(command, title)]


def _description(command: Any) -> str:
    """Return the help of a command, its examples as code."""
    paragraphs = re.split(r"\n\s*\n", (command.help or "").strip())
    blocks = []
    for paragraph in paragraphs:
        line = " ".join(paragraph.replace("\b", "").split())
        example = re.fullmatch(r"Examples?: (.*)", line)
        blocks.append(_example(example[1]) if example else _plain(line))
    return "\n\n".join(blocks)


def _options(command: Any, title: str) -> str:
    """Return tables of arguments and options, by panel where a command has some."""
    context = command.context_class(command, info_name=title)
    tables: dict[str, list[list[str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        panel = getattr(parameter, "rich_help_panel", None)
        is_option = parameter.opts[0].startswith("-")
        kind = panel if isinstance(panel, str) else "option" if is_option else "argument"
        name, description = record
        tables.setdefault(kind, []).append([f"`{name}`", _plain(description.replace("  [", " ["))])
    return "\n\n".join(markdown_table([kind, "meaning"], rows) for kind, rows in tables.items())


def _example(command: str) -> str:
    return f"```text\n$ {command}\n```"


def _first_line(command: Any) -> str:
    return _plain(" ".join((command.help or "").strip().split("\n\n")[0].split()))


def _plain(text: str) -> str:
    """Return a text in which nothing is Markdown."""
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", text)
