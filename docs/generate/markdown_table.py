"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; bars and tags within cells are escaped, line ends become spaces."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    parts = " ".join(str(value).split()).split("`")
    # Within code, which every second part is, a bar divides no cells and a backslash would be shown.
    return "`".join(
        part if index % 2 else part.replace("|", r"\|").replace("<", "&lt;")
        for index, part in enumerate(parts)
    )
