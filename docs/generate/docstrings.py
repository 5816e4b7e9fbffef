"""Parts of numpydoc docstrings as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

_HEADING = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
_CITATION = re.compile(r"\(([^()]*\b(?:19|20)\d\d\b[^()]*)\)")


def sections(thing: Any) -> dict[str, str]:
    """Return the sections of a docstring by heading; the text before the first one is under ``""``."""
    text = inspect.getdoc(thing) or ""
    pieces = _HEADING.split(text)
    return {"": pieces[0].strip()} | {
        name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def definition(thing: Any) -> str:
    """Return the text of a docstring before its first section, without "Return"."""
    return as_definition(sections(thing)[""])


def as_definition(text: str) -> str:
    """Return a text as one line that begins with a capital letter, without "Return" and literal marks."""
    line = " ".join(text.replace("``", "`").split())
    line = re.sub(r"^Return (?:the )?", "", line)
    # Not of a formula: ln(x).
    return line if re.match(r"\w+\(", line) else line[:1].upper() + line[1:]


def literature(thing: Any) -> str:
    """Return what the docstring cites: its section References, else years in brackets; else an empty text."""
    found = sections(thing)
    if "References" in found:
        return as_definition(found["References"])
    return "; ".join(_CITATION.findall(" ".join(found[""].split())))


def parameters(thing: Any, heading: str = "Parameters") -> dict[str, str]:
    """Return the descriptions of the entries of a section by name, one for each of several names."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", sections(thing).get(heading, "")):
        names, _, description = entry.partition("\n")
        for name in names.split(":")[0].split(","):
            found[name.strip()] = as_definition(description)
    return found


def paragraphs(
    thing: Any, headings: Iterable[str] = ("", "Returns", "Notes", "References")
) -> Iterator[str]:
    """Yield the paragraphs of some sections of a docstring as Markdown."""
    found = sections(thing)
    for heading in headings:
        body = found.get(heading, "")
        if heading == "Returns":  # its first line is the type
            body = body.partition("\n")[2]
        for paragraph in filter(None, re.split(r"\n\s*\n", body)):
            text = as_definition(paragraph)
            yield f"Source: {text}" if heading == "References" else text


class Documented:
    """A docstring that was read without importing its object."""

    def __init__(self, text: str) -> None:
        self.__doc__ = text
