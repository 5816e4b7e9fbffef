"""Commands and Python calls that do what the pages on outcomes did."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

SETTINGS = {
    "benchmark": "BenchmarkSettings",
    "importance": "ImportanceSettings",
    "leaderboard": "LeaderboardSettings",
}
"""Class of the settings of each function."""
_FORM = ("separator", "encoding", "decimal")


def equivalents(function: str, table: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the command and the Python call of a function of the same name.

    Parameters
    ----------
    function : str
        ``benchmark``, ``importance``, ``report``, or ``leaderboard``, which takes no table.
    table : mapping
        See `outcome_work.open_outcomes`; empty for none.
    settings : mapping
        Keywords of the settings.

    Examples
    --------
    >>> made = equivalents("importance", {"name": "minilm-grid"}, {"by": "role"})
    >>> print(made["command"])
    transfer-meta importance minilm-grid --by role
    >>> print(made["python"])
    import transfer_meta as tm
    <BLANKLINE>
    settings = tm.ImportanceSettings(by='role')
    print(tm.importance('minilm-grid', settings))
    <BLANKLINE>
    """
    command = ["transfer-meta", function]
    lines = ["import transfer_meta as tm", ""]
    given = []
    if table:
        command += _table_options(table)
        loaded, imports = _loaded(table)
        if imports:
            lines[1:1] = imports
        if loaded != repr(table["name"]):
            lines.append(f"table = {loaded}")
            loaded = "table"
        given.append(loaded)
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", _joined(value)]
    if settings:
        lines.append(f"settings = tm.{SETTINGS[function]}({_keywords(settings)})")
        given.append("settings" if table else "settings=settings")
    lines.append(f"print(tm.{function}({', '.join(given)}))")
    sets = settings.get("features", ())
    difference = ""
    if table.get("features"):
        difference = "The command has no option for columns that are features whatever they look like."
    elif not isinstance(sets, str) and len(sets) > 1:
        difference = "The command takes one set of features at a time."
    return {
        "command": shlex.join(command),
        "python": "\n".join(lines) + "\n",
        "difference": difference,
    }


def wanted_features(columns: Sequence[str]) -> str | None:
    r"""Return a regular expression that makes features of columns, whatever they look like.

    Examples
    --------
    >>> wanted_features(["size", "a+b"])
    '\\.(size|a\\+b)$'
    """
    return rf"\.({'|'.join(map(re.escape, columns))})$" if columns else None


def _table_options(table: Mapping[str, Any]) -> list[str]:
    options = [table["name"]]
    if table.get("tasks"):
        options += ["--tasks", table["tasks"]["name"]]
    if table.get("columns"):
        options += ["--columns", ",".join(f"{o}={t}" for o, t in table["columns"].items())]
    for name in _FORM:
        if table.get(name):
            options += [f"--{name}", table[name]]
    if table.get("lower_is_better") is not None:
        options.append("--lower-is-better" if table["lower_is_better"] else "--higher-is-better")
    if table.get("strict"):
        options.append("--strict")
    return options


def _loaded(table: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the expression that loads a table, and the lines that import what it needs."""
    settings: dict[str, Any] = {n: table[n] for n in ("lower_is_better", "strict") if table.get(n)}
    if table.get("lower_is_better") is False:
        settings["lower_is_better"] = False
    if table.get("features"):
        settings["features"] = wanted_features(table["features"])
    form = {name: table[name] for name in _FORM if table.get(name)}
    given = [repr(table["name"])]
    if table.get("tasks"):
        given.append(f"tasks={table['tasks']['name']!r}")
    if table.get("columns"):
        given.append(f"columns={table['columns']!r}")
    imports = []
    if settings or form:
        keywords = _keywords(settings)
        if form:
            imports = ["from transfer_meta.readers.whole_table import TableFormat"]
            keywords = ", ".join(filter(None, [keywords, f"form=TableFormat({_keywords(form)})"]))
        given.append(f"settings=tm.TableSettings({keywords})")
    if len(given) == 1:
        return given[0], []
    return f"tm.load_outcomes({', '.join(given)})", imports


def _keywords(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={tuple(value) if isinstance(value, list) else value!r}"
        for name, value in values.items()
    )


def _joined(value: Any) -> str:
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return ",".join(map(str, value)) if several else str(value)
