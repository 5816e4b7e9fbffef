"""What is shared: the files of a model's folder or of a table of outcomes, and the manifest that lists them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, first_line, list_names, require
from transfer_meta.files import save_table
from transfer_meta.model import BOOSTER_FILE, GAIN_MODEL_KEY, load_model
from transfer_meta.outcomes.table_checks import (
    METRIC_COLUMN,
    NON_FEATURE_COLUMNS,
    REPORTED_COLUMN,
    SETTING_COLUMNS,
)
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.predictors.state_kinds import (
    ByName,
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
from transfer_meta.recommender.own_folder import FOLDER_FORMAT
from transfer_meta.recommender.own_recommender import load_own_recommender
from transfer_meta.runs.export import Exported

if TYPE_CHECKING:
    from transfer_meta.records import Tell

MANIFEST = "transfer_meta_manifest.json"
"""File that lists what is shared, with sizes and digests; it marks a folder as one of ours."""
MANIFEST_FORMAT = "transfer_meta.share/1"
MAX_MANIFEST_BYTES = 2**22
README = "README.md"
OUTCOMES, PREDICTOR, RECOMMENDER, TRAINED = (
    "outcomes", "predictor", "recommender", "trained model",
)  # fmt: skip
"""Kinds of what is shared."""
OUTCOMES_FILE, TASKS_FILE, CURVES_FILE = "outcomes.csv", "tasks.csv", "outcomes.curves.parquet"
MAX_BYTES = {OUTCOMES: 2**30, PREDICTOR: 2**32, RECOMMENDER: 2**32, TRAINED: 2**37}
"""Largest size of all files of a kind."""
MAX_FILES = 100_000
MAX_NAME_LENGTH = 200
"""Largest number of characters of a name in a table of outcomes; what is longer may be a text of a data set."""
_PLAIN = r"card\.json|tasks\.csv|state\.json"
_FILES = {
    OUTCOMES: re.compile("|".join(map(re.escape, (OUTCOMES_FILE, TASKS_FILE, CURVES_FILE)))),
    PREDICTOR: re.compile(rf"{_PLAIN}|{BOOSTER_FILE.pattern}", re.ASCII),
    RECOMMENDER: re.compile(
        rf"card\.json|outcomes\.csv|vectors\.npz|profiles/\d{{1,6}}\.json|({'|'.join(MODES)})/({_PLAIN})",
        re.ASCII,
    ),
    # What transformers writes of a model and its tokenizer, our facts, and our head.
    TRAINED: re.compile(
        r"(model|head)\.safetensors|transfer_meta\.json|config\.json|generation_config\.json|tokenizer\.json"
        r"|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.jinja|vocab\.(txt|json)"
        r"|merges\.txt|(spiece|sentencepiece\.bpe|spm|tokenizer)\.model|modules\.json|1_Pooling/config\.json"
    ),
}
"""Names of the files of a kind, beside README and manifest; others are neither pushed nor pulled."""
_MANIFEST: dict[str, Kind] = {
    "format": Text(),
    "version": Text(),
    "kind": Text(tuple(_FILES)),
    "title": Text(),
    "files": ByName(Record({"bytes": Number(low=0, whole=True), "sha256": Text()})),
}


@dataclass(frozen=True)
class Manifest:
    """What is shared.

    Parameters
    ----------
    kind : str
        One of `OUTCOMES`, `PREDICTOR`, `RECOMMENDER` and `TRAINED`.
    title : str
    files : mapping of str to dict
        ``bytes`` and ``sha256`` of each file, by its name.
    """

    kind: str
    title: str
    files: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, kind: str, title: str, folder: Path, names: list[str]) -> Manifest:
        """Return the manifest of files in a folder."""
        files = {
            name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
            for name in sorted(names)
        }
        return cls(kind, title, files)

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Return the manifest of a file that may hold anything.

        Raises
        ------
        InputError
            It is no manifest, of another version, or lists files that its kind does not have.
        """
        try:
            found = parse_json(content.decode("utf-8"), "it")
            check_keys(found, _MANIFEST)
            for name, kind in _MANIFEST.items():
                at(name, kind, found[name], Scope())
            if found["format"] != MANIFEST_FORMAT:
                raise StateError(
                    f"has format '{shown(found['format'])}' (expected '{MANIFEST_FORMAT}')"
                )
            files = found["files"]
            odd = next((n for n in files if n != README and not is_file_of(found["kind"], n)), None)
            if odd is not None:
                raise StateError(f"lists '{shown(odd)}', which is no file of {a_kind(found['kind'])}")
            if not set(files) - {README}:
                raise StateError("lists no file")
            if (
                len(files) > MAX_FILES
                or sum(f["bytes"] for f in files.values()) > MAX_BYTES[found["kind"]]
            ):
                raise StateError(f"lists more or larger files than {a_kind(found['kind'])} has")
        except ValueError as error:
            raise InputError(f"{MANIFEST} {shown(first_line(error), 200)}") from error
        return cls(found["kind"], found["title"], files)

    def to_json(self) -> str:
        """Return the text of the file."""
        content = {
            "format": MANIFEST_FORMAT,
            "version": __version__,
            "kind": self.kind,
            "title": self.title,
            "files": self.files,
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file that is shared."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file_of(kind: str, name: str) -> bool:
    """Return whether a file of this name belongs to what is shared of a kind."""
    return _FILES[kind].fullmatch(name) is not None


def a_kind(kind: str) -> str:
    """Return a kind with its article.

    Examples
    --------
    >>> a_kind("outcomes"), a_kind("predictor")
    ('a table of outcomes', 'a predictor')
    """
    return f"a {'table of outcomes' if kind == OUTCOMES else kind}"


def kind_of_folder(folder: Path) -> str:
    """Return the kind of model in a folder, by its card; it is not checked here.

    Raises
    ------
    InputError
        It holds none.
    """
    if (folder / "transfer_meta.json").is_file():
        return TRAINED
    if not (folder / "card.json").is_file():
        raise InputError(
            f"no model in '{folder}' (expected a folder by `transfer-meta fit` or `transfer-meta train`, or a table"
            " of outcomes or a run store)"
        )
    card = parse_json(
        read_file_in(folder, "card.json", most_bytes=2**24).decode("utf-8", "replace"), "card.json"
    )
    if isinstance(card, dict) and card.get("format") == FOLDER_FORMAT:
        return RECOMMENDER
    if isinstance(card, dict) and GAIN_MODEL_KEY in card:
        raise InputError(
            f"'{folder}' holds one mode of a recommender (expected the folder by `transfer-meta fit FILE"
            " --recommender`)"
        )
    return PREDICTOR


def open_shared(kind: str, folder: Path) -> Any:
    """Open the files of a kind as a user does, with all checks.

    Raises
    ------
    InputError
        They are not what this package writes.
    """
    if kind == OUTCOMES:
        tasks = folder / TASKS_FILE
        if (folder / CURVES_FILE).exists():
            check_names(_read_curves(folder / CURVES_FILE), CURVES_FILE)
        return load_outcomes(folder / OUTCOMES_FILE, tasks=tasks if tasks.is_file() else None)
    if kind == TRAINED:
        require("torch", "transformers")
        from transfer_meta.training.trained_model import load_trained

        return load_trained(folder)
    return load_model(folder) if kind == PREDICTOR else load_own_recommender(folder)


def files_in(kind: str, folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files of a model in a folder, and those of other files there.

    Raises
    ------
    InputError
        One of them is a link to a file outside of the folder, or no regular file.
    """
    taken, others = [], []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if not is_file_of(kind, name):
            if name not in (MANIFEST, README):
                others.append(name)
            continue
        try:
            inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        except (OSError, RuntimeError):
            inside = False
        if not inside or not path.is_file():
            raise InputError(f"'{path}' is not a regular file of the folder")
        taken.append(name)
    return taken, others


def write_outcomes(shared: OutcomeTable | Exported, folder: Path, *, tell: Tell) -> OutcomeTable:
    """Write the files of a table or an export to a folder: names and figures, no other texts.

    Raises
    ------
    InputError
        A name is so long that it may be a text of a data set.
    """
    table = shared.to_outcomes() if isinstance(shared, Exported) else shared
    runs = table.runs.drop(columns="setting")
    if REPORTED_COLUMN in runs and METRIC_COLUMN in runs:
        # As in the file that was read: where lower is better, `score` is turned round.
        runs["score"] = runs.pop(REPORTED_COLUMN)
        runs = runs.drop(columns="absolute_gain", errors="ignore")
    known = NON_FEATURE_COLUMNS - {REPORTED_COLUMN} | set(table.pair_features)
    if left_out := [str(c) for c in runs if c not in known]:
        tell(f"not shared, no names or figures that are known here: {list_names(left_out)}")
    outcomes = runs[[c for c in runs if c in known]]
    check_names(outcomes, table.name)
    save_table(outcomes, folder / OUTCOMES_FILE)
    if len(table.tasks.columns):
        tasks = table.tasks.rename_axis("task").reset_index()
        check_names(tasks, "the table of tasks")
        save_table(tasks, folder / TASKS_FILE)
    if isinstance(shared, Exported) and len(shared.curves):
        check_names(shared.curves, "the curves")
        save_table(shared.curves, folder / CURVES_FILE)
    return table


def check_names(frame: pd.DataFrame, where: str) -> None:
    """Raise an InputError if a cell holds a text that is no name: what is shared are figures."""
    for column in frame.select_dtypes(exclude=["number", "bool"]):
        for cell in frame[column].dropna().astype(str).unique():
            is_settings = column in SETTING_COLUMNS and _is_settings(cell)
            if not is_settings and (len(cell) > MAX_NAME_LENGTH or "\n" in cell):
                raise InputError(
                    f"column '{shown(str(column))}' of {where} holds a text of {len(cell):,} characters (expected"
                    f" names of at most {MAX_NAME_LENGTH} in a line: no texts of data sets are shared)"
                )


def _is_settings(cell: str) -> bool:
    """Return whether a cell holds settings of training as JSON, as an export writes them."""
    if not cell.startswith("{") or len(cell) > 10 * MAX_NAME_LENGTH:
        return False
    try:
        return isinstance(parse_json(cell, "it"), dict)
    except InputError:
        return False


def _read_curves(path: Path) -> pd.DataFrame:
    from transfer_meta.readers.whole_table import read_table

    return read_table(path)
