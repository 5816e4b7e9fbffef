"""Folders of recommenders with own outcomes: every file checked before it is used."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.features.profile_files import MAX_PROFILE_BYTES, load_profile
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.files import digest
from transfer_meta.predictors.state_kinds import (
    MAX_NUMBER,
    ByName,
    Items,
    Kind,
    Number,
    Record,
    Scope,
    StateError,
    Text,
    at,
    check_keys,
)
from transfer_meta.readers.checked_files import parse_json, read_file_in
from transfer_meta.readers.opening import shown
from transfer_meta.recommender.inputs import MODES
from transfer_meta.recommender.library import Library, OwnOutcomes, Setting, open_library
from transfer_meta.recommender.own_outcomes import extend_library
from transfer_meta.recommender.persistence import STORED_SETTING
from transfer_meta.records import TaskProfile

FOLDER_FORMAT = "transfer_meta.own_recommender/2"
OUTCOMES_FILE, OWN_VECTORS_FILE = "outcomes.csv", "vectors.npz"
_FIRST_FORMAT = "transfer_meta.own_recommender/1"
_PROFILE_FILE = re.compile(r"\d{1,6}\.json", re.ASCII)
_NUMBERS = ("gain", "weight", "runs", "baseline")
_NAMES = ("setting", "source", "target")
_CARD: dict[str, Kind] = {
    **dict.fromkeys(("format", "version", "dataset", "method", "shipped_digest"), Text()),
    "digests": ByName(Text()),
    "tables": Items(Text()),
    "tasks": Items(Text()),
    "settings": Items(STORED_SETTING),
    "profiles": ByName(Text()),
    "models": Items(Text(MODES)),
}
"""Kinds of the entries of a folder's card."""
_PROFILE = Record(
    {
        **dict.fromkeys(("name", "digest"), Text()),
        "features": ByName(Number(unknown=True)),
        "missing": ByName(Text()),
        "notes": Items(Text()),
    }
)


def read_own_folder(folder: Path) -> tuple[dict[str, Any], Library, Library]:
    """Return the card, the library that ships, and that with the own outcomes.

    Raises
    ------
    InputError
        The folder is of another kind of model, or was fitted with other shipped tables.
    StateError
        A file is not what was saved, or not of its kind.
    """
    text = _content(folder, "card.json").decode("utf-8")
    try:
        card = parse_json(text, "card.json")
    except InputError as error:
        raise StateError(str(error)) from error
    if not isinstance(card, dict) or card.get("format") not in (FOLDER_FORMAT, _FIRST_FORMAT):
        raise InputError(
            f"the model in '{folder}' is not of a recommender with own outcomes (`transfer-meta fit FILE"
            " --recommender` makes one)"
        )
    if card["format"] == _FIRST_FORMAT:
        raise InputError(f"the model in '{folder}' was written by an older version: fit it again")
    check_keys(card, _CARD)
    for name, kind in _CARD.items():
        at(name, kind, card[name], Scope())
    _check_lists(card)
    wanted = {OUTCOMES_FILE, OWN_VECTORS_FILE, *(f"profiles/{n}" for n in card["profiles"].values())}
    if card["digests"].keys() != wanted:
        raise StateError("card.json has digests of other files than those of the folder")
    content = {name: _content(folder, name) for name in sorted(wanted)}
    for name, found in content.items():
        if digest(found) != card["digests"][name]:
            raise StateError(f"{name} has changed")
    shipped = open_library(card["dataset"], method=card["method"])
    if shipped.digest != card["shipped_digest"]:
        raise InputError(
            f"the model in '{folder}' was fitted with the tables of version {shown(card['version'])}: fit it again"
        )
    pairs = _read_pairs(content[OUTCOMES_FILE].decode("utf-8"))
    settings = tuple(Setting(**values) for values in card["settings"])
    profiles = {
        name: _read_profile(folder / "profiles" / file, shipped)
        for name, file in card["profiles"].items()
    }
    known = {*shipped.profiles, *profiles}
    for column, names in (
        ("setting", {s.name for s in settings}),
        ("source", known),
        ("target", known),
    ):
        if unknown := set(pairs[column]) - names:
            raise StateError(f"{OUTCOMES_FILE} has the unknown {column} '{shown(min(unknown))}'")
    if again := shipped.profiles.keys() & profiles.keys():
        raise StateError(f"card.json has a profile of the known task '{shown(min(again))}'")
    vectors = load_vectors(folder / OWN_VECTORS_FILE)[0]
    _check_vectors(vectors, set(card["profiles"].values()), shipped)
    own = OwnOutcomes(tuple(card["tables"]), tuple(card["tasks"]), pairs, settings)
    library = extend_library(
        shipped,
        own,
        {name: replace(found, name=name) for name, found in profiles.items()},
        {name: vectors.get(file, {}) for name, file in card["profiles"].items()},
    )
    return card, shipped, library


def _content(folder: Path, name: str) -> bytes:
    try:
        return read_file_in(folder, name, most_bytes=MAX_PROFILE_BYTES)
    except InputError as error:
        raise InputError(
            f"cannot read the model in '{folder}': {error} (expected a folder written by `transfer-meta fit FILE"
            " --recommender`)"
        ) from error


def _check_lists(card: Mapping[str, Any]) -> None:
    names = {
        "settings": [setting["name"] for setting in card["settings"]],
        "profiles": list(card["profiles"].values()),
        "models": card["models"],
        "tasks": card["tasks"],
    }
    for entry, found in names.items():
        if len(set(found)) < len(found):
            raise StateError(f"card.json has one of its {entry} twice")
    if not card["models"] or not card["settings"]:
        raise StateError("card.json has no models or no settings")
    for file in card["profiles"].values():
        if not _PROFILE_FILE.fullmatch(file):
            raise StateError(f"'{shown(file)}' is no profile")
    if unknown := set(card["tasks"]) - set(card["profiles"]):
        raise StateError(f"card.json has no profile of '{shown(min(unknown))}'")
    if any(setting["regime"].count("-") != 1 for setting in card["settings"]):
        raise StateError("card.json has a setting of an unknown regime")


def _read_pairs(text: str) -> pd.DataFrame:
    # As text first: a task may be named "NA", and digits must be kept.
    pairs = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    if set(pairs.columns) != {*_NAMES, *_NUMBERS} or not len(pairs):
        raise StateError(f"{OUTCOMES_FILE} has other columns than expected, or no rows")
    for name in _NUMBERS:
        pairs[name] = [float(cell) if cell else np.nan for cell in pairs[name]]
    least = {"gain": -MAX_NUMBER, "weight": 0.0, "runs": 1.0, "baseline": -MAX_NUMBER}
    for name, low in least.items():
        values = pairs[name].to_numpy()
        # The baseline may be unknown.
        values = values[~np.isnan(values)] if name == "baseline" else values
        if not ((values >= low) & (values <= (2**31 if name == "runs" else MAX_NUMBER))).all():
            raise StateError(f"{OUTCOMES_FILE} has an impossible {name}")
    if (pairs["runs"] % 1 != 0).any():
        raise StateError(f"{OUTCOMES_FILE} has runs that are no whole numbers")
    if pairs.duplicated(list(_NAMES)).any() or (pairs["source"] == pairs["target"]).any():
        raise StateError(f"{OUTCOMES_FILE} has a pair twice, or one of a task with itself")
    return pairs.astype({"runs": int, **dict.fromkeys(_NAMES, object)})


def _read_profile(path: Path, shipped: Library) -> TaskProfile:
    """Return a profile that can be compared with those of the known tasks."""
    found = load_profile(path)
    name = f"profiles/{path.name}"
    entries = {
        "name": found.name,
        "digest": found.digest,
        "features": found.features,
        "missing": found.missing,
        "notes": list(found.notes),
    }
    at(name, _PROFILE, entries, Scope())
    others = list(shipped.profiles.values())
    if set(found.features) - {feature for other in others for feature in other.features}:
        raise StateError(f"{name} has unknown features")
    if not found.sketches or not isinstance(found.settings, dict):
        raise StateError(f"{name} has no sketches, or no settings")
    if found.vectors and not all(np.isfinite(v).all() for v in found.vectors.values()):
        raise StateError(f"{name} has vectors that are not finite")
    return found


def _check_vectors(
    vectors: Mapping[str, Mapping[str, np.ndarray]], files: set[str], shipped: Library
) -> None:
    if unknown := set(vectors) - files:
        raise StateError(f"{OWN_VECTORS_FILE} has vectors of '{shown(min(unknown))}'")
    sizes = {kind: len(v) for of_task in shipped.vectors.values() for kind, v in of_task.items()}
    for of_task in vectors.values():
        for kind, values in of_task.items():
            if sizes.get(kind) != len(values) or np.abs(values).max(initial=0) > MAX_NUMBER:
                raise StateError(f"{OWN_VECTORS_FILE} has vectors of another kind ({shown(kind)})")
