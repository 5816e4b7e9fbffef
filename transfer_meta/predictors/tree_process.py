"""Texts of LightGBM models, loaded in a child process first."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from transfer_meta.files import digest
from transfer_meta.predictors import tree_child
from transfer_meta.predictors.state_kinds import StateError
from transfer_meta.readers.opening import shown

MAX_SECONDS = 60.0
"""Time for the child; the largest texts that are read take a second or two."""
_TRIED: set[str] = set()
"""Digests of the texts that a child of this process has loaded: a folder that is read again costs nothing."""


def try_in_child(text: str, *, n_trees: int, n_features: int) -> None:
    """Load a LightGBM model and predict two rows with it in a child process, which takes about 40 ms.

    Does nothing where no such process can be started: in an embedded or frozen Python, whose executable is no
    interpreter, or without LightGBM's library in its usual place.  The text was checked before (`tree_text`), and
    the child is the second of two checks.

    Parameters
    ----------
    text : str
        As from `transfer_meta.predictors.tree_text.check_trees`.
    n_trees, n_features : int
        What the text says, and the child must find.

    Raises
    ------
    StateError
        A signal ended the child, it took too long, or LightGBM reads another model or none.
    """
    name = digest(text)
    command = None if name in _TRIED else _command()
    if command is None:
        return
    try:
        ended = subprocess.run(
            command,
            input=json.dumps([text]),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=MAX_SECONDS,
            check=False,
        )
    except OSError:
        return
    except subprocess.TimeoutExpired as error:
        # Its output is bytes, whatever the encoding.
        if tree_child.READY.encode() not in bytes(error.stderr or b""):
            return
        raise StateError(f"takes LightGBM more than {MAX_SECONDS:g} seconds to load") from error
    # Something else may have written lines before: the dynamic linker, Python itself.
    _, ready, answer = f"\n{ended.stderr}".partition(f"\n{tree_child.READY}\n")
    answer = answer.strip()
    if not ready:
        return
    if ended.returncode < 0:
        raise StateError(f"ends the process that loads it ({_signal_name(-ended.returncode)})")
    if ended.returncode:
        why = f"is no LightGBM model: {shown(answer, 120)}"
        raise StateError(why if answer else f"ends the process that loads it ({ended.returncode})")
    if answer != json.dumps([[n_trees, n_features]]):
        raise StateError(
            f"says {n_trees} trees of {n_features} features, LightGBM finds {shown(answer, 40)}"
        )
    _TRIED.add(name)


def _command() -> list[str] | None:
    """Return the command of the child, or None where it cannot be started."""
    found = find_spec("lightgbm")
    folders = (found and found.submodule_search_locations) or ()
    library = next((file for f in folders for file in Path(f).rglob("lib_lightgbm.*")), None)
    if library is None or not sys.executable or getattr(sys, "frozen", False):
        return None
    return [sys.executable, "-I", "-S", str(Path(tree_child.__file__)), str(library)]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
