"""Whether commands of transfer-meta that are named but not run have the names and options of the command line."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from transfer_meta.cli.app import app

PROGRAM = "transfer-meta"


@functools.cache
def root_command() -> Any:
    """The command line as a tree of commands."""
    return typer.main.get_command(app)


def find_command(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the command that words begin with, and the words after it.

    Raises
    ------
    LookupError
        If a word is no command of its group.
    """
    command, rest = root_command(), list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        # COMMAND and the like stand for any.
        if rest[0].isupper():
            return None, rest
        if rest[0] not in command.commands:
            raise LookupError(f"no command '{rest[0]}' (there are {', '.join(command.commands)})")
        command = command.commands[rest.pop(0)]
    return command, rest


def option_names(command: Any) -> set[str]:
    """Return the options of a command, and of all commands for None."""
    if command is None:
        return {name for each in all_commands().values() for name in option_names(each)}
    found = {
        n for p in command.params if p.param_type_name == "option" for n in (*p.opts, *p.secondary_opts)
    }
    return {*found, "--help"}


@functools.cache
def all_commands() -> dict[str, Any]:
    """Return every command by its name, groups too: ``runs export``."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        yield name, command
        for inner, each in getattr(command, "commands", {}).items():
            yield from walk(each, f"{name} {inner}".strip())

    return dict(walk(root_command(), ""))


def wrong_name(text: str) -> str | None:
    """Return the first command or option of a text that does not exist; elisions and values are passed over."""
    text = text.removeprefix("$ ").strip()
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        words = text.split()
    words = [word for word in words if word not in ("…", "...")]
    try:
        command, rest = find_command(words[1:] if words[:1] == [PROGRAM] else words)
    except LookupError as error:
        return f"{error} in `{text}`"
    names = option_names(command)
    for word in rest:
        option = re.match(r"--[a-z][\w-]*|-[a-zA-Z]\b", word)
        if option and option[0] not in names:
            return f"no option {option[0]} in `{text}`"
    return None


def parse_error(text: str) -> str | None:
    """Return why a whole command cannot be parsed: names, options without their value, too many arguments."""
    if problem := wrong_name(text):
        return problem
    # What comes after an operator of the shell is not the command's.
    lexer = shlex.shlex(text.removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if re.fullmatch(r"[();<>|&]+", word):
            break
        words.append(word)
    command, rest = find_command(words[1:])
    if command is None or hasattr(command, "commands"):
        return None
    context = typer.Context(command, info_name=PROGRAM)
    try:
        values, left, _ = command.make_parser(context).parse_args(rest)
    except typer.TyperException as error:
        return f"{error.format_message()} in `{text}`"
    if left:
        return f"unexpected '{left[0]}' in `{text}`"
    missing = [p.name for p in command.params if p.required and values.get(p.name) in (None, ())]
    return f"no {missing[0]} in `{text}`" if missing else None


def named_in(prose: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of code spans that name a command with ``transfer-meta``, or with an option."""
    for found in re.finditer(
        r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", prose, flags=re.DOTALL
    ):
        text = " ".join(found[2].split())
        words = text.split()
        named = words and (
            words[0] == PROGRAM
            or (words[0] in root_command().commands and re.search(r"\s--[a-z]", text))
        )
        if named and "|" not in text:
            yield prose.count("\n", 0, found.start()) + 1, text


def options_in(prose: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of options that are named alone: ``--separator ;``."""
    for found in re.finditer(r"`(--[a-z][\w-]*)[^`\n]*`", prose):
        yield prose.count("\n", 0, found.start()) + 1, found[1]
