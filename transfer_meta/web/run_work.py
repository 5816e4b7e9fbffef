"""Jobs on the run store: learning curves, and, where the server allows it, plans that are handed in.

A plan names files, and whoever may hand one in could have any file of this machine read: its first lines come back
in messages, and its text in runs.  Hence a plan that is handed in may name only

- files below the folder in which the server was started, after links are followed,
- tasks that ship (``demo:NAME``) and data sets of the Hub (``hf:NAME``) that are on this machine already: jobs ask
  the Hub for nothing,
- encoders by name, or by a path below that folder.

Checkpoints and results go where the store of the server has them; a plan cannot say otherwise.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, first_line
from transfer_meta.figures.learning_curves import run_curves
from transfer_meta.readers.checked_files import read_bounded
from transfer_meta.readers.opening import shown
from transfer_meta.records import OnProgress, Tell
from transfer_meta.runs.open_plan import open_store
from transfer_meta.runs.plan_preview import plan
from transfer_meta.runs.run_plan import RunSettings, run
from transfer_meta.tasks.demo import DEMO_PREFIX
from transfer_meta.tasks.hub import is_hub_address

MAX_PLAN_BYTES = 2**20
BILSTM = "bilstm:"
ENCODERS_WITH_PATHS = (BILSTM, "random:")
"""Beginnings of encoders' names after which a path may come; of the first it always does."""
MOST_HOURS = 11.5
"""A run ends by itself before the queue ends its job."""


def draw_curves(
    folder: Path, parameters: Mapping[str, Any], _tell: Tell, _on_progress: OnProgress
) -> dict[str, Any]:
    """Draw the learning curves of finished runs: ``store``, and ``runs`` with ``id`` and ``label``."""
    store = open_store(parameters["store"])
    damaged: list[str] = []
    try:
        found = {
            run["label"]: next(iter(store.curves(run["id"], damaged=damaged).values()), None)
            for run in parameters["runs"]
        }
    finally:
        store.close()
    curves = {label: curve for label, curve in found.items() if curve is not None}
    svg = run_curves(curves) if curves else ""
    (folder / "curves.html").write_text(svg, encoding="utf-8", errors="backslashreplace")
    return {"without": [label for label in found if label not in curves], "damaged": damaged}


def preview_plan(
    _folder: Path, parameters: Mapping[str, Any], tell: Tell, _on_progress: OnProgress
) -> dict[str, Any]:
    """Return what a plan that was handed in would do; nothing is started or written."""
    checked = read_plan(parameters)
    found = plan(checked, parameters["store"], tell=tell)
    frame = found.to_frame()
    return {
        "columns": list(frame.columns),
        "rows": frame.to_numpy(dtype=object).tolist(),
        "caption": found.caption,
        "left": found.left,
        "notes": list(found.notes),
    }


def run_plan(
    _folder: Path, parameters: Mapping[str, Any], tell: Tell, _on_progress: OnProgress
) -> dict[str, Any]:
    """Execute a plan that was handed in, with ``settings`` of `RunSettings`."""
    checked = read_plan(parameters)
    settings = {"limit_hours": MOST_HOURS, **parameters["settings"]}
    summary = run(checked, RunSettings(store=parameters["store"], **settings), tell=tell)
    return {"caption": summary.caption, "counts": summary.counts}


def read_plan(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan that was handed in, with absolute paths.

    Parameters
    ----------
    parameters : mapping
        ``path`` and ``name`` of the upload; ``base``, the folder below which its files must be.

    Raises
    ------
    InputError
        It is no TOML, or names something else than the module's description allows.
    """
    name = shown(parameters["name"])
    try:
        text = read_bounded(Path(parameters["path"]), most_bytes=MAX_PLAN_BYTES).decode("utf-8")
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{name}' is no plan in TOML: {first_line(error)}") from error
    return allowed_plan(data, Path(parameters["base"]))


def allowed_plan(data: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return a plan with absolute paths; raises InputError where one is outside a folder."""
    within = base.resolve()
    folder = data.get("tasks_folder", "")
    tasks = data.get("tasks", {})
    if not isinstance(folder, str) or not isinstance(tasks, dict | list):
        return dict(data)  # `plan` says what is wrong

    def inside(what: str, path: str) -> str:
        found = Path(within, folder if what != "encoder" else "", path)
        # A task's address may be the beginning of the names of its files.
        if "\0" in path or path.startswith("~") or not found.resolve().is_relative_to(within):
            raise InputError(
                f"{what} '{shown(path)}' is outside of the folder of the server (expected a file below it,"
                f" {DEMO_PREFIX}NAME or hf:NAME)"
            )
        return str(found)

    named = tasks if isinstance(tasks, dict) else {str(name): name for name in tasks}
    addresses = {
        name: address
        if not isinstance(address, str) or address.startswith(DEMO_PREFIX) or is_hub_address(address)
        else inside(f"task '{shown(name)}':", address)
        for name, address in named.items()
    }
    checked = {key: value for key, value in data.items() if key != "tasks_folder"}
    if tasks:
        checked["tasks"] = addresses
    encoder = data.get("encoder")
    if isinstance(encoder, str):
        checked["encoder"] = _encoder(encoder, within, inside)
    return checked


def _encoder(name: str, within: Path, inside: Callable[[str, str], str]) -> str:
    """Return an encoder's name; a path is made absolute, and refused outside of the folder."""
    prefix = next((p for p in ENCODERS_WITH_PATHS if name.startswith(p)), "")
    rest = name.removeprefix(prefix)
    path = Path(rest)
    is_path = (
        prefix == BILSTM or path.is_absolute() or rest.startswith((".", "~")) or ".." in path.parts
    )
    if is_path or "\0" in rest or (within / path).exists():
        return prefix + inside("encoder", rest)
    return name
