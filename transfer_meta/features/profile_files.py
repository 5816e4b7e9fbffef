"""A profile as one JSON file, sketches included: pairs with a task can be compared without its text."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file
from transfer_meta.records import TaskProfile

_TYPES = ("<u8", "<i8", "<f8")


def save_profile(path: Path | str, profile: TaskProfile) -> None:
    """Write a profile, whole or not at all.

    The file is the object of `TaskProfile.to_json` with one entry more, ``sketches``: by name the type
    (``<u8``, ``<i8`` or ``<f8``) and the bytes in base 64.

    Raises
    ------
    InputError
        A place that cannot be written to.
    """
    sketches = {}
    for name, array in profile.sketches.items():
        # Bytes have an order everywhere but in memory: they are written lowest first.
        little = np.asarray(array).astype(array.dtype.newbyteorder("<"))
        sketches[name] = [little.dtype.str, base64.b64encode(little.tobytes()).decode("ascii")]
    content = {**json.loads(profile.to_json()), "sketches": sketches}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_profile(path: Path | str) -> TaskProfile:
    """The profile that `save_profile` wrote.

    Raises
    ------
    InputError
        The file is not there, is broken, or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        arrays = {}
        for name, (kind, data) in json.loads(text)["sketches"].items():
            if kind not in _TYPES:
                raise ValueError(f"unknown type {kind}")
            arrays[name] = np.frombuffer(base64.b64decode(data, validate=True), dtype=kind)
        return replace(TaskProfile.from_json(text), sketches=arrays)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"cannot read '{path}': not a task profile, or a broken one") from error
