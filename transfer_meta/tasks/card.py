"""Task cards: what a task is and how its files are read, in TOML.

.. code-block:: toml

    name = "reviews"
    type = "classification"
    description = "Polarity of product reviews."
    licence = "CC BY 4.0"

    [files]                  # or: hub = "glue/sst2" and revision = "<commit>"
    train = "reviews.csv"
    test = "held_out.csv.gz"

    [columns]
    text = "body"
    label = "stars"

    [read]                   # encoding, separator, quoted, header, format, scheme, repair_tags, comment
    encoding = "latin-1"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, nearest
from transfer_meta.readers.opening import open_bytes, shown
from transfer_meta.tasks.settings import ReadSettings

_MAX_CARD = 2**20
_TEXTS = ("name", "type", "description", "licence", "hub", "revision")
_TABLES = ("files", "splits", "columns", "read")
_READ: dict[str, type] = {
    "format": str,
    "encoding": str,
    "separator": str,
    "quoted": bool,
    "header": bool,
    "scheme": str,
    "repair_tags": bool,
    "comment": str,
}


@dataclass(frozen=True)
class Card:
    """A task card: either `files` (split to path) or `hub` is set.

    `splits` maps our split names to the Hub's; `settings` is what the card says of reading.
    """

    path: Path
    name: str
    description: str = ""
    licence: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    hub: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)
    settings: ReadSettings = field(default_factory=ReadSettings)


def read_card(path: Path, settings: ReadSettings) -> Card:
    """The card in a TOML file; what `settings` sets goes before what the card says.

    Raises
    ------
    InputError
        Not TOML, an unknown key, a value of the wrong type, a file outside the card's folder (unless
        ``settings.outside``), with the line.
    """
    values, text = _read_toml(path)

    def refuse(key: str, what: str) -> InputError:
        match = re.search(
            rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*[=\]]|^[ \t]*\[{re.escape(key)}\]", text, re.M
        )
        line = text.count("\n", 0, match.start()) + 1 if match else 1
        return InputError(f"{path}:{line}: {shown(what, 400)}")

    for key, value in values.items():
        if key not in _TEXTS + _TABLES:
            raise refuse(
                key,
                f"unknown key '{key}' (expected: {', '.join(_TEXTS + _TABLES)}){nearest(key, _TEXTS + _TABLES)}",
            )
        if not isinstance(value, str if key in _TEXTS else dict):
            raise refuse(key, f"'{key}' must be a {'string' if key in _TEXTS else 'table'}")
    for table in ("files", "splits", "columns"):
        for key, value in values.get(table, {}).items():
            if isinstance(value, list) and table == "files":
                raise refuse(key, f"{len(value)} files for the split '{key}', expected one")
            if not isinstance(value, str) or not value:
                raise refuse(key, f"'{key}' in [{table}] must be a string")
    for key, value in values.get("read", {}).items():
        if key not in _READ:
            raise refuse(
                key,
                f"unknown key '{key}' in [read] (expected: {', '.join(_READ)}){nearest(key, _READ)}",
            )
        if not isinstance(value, _READ[key]):
            raise refuse(
                key, f"'{key}' must be {'true or false' if _READ[key] is bool else 'a string'}"
            )
    if bool(values.get("files")) == bool(values.get("hub")):
        raise InputError(
            f"{path}:1: a card needs [files] (split = file) or hub = 'NAME', one of the two"
        )
    files = {
        split: _inside(path, name, settings, refuse, split)
        for split, name in values.get("files", {}).items()
    }
    try:
        own = ReadSettings(
            type=values.get("type"),
            columns=values.get("columns", {}),
            revision=values.get("revision"),
            **values.get("read", {}),
        )
    except InputError as error:
        raise InputError(f"{path}: {shown(str(error), 400)}") from None
    return Card(
        path=path,
        name=values.get("name") or path.stem,
        description=values.get("description", ""),
        licence=values.get("licence", ""),
        files=files,
        hub=values.get("hub", ""),
        splits=values.get("splits", {}),
        settings=_over(own, settings),
    )


def is_card(path: Path) -> bool:
    """Whether a TOML file in a folder looks like a card: other programs write TOML, too."""
    try:
        values, _ = _read_toml(path)
    except InputError:
        return False
    return bool({"files", "hub"} & values.keys())


def _read_toml(path: Path) -> tuple[dict[str, Any], str]:
    with open_bytes(path) as stream:
        data = stream.read(_MAX_CARD + 1)
    if len(data) > _MAX_CARD:
        raise InputError(f"{path}: too large for a task card")
    try:
        text = data.decode()
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"\(at line (\d+)", str(error))
        line = match[1] if match else str(text.count("\n") + 1)
        raise InputError(f"{path}:{line}: not TOML: {str(error).splitlines()[0]}") from None
    except UnicodeDecodeError as error:
        line = str(data.count(b"\n", 0, error.start) + 1)
        raise InputError(f"{path}:{line}: not TOML: not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not usable TOML: {error}") from None


def _inside(card: Path, name: str, settings: ReadSettings, refuse: Any, split: str) -> Path:
    """The file that a card names, which must lie in the card's folder or below it, symbolic links followed."""
    folder = card.parent
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError) as error:
        raise refuse(split, f"'{name}' is no path: {error}") from None
    if not inside and not settings.outside:
        raise refuse(split, f"'{name}' lies outside the card's folder; set --outside to allow it")
    return path


def _over(card: ReadSettings, user: ReadSettings) -> ReadSettings:
    """The card's settings, replaced where the user set something else than the default."""
    default = ReadSettings()
    set_by_user = {
        name: value
        for name, value in vars(user).items()
        if name != "columns" and value != getattr(default, name)
    }
    return replace(card, **set_by_user, columns={**card.columns, **user.columns})
