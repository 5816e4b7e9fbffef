"""Commands and Python calls that do what a page did."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from transfer_meta.web.ask_forms import default_name

_FLAGS = {
    ("quoted", True): "--quotes",
    ("quoted", False): "--no-quotes",
    ("header", False): "--no-header",
    ("repair_tags", True): "--repair-tags",
    ("strict", True): "--strict",
}


def reading_options(read: Mapping[str, Any]) -> list[str]:
    """Return the options of the command line for keywords of `ReadSettings`.

    Examples
    --------
    >>> reading_options({"columns": {"text": "body"}, "header": False, "choices_from": "text"})
    ['--column', 'text=body', '--no-header', '--choices-from', 'text']
    """
    options: list[str] = []
    for name, value in read.items():
        if name == "columns":
            for role, column in value.items():
                options += ["--column", f"{role}={column}"]
        elif isinstance(value, bool):
            options.append(_FLAGS[name, value])
        else:
            options += [f"--{name.replace('_', '-')}", str(value)]
    return options


def check_equivalents(task: Mapping[str, Any]) -> dict[str, str]:
    """Return the command and the Python call that read a task; none where there is only a description."""
    if not task["address"]:
        return {}
    address = _argument(task)
    command = ["transfer-meta", "tasks", "check", address, *reading_options(task["read"])]
    settings = f", {_call('tm.ReadSettings', task['read'])}" if task["read"] else ""
    python = (
        f"import transfer_meta as tm\n\nprint(tm.check_tasks({address!r}{settings}, examples=10))\n"
    )
    return {"command": shlex.join(command), "python": python, "difference": ""}


def recommend_equivalents(
    task: Mapping[str, Any],
    ranking: Mapping[str, Any],
    sources: Sequence[str],
    own: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """Return the command and the Python call that rank sources, and where the command differs.

    Parameters
    ----------
    task : mapping
        ``path`` (empty if it is no upload), ``address``, ``name``, ``description``, ``read``.
    ranking : mapping
        Keywords of `RecommendSettings`.
    sources : sequence of str
        Names of known sources; with no `own` ones either: all.
    own : sequence of mapping
        Files of own candidates: ``path`` and ``address``.
    """
    address, read = _argument(task), task["read"]
    candidates = [_argument(file) for file in own]
    command = ["transfer-meta", "recommend", *([address] if address else [])]
    options = dict(ranking)
    if task["description"]:
        options["description"] = task["description"]
    for name, value in options.items():
        shown = ",".join(value) if isinstance(value, list) else str(value)
        command += [f"--{name.replace('_', '-')}", shown]
    if sources:
        command += ["--sources", ",".join(sources)]
    for file in candidates:
        command += ["--sources", file]
    command += reading_options(read)

    lines = ["import transfer_meta as tm", ""]
    if address:
        loading = [repr(address)]
        if task["name"] and task["name"] != default_name(task["address"]):
            loading.append(f"name={task['name']!r}")
        if read:
            loading.append(f"settings={_call('tm.ReadSettings', read)}")
        lines.append(f"task = tm.load_task({', '.join(loading)})")
    settings = [f"{name}={value!r}" for name, value in options.items()]
    if not address and read:
        settings.append(f"read={_call('tm.ReadSettings', read)}")
    lines.append(f"settings = tm.RecommendSettings({', '.join(settings)})")
    given = ["task" if address else "None", "settings"]
    if sources or own:
        listed = [*map(repr, sources), *(f"tm.load_task({file!r})" for file in candidates)]
        given.append(f"sources=[{', '.join(listed)}]")
    lines.append(f"print(tm.recommend({', '.join(given)}))")
    return {
        "command": shlex.join(command),
        "python": "\n".join(lines) + "\n",
        "difference": _difference(task, own),
    }


def _difference(task: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> str:
    """Return in which the command is not the same as the page, if it is not."""
    address = task["address"]
    if address and task["name"] and task["name"] != default_name(address):
        return "The command names the task after its file; a name of its own needs a task card."
    if own and task["read"]:
        return "The command reads all files in the same way; the Python call detects that of each candidate."
    return ""


def _argument(file: Mapping[str, Any]) -> str:
    """Return a file's name as an argument that is no option and no address of another kind."""
    address: str = file["address"]
    is_other = address.startswith(("-", "hf:", "demo:"))
    return f"./{address}" if file["path"] and is_other else address


def _call(function: str, keywords: Mapping[str, Any]) -> str:
    return f"{function}({', '.join(f'{name}={value!r}' for name, value in keywords.items())})"
