"""Files that a browser sent."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from transfer_meta.errors import InputError

MAX_NAME_SHOWN = 120
"""Characters of a file's name that are kept, for showing."""
_SUFFIX = re.compile(r"(\.[a-z0-9]{1,10}){1,2}$")
_ID = re.compile(r"[\w-]{8,40}", re.ASCII)


@dataclass(frozen=True)
class Upload:
    """A file that a browser sent.

    Parameters
    ----------
    id : str
        Cannot be guessed.
    name : str
        As the browser gave it, for showing only.
    path : Path
        Where it lies: its name there is of our making, but for letters and digits of the suffix.
    """

    id: str
    name: str
    path: Path


def save_upload(folder: Path, name: str, content: BinaryIO) -> Upload:
    """Write what a browser sent into a folder of its own.

    Raises
    ------
    InputError
        It is empty.
    """
    shown = name.replace("\\", "/").rsplit("/", 1)[-1][-MAX_NAME_SHOWN:] or "upload"
    suffix = _SUFFIX.search(shown.lower())
    identity = secrets.token_urlsafe(12)
    own = folder / f"upload-{identity}"
    own.mkdir(parents=True)
    path = own / f"task{suffix[0] if suffix else '.txt'}"
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    if path.stat().st_size == 0:
        shutil.rmtree(own)
        raise InputError(f"'{shown}' is empty")
    (own / "name.json").write_text(json.dumps(shown), encoding="utf-8")
    return Upload(identity, shown, path)


def open_upload(folder: Path, identity: str) -> Upload:
    """Return an upload by its id.

    Raises
    ------
    InputError
        There is none (any more).
    """
    own = folder / f"upload-{identity}"
    if not _ID.fullmatch(identity) or not own.is_dir():
        raise InputError("this upload is no longer here: uploads are kept for a day")
    path = next(file for file in own.iterdir() if file.name != "name.json")
    return Upload(identity, json.loads((own / "name.json").read_text(encoding="utf-8")), path)
