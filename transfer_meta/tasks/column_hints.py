"""Which options name the columns that names do not tell: proposals by content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import Row


def column_options(
    rows: Sequence[Row], free: Sequence[str], missing: Sequence[str], *, headless: bool = False
) -> str:
    """Return the options that name the columns of the missing roles, as an error proposes them.

    The longest text and the column of the fewest values are proposed as text and label; otherwise the names are
    left open.

    Parameters
    ----------
    rows : sequence of Row
        The first rows.
    free : sequence of str
        Columns without a role, in the order of the file.
    missing : sequence of str
        Roles without a column.
    headless : bool
        Whether the names are likely the first row of a table without a header.

    Examples
    --------
    >>> texts = {"a warm room": "pos", "a cold one": "neg", "a leak": "neg"}
    >>> rows = [{"v1": label, "v2": text} for text, label in texts.items()]
    >>> column_options(rows, ["v1", "v2"], ["text", "label"])
    '--column text=v2 and --column label=v1, for example'
    >>> column_options(rows, ["v1", "v2"], ["tokens"])
    '--column tokens=NAME'
    """
    if headless:
        rows = [{name: name for name in rows[0]}, *rows]
    proposed = _propose(rows, free, missing)
    if headless and proposed:
        numbers = {name: str(number) for number, name in enumerate(rows[0], 1)}
        options = [f"--column {role}={numbers[name]}" for role, name in proposed.items()]
        return " and ".join(["--no-header", *options]) + ", since the first row looks like data"
    if proposed:
        options = [_quoted(f"{role}={shown(name)}") for role, name in proposed.items()]
        return " and ".join(f"--column {option}" for option in options) + ", for example"
    return " and ".join(f"--column {role}=NAME" for role in missing)


def _propose(rows: Sequence[Row], free: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Return a column for each missing role; empty unless these are a text, a label, or both."""
    if not {*missing} <= {"text", "label"}:
        return {}
    texts = {name: _mean_length(row.get(name) for row in rows) for name in free}
    text = max((name for name in free if texts[name]), key=lambda name: texts[name], default=None)
    counts = {
        name: len({str(row.get(name)) for row in rows} - {"", "None"})
        for name in free
        if name != text or "text" not in missing
    }
    labels = [name for name, count in counts.items() if 1 < count < len(rows)]
    label = min(labels, key=lambda name: counts[name], default=None)
    found = {"text": text, "label": label}
    proposed = {role: name for role in missing if (name := found[role]) is not None}
    return proposed if len(proposed) == len(missing) else {}


def _mean_length(cells: Iterable[Any]) -> float:
    """Return the mean number of characters of a column of texts; 0 for other columns."""
    lengths = [len(cell) if isinstance(cell, str) else 0 for cell in cells]
    return sum(lengths) / len(lengths) if lengths else 0.0


def _quoted(option: str) -> str:
    return option if option.replace("_", "").replace("=", "").isalnum() else f'"{option}"'
