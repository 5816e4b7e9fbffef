"""Profiles as JSON files, including the hashes that pairs are compared by."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.files import atomic_file
from transfer_meta.readers.checked_files import parse_json, read_bounded
from transfer_meta.records import TaskProfile

ARRAY_TYPES = ("<u8", "<i8", "<f8")
"""Types of stored arrays, all little-endian."""
MAX_PROFILE_BYTES = 2**28
"""Largest size of a file that is read."""


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in the byte order of files."""
    return array.astype(array.dtype.newbyteorder("<"))


def save_profile(path: Path | str, profile: TaskProfile) -> None:
    """Write a profile atomically.

    The file is the object of `TaskProfile.to_json` with an additional entry ``sketches``: for each name the
    type (one of `ARRAY_TYPES`) and the bytes in base 64.

    Raises
    ------
    InputError
        `path` cannot be written to.
    """
    sketches = {}
    for name, array in profile.sketches.items():
        little = little_endian(array)
        sketches[name] = [little.dtype.str, base64.b64encode(little.tobytes()).decode("ascii")]
    content = {**json.loads(profile.to_json()), "sketches": sketches}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_profile(path: Path | str) -> TaskProfile:
    """Read a profile that `save_profile` wrote.

    Raises
    ------
    InputError
        The file does not exist, is broken, or holds something else.
    """
    try:
        text = read_bounded(Path(path), most_bytes=MAX_PROFILE_BYTES).decode("utf-8")
        arrays = {}
        for name, (kind, data) in parse_json(text, "it")["sketches"].items():
            if kind not in ARRAY_TYPES:
                raise ValueError(f"unknown type {kind}")
            arrays[name] = np.frombuffer(base64.b64decode(data, validate=True), dtype=kind)
        if arrays:
            TextHashes.check_arrays(arrays)
        return replace(TaskProfile.from_json(text), sketches=arrays)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"cannot read '{path}': not a task profile, or a broken one") from error
