"""Task vectors in .npz and .safetensors files."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file
from transfer_meta.readers.checked_files import parse_json
from transfer_meta.readers.clean_names import clean_name
from transfer_meta.records import FloatArray

_SETTINGS = "settings"  # entry beside the vectors, whose names contain a slash
VECTOR_SUFFIXES = (".npz", ".safetensors")
MAX_COMPRESSION = 100
"""Largest ratio of the arrays of an archive to its size, beyond `MIN_UNPACKED` bytes."""
MIN_UNPACKED = 2**26
BROKEN_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, SyntaxError, tokenize.TokenError
)  # fmt: skip
"""Further errors of a broken archive: of its compression, its kind, a password, an array's head."""


def save_vectors(
    path: Path | str,
    vectors: Mapping[str, Mapping[str, NDArray[np.floating]]],
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the vectors of several tasks atomically.

    Parameters
    ----------
    path : path
        The suffix, ``.npz`` or ``.safetensors``, selects the format; entries are named ``TASK/VECTOR``.
    vectors : mapping of task to mapping of name to array of shape (d,)
        Stored in float32.
    settings : mapping
        Settings of the computation as JSON values.

    Raises
    ------
    InputError
        The suffix is a different one, or `path` cannot be written to.
    """
    path = check_suffix(path)
    arrays = {
        f"{task}/{name}": np.asarray(values, dtype=np.float32)
        for task, of_task in vectors.items()
        for name, values in of_task.items()
    }
    text = json.dumps(dict(settings or {}), sort_keys=True)
    with atomic_file(path) as temporary:
        if path.suffix == ".npz":
            np.savez_compressed(temporary, allow_pickle=False, **{_SETTINGS: np.array(text)}, **arrays)
        else:
            from safetensors.numpy import save_file

            save_file(arrays, temporary, metadata={_SETTINGS: text})


def load_vectors(path: Path | str) -> tuple[dict[str, dict[str, FloatArray]], dict[str, Any]]:
    """Return the vectors by task and the settings that `save_vectors` wrote.

    Raises
    ------
    InputError
        The file does not exist, is broken, or holds something else.
    """
    path = check_suffix(path)
    try:
        arrays, text = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
        settings = parse_json(text, "settings")
    except (OSError, ValueError, KeyError, EOFError, MemoryError, *BROKEN_ARCHIVE) as error:
        reason = getattr(error, "strerror", None) or "not a file of task vectors, or a broken one"
        raise InputError(f"cannot read '{path}': {reason}") from error
    vectors: dict[str, dict[str, FloatArray]] = {}
    for key, values in arrays.items():
        task, slash, name = key.rpartition("/")
        if not slash or values.ndim != 1 or values.dtype.kind != "f":
            raise InputError(f"'{path}': entry '{key}' is no task vector (expected TASK/VECTOR, 1-D)")
        vectors.setdefault(task, {})[name] = values.astype(np.float64)
        if not np.isfinite(vectors[task][name]).all():
            raise InputError(f"'{path}': the vector '{key}' has values that are not finite")
    if not isinstance(settings, dict):
        raise InputError(f"'{path}': its settings are no JSON object")
    return vectors, settings


def load_task_space(path: Path | str) -> tuple[dict[str, dict[str, FloatArray]], dict[str, str]]:
    """Return the vectors and the types of tasks from a file written by ``embed``, by clean names.

    Raises
    ------
    InputError
        See `load_vectors`.
    """
    vectors, settings = load_vectors(path)
    types = settings.get("types", {})
    if not isinstance(types, dict) or not all(isinstance(kind, str) for kind in types.values()):
        raise InputError(f"'{path}': its types of tasks are no JSON object of texts")
    return {clean_name(task): found for task, found in vectors.items()}, {
        clean_name(task): kind for task, kind in types.items()
    }


def check_suffix(path: Path | str) -> Path:
    """Return the path; raises InputError unless its suffix is one of `VECTOR_SUFFIXES`."""
    path = Path(path)
    if path.suffix not in VECTOR_SUFFIXES:
        raise InputError(f"'{path}' has no suffix of a file of vectors (expected .npz or .safetensors)")
    return path


def _open_at_once(path: str, flags: int) -> int:
    """Open a regular file; without O_NONBLOCK a pipe waits for a writer."""
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return handle


def _check_sizes(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for an archive that unpacks to far more than it is, or with arrays of false sizes."""
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > max(MIN_UNPACKED, MAX_COMPRESSION * size):
        raise ValueError("it unpacks to far more than it is")
    for entry in entries:
        # NumPy writes no others, and the decoder of LZMA takes as much memory as an entry asks for.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{entry.filename} is packed in another way than NumPy does")
        with archive.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, kind = read(stream)
            if math.prod(shape) * kind.itemsize != entry.file_size - stream.tell():
                raise ValueError(f"{entry.filename} is not of the size that it says")


def _read_npz(path: Path) -> tuple[dict[str, NDArray], str]:
    with open(path, "rb", opener=_open_at_once) as stream, zipfile.ZipFile(stream) as archive:
        _check_sizes(archive, os.fstat(stream.fileno()).st_size)
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, str(arrays.pop(_SETTINGS))


def _read_safetensors(path: Path) -> tuple[dict[str, NDArray], str]:
    from safetensors import SafetensorError, safe_open

    with open(path, "rb", opener=_open_at_once):
        pass  # a pipe or a folder is refused
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {})[_SETTINGS]
            return {name: file.get_tensor(name) for name in file.keys()}, text  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error
