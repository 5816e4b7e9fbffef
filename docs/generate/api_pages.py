"""Reference of the Python API: a page for each public function, with its settings and its result."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import griffe
from docstrings import as_definition
from markdown_table import markdown_table

import transfer_meta.integrations


def api_pages() -> Iterator[tuple[str, str]]:
    """Yield path and Markdown of an overview, of each function's page and of one for the other classes."""
    public = {name: _find(f"{module}.{name}") for name, module in transfer_meta._PUBLIC.items()}
    functions = {name: thing for name, thing in public.items() if thing.is_function}
    pages: dict[str, list[Any]] = {}
    placed: set[str] = set()
    for name, function in functions.items():
        classes = [c for c in _classes_of(function) if c.canonical_path not in placed]
        placed |= {c.canonical_path for c in classes}
        pages[name] = [function, *classes]
    others = {n: t for n, t in public.items() if n not in functions and t.canonical_path not in placed}

    rows = [[f"[`{name}`]({name}.md)", _first_line(function)] for name, function in functions.items()]
    classes = [
        [f"[`{name}`][{thing.canonical_path}]", _first_line(thing)]
        for name, thing in public.items()
        if name not in functions
    ]
    overview = [
        "# Python",
        "Everything that a command does is a function of the same name in `transfer_meta`. Settings are frozen "
        "data classes with the names of the command line; results print as the command does and have `to_frame()`, "
        "`to_dict()` and `plot()`. [Use it in Python](../../how-to/python.md) shows how they go together.",
        "## Functions",
        markdown_table(["function", "what it does"], rows),
        "## Classes",
        markdown_table(["class", "what it holds"], classes),
    ]
    yield "reference/python/index.md", "\n\n".join(overview) + "\n"
    for name, things in pages.items():
        yield f"reference/python/{name}.md", _page(things)
    yield "reference/python/classes.md", _page(list(others.values()), "Other classes")
    logging = [
        _find(f"transfer_meta.integrations.{name}") for name in transfer_meta.integrations.__all__
    ]
    yield "reference/python/integrations.md", _page(logging, "transfer_meta.integrations")


def _page(things: list[Any], title: str | None = None) -> str:
    """Return a page of entries; without a title the first one is the title."""
    levels = [2 if title or index else 1 for index in range(len(things))]
    entries = [
        f"::: {thing.canonical_path}\n    options: {{heading_level: {level}}}"
        for thing, level in zip(things, levels, strict=True)
    ]
    return "\n\n".join([f"# {title}"] * bool(title) + entries) + "\n"


def _classes_of(function: Any) -> Iterator[Any]:
    """Yield the package's classes in the annotations of the parameter `settings` and of the result."""
    annotations = [p.annotation for p in function.parameters if p.name == "settings"] + [
        function.returns
    ]
    for annotation in annotations:
        for part in annotation.iterate(flat=True) if isinstance(annotation, griffe.Expr) else ():
            path = getattr(part, "canonical_path", "")
            if path.startswith("transfer_meta."):
                found = _find(path)
                if found.is_class:
                    yield found


@functools.cache
def _package() -> Any:
    return griffe.load("transfer_meta", resolve_aliases=True)


def _find(path: str) -> Any:
    found = _package()[path.removeprefix("transfer_meta.")]
    return found.final_target if found.is_alias else found


def _first_line(thing: Any) -> str:
    text = thing.docstring.value if thing.docstring else ""
    return as_definition(text.partition("\n\n")[0])
