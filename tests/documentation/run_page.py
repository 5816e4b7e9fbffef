"""Run the blocks of a page in the working directory, each after the other: ``run_page.py ROOT PAGE REPORT``.

REPORT gets a JSON list of failures, each a text that begins with page and line. Commands of transfer-meta without
operators of the shell are called in this process, which saves one to five seconds of imports each; all others are
run by bash, and what they export and where they go holds for the commands after them.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from markdown_blocks import Block, Command, find_commands, read_page
from shown_output import difference

# Not run, since the test itself runs in what they set up: CI calls them first in a fresh clone.
SET_UP = re.compile(r"(make|pip|python3? -m pip|python3? -m venv|git|cd transfer-meta)\b")


def run_blocks(blocks: list[Block]) -> list[str]:
    """Run blocks in order and return the failures."""
    failures: list[str] = []
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None
    for block in blocks:
        above, printed = printed, None
        if block.reason is not None:
            continue
        if name := block.file_name:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for command in find_commands(block):
                if not SET_UP.match(command.text) and (problem := run_command(command)):
                    failures.append(f"{block.page}:{command.line}: $ {command.text}\n{problem}")
        elif block.language == "python":
            printed, problem = run_python(block, namespace)
            if problem:
                failures.append(f"{block.page}:{block.line}: python\n{problem}")
        elif (
            block.language == "text"
            and block.adjacent
            and above is not None
            and (problem := difference(block.lines, above))
        ):
            failures.append(f"{block.page}:{block.line}: output of the block above\n{problem}")
    return failures


def run_command(command: Command) -> str | None:
    """Run a command and return what is not as shown."""
    words = plain_words(command.text)
    if words is not None:
        from transfer_meta.cli.app import main

        with captured() as output:
            code: Any = main(words)
    else:
        with captured() as output:
            code = run_in_bash(command.text)
    # Errors may be shown: then the command has to fail.
    fails = any(line.startswith("error:") for line in command.shown)
    if fails != (code != 0):
        return f"exit code {code}\n{output[0]}"
    return difference(command.shown, output[0]) if any(map(str.strip, command.shown)) else None


def plain_words(command: str) -> list[str] | None:
    """Return the arguments of a transfer-meta command, or None where the shell has something to do."""
    if not command.startswith("transfer-meta ") or re.search(r"[$`~*?\[{!]", command):
        return None
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    return None if any(re.fullmatch(r"[();<>|&]+", word) for word in words) else words[1:]


def run_in_bash(command: str) -> int:
    """Run a command by bash; its exported variables and its folder are this process's afterwards."""
    with tempfile.NamedTemporaryFile() as state:
        # An own line: a comment may end the command.
        script = f"{command}\ncode=$?; {{ pwd; env -0; }} > {state.name}; exit $code"
        code = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, check=False).returncode
        content = Path(state.name).read_text(encoding="utf-8")
    if content:
        folder, _, variables = content.partition("\n")
        os.chdir(folder)
        os.environ.update(v.split("=", 1) for v in variables.split("\0") if "=" in v)
    return code


def run_python(block: Block, namespace: dict[str, Any]) -> tuple[str, str | None]:
    """Run a block of Python; return what it prints, and the traceback or the examples that fail."""
    problem = None
    with captured() as output:
        try:
            if any(line.startswith(">>> ") for line in block.lines):
                problem = run_examples(block, namespace)
            else:
                tree = ast.increment_lineno(ast.parse(block.text), block.line)
                exec(compile(tree, block.page, "exec"), namespace)
        except BaseException as error:
            # Without the frame of this function.
            after = error.__traceback__.tb_next if error.__traceback__ else None
            problem = "".join(traceback.format_exception(type(error), error, after))
    return output[0], f"{problem}\n{output[0]}" if problem else None


def run_examples(block: Block, namespace: dict[str, Any]) -> str | None:
    """Run the ``>>>`` examples of a block."""

    class Checker(doctest.OutputChecker):
        def check_output(self, want: str, got: str, optionflags: int) -> bool:
            return difference(want.splitlines(), got) is None

    test = doctest.DocTestParser().get_doctest(
        block.text, namespace, block.page, block.page, block.line
    )
    report = io.StringIO()
    runner = doctest.DocTestRunner(Checker(), verbose=False)
    runner.run(test, out=report.write, clear_globs=False)
    namespace.update(test.globs)
    return report.getvalue() or None


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Capture what this process and its children print on both streams, in the order of writing.

    The list gets the text when the context ends.
    """
    output: list[str] = []
    with tempfile.TemporaryFile() as file:
        streams, kept = (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
        for descriptor, stream in enumerate(streams, start=1):
            stream.flush()
            os.dup2(file.fileno(), descriptor)
        # By line, as in a terminal: so lines of both streams stay in order.
        sys.stdout, sys.stderr = (
            os.fdopen(descriptor, "w", buffering=1, closefd=False, encoding="utf-8")
            for descriptor in (1, 2)
        )
        try:
            yield output
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = streams
            for descriptor, old in enumerate(kept, start=1):
                os.dup2(old, descriptor)
                os.close(old)
            file.seek(0)
            output.append(file.read().decode(errors="replace"))


if __name__ == "__main__":
    root, page, report = sys.argv[1:]
    found = run_blocks(read_page(page, Path(root)))
    Path(report).write_text(json.dumps(found), encoding="utf-8")
