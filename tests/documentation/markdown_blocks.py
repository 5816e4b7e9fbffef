"""Fenced code blocks of Markdown pages, and the commands of a console block.

How the pages write them:

- ``console``: lines that begin with ``$ `` are commands (a backslash at the end continues one), the lines below a
  command are what it prints.
- ``python``: run in order, all in one namespace; the ``text`` block right below one is what it prints.
- A first line ``# file: NAME`` (toml, csv, json, yaml, ...): the rest is written to NAME. Other toml, json and yaml
  blocks have to parse.
- ``<!-- not run: REASON -->`` above a block: it is not run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/**/*.md",
    "data/README.md",
    "data/*/README.md",
    "deploy/*.md",
)
PAGES = sorted({str(path.relative_to(ROOT)) for place in PLACES for path in ROOT.glob(place)})

_FENCE = re.compile(r"^(?P<indent>[ >]*)(?P<fence>`{3,}|~{3,})\s*\{?\.?(?P<language>[\w+-]*)")
_NOT_RUN = re.compile(r"<!--\s*not run:(?P<reason>.*?)-->\s*\Z", re.DOTALL)
_FILE = re.compile(r"^\s*(?:#|//)\s*file:\s*(?P<name>\S+)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its fence, counted from 1."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    reason: str | None
    """Why it is not run, None where it is to be run."""
    adjacent: bool
    """Whether nothing but white space lies between this block and the one before it."""

    @property
    def file_name(self) -> str | None:
        """The file that the block is written to."""
        found = _FILE.match(self.lines[0]) if self.lines else None
        return found["name"] if found else None

    @property
    def text(self) -> str:
        """The lines, without the one that names a file."""
        return "".join(f"{line}\n" for line in self.lines[self.file_name is not None :])


@dataclass(frozen=True)
class Command:
    """A command of a console block and the output that is shown below it."""

    line: int
    text: str
    shown: tuple[str, ...]


def read_page(page: str, root: Path = ROOT) -> list[Block]:
    """Return the blocks of a page, in order."""
    return list(find_blocks((root / page).read_text(encoding="utf-8"), page))


def find_blocks(markdown: str, page: str = "page.md") -> Iterator[Block]:
    """Yield the fenced blocks of a text; those of lists, quotes and admonitions are unindented."""
    lines = markdown.splitlines()
    at, after = 0, -1
    while at < len(lines):
        start, fence = at, _FENCE.match(lines[at])
        at += 1
        if fence is None:
            continue
        end = re.compile(rf"^[ >]*{fence['fence'][0]}{{{len(fence['fence'])},}}\s*$")
        indent = len(fence["indent"])
        body = []
        while at < len(lines) and not end.match(lines[at]):
            body.append(lines[at][min(indent, _margin(lines[at])) :].rstrip())
            at += 1
        if at == len(lines):
            raise ValueError(f"{page}:{start + 1}: a block that does not end")
        at += 1
        before = "\n".join(lines[max(after, 0) : start])
        reason = _NOT_RUN.search(before)
        yield Block(
            page,
            start + 1,
            fence["language"],
            tuple(body),
            " ".join(reason["reason"].split()) if reason else None,
            adjacent=after >= 0 and not before.strip(),
        )
        after = at


def find_commands(block: Block) -> list[Command]:
    """Return the commands of a console block, each with the output below it."""
    commands: list[Command] = []
    line, text, shown = 0, "", []
    continued = False
    for number, content in enumerate(block.lines, start=block.line + 1):
        if continued:
            text += content
        elif content.startswith("$ "):
            if text:
                commands.append(Command(line, text, tuple(shown)))
            line, text, shown = number, content[2:], []
        elif content.strip() and not text:
            raise ValueError(f"{block.page}:{number}: output without a command above: {content!r}")
        else:
            shown.append(content)
        continued = text.endswith("\\") and not shown
        if continued:
            text = text[:-1]
    if text:
        commands.append(Command(line, text, tuple(shown)))
    return commands


def prose(markdown: str) -> str:
    """Return a text without its blocks and comments; lines keep their numbers."""
    lines = markdown.splitlines()
    for block in find_blocks(markdown):
        for number in range(block.line - 1, block.line + len(block.lines) + 1):
            lines[number] = ""
    return re.sub(r"<!--.*?-->", lambda m: "\n" * m[0].count("\n"), "\n".join(lines), flags=re.DOTALL)


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip(" >"))
