r"""Task cards: TOML files that describe a task and how its files are read.

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

    [template]               # how examples are written for models without a head
    prompt = "review: {text}\nstars:"

    [read]                   # encoding, separator, quoted, escape, header, format, scheme, repair_tags, comment,
                             # choices_from
    encoding = "latin-1"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, first_line, nearest
from transfer_meta.readers.compressed import open_bytes
from transfer_meta.readers.opening import shown
from transfer_meta.tasks.settings import ReadSettings
from transfer_meta.tasks.siblings import SPLIT_WORDS

_MAX_CARD = 2**20
_TEXTS = ("name", "type", "description", "licence", "hub", "revision")
_TABLES = ("files", "splits", "columns", "template", "read")
_READ: dict[str, type] = {
    "format": str,
    "encoding": str,
    "separator": str,
    "quoted": bool,
    "escape": str,
    "header": bool,
    "scheme": str,
    "repair_tags": bool,
    "comment": str,
    "choices_from": str,
}


@dataclass(frozen=True)
class Card:
    """Task card, with either `files` (split to path) or `hub`.

    `splits` maps our split names to those of the Hub; `template` is the prompt of the task's examples as text.
    """

    path: Path
    name: str
    description: str = ""
    licence: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    hub: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)
    settings: ReadSettings = field(default_factory=ReadSettings)
    template: str = ""


def read_card(path: Path, settings: ReadSettings) -> Card:
    """Read a task card; `settings` that are not the default take precedence over those of the card.

    Raises
    ------
    InputError
        Not TOML, an unknown key, a value of the wrong type, or a file outside the card's folder (unless
        ``settings.outside``), with the line.
    """
    values, text = _read_toml(path)

    def refuse(key: str, what: str) -> InputError:
        match = re.search(
            rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*[=\]]|^[ \t]*\[{re.escape(key)}\]", text, re.M
        )
        line = text.count("\n", 0, match.start()) + 1 if match else 1
        return InputError(f"{path}:{line}: {shown(what, 400)}")

    def check_known(key: str, known: Iterable[str], where: str = "") -> None:
        if key not in known:
            expected = ", ".join(known)
            raise refuse(key, f"unknown key '{key}'{where} (expected: {expected}){nearest(key, known)}")

    for key, value in values.items():
        check_known(key, _TEXTS + _TABLES)
        if not isinstance(value, str if key in _TEXTS else dict):
            raise refuse(key, f"'{key}' must be a {'string' if key in _TEXTS else 'table'}")
    for table in ("files", "splits", "columns"):
        for key, value in values.get(table, {}).items():
            if isinstance(value, list) and table == "files":
                raise refuse(key, f"{len(value)} files for the split '{key}', expected one")
            if not isinstance(value, str) or not value:
                raise refuse(key, f"'{key}' in [{table}] must be a string")
    for key, value in values.get("read", {}).items():
        check_known(key, _READ, " in [read]")
        if not isinstance(value, _READ[key]):
            expected = "true or false" if _READ[key] is bool else "a string"
            raise refuse(key, f"'{key}' must be {expected}")
    for key, value in values.get("template", {}).items():
        check_known(key, ("prompt",), " in [template]")
        if not isinstance(value, str):
            raise refuse(key, f"'{key}' in [template] must be a string")
    if bool(values.get("files")) == bool(values.get("hub")):
        raise InputError(
            f"{path}:1: a card needs [files] (split = file) or hub = 'NAME', one of the two"
        )
    files = {}
    for given, name in values.get("files", {}).items():
        split = SPLIT_WORDS.get(given.lower(), given)
        if split in files:
            raise refuse(given, f"two files for the split '{split}'")
        files[split] = path.parent / name
        try:
            inside = files[split].resolve().is_relative_to(path.parent.resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise refuse(given, f"'{name}' is no path: {error}") from None
        if not inside and not settings.outside:
            raise refuse(given, f"'{name}' lies outside the card's folder; set --outside to allow it")
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
        settings=_override(own, settings),
        template=values.get("template", {}).get("prompt", ""),
    )


def is_card(path: Path) -> bool:
    """Return whether a TOML file looks like a task card."""
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
        raise InputError(f"{path}:{line}: not TOML: {first_line(error)}") from None
    except UnicodeDecodeError as error:
        line = str(data.count(b"\n", 0, error.start) + 1)
        raise InputError(f"{path}:{line}: not TOML: not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not usable TOML: {first_line(error).split(';')[0]}") from None


def _override(card: ReadSettings, user: ReadSettings) -> ReadSettings:
    """Return the card's settings, replaced by the user's where those are not the default."""
    default = ReadSettings()
    changed = {name: value for name, value in vars(user).items() if value != getattr(default, name)}
    return replace(card, **{**changed, "columns": {**card.columns, **user.columns}})
