"""Files of source encoders: where they lie, and the facts that each holds; importable without torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_meta.encoding.encoding_settings import OFFLINE_NAMES
from transfer_meta.errors import InputError, first_line
from transfer_meta.files import atomic_file, data_folder, platform_folder
from transfer_meta.readers.checked_files import parse_json, read_bounded
from transfer_meta.readers.opening import shown
from transfer_meta.records import TaskType

FORMAT = "transfer-meta source encoder 1"
SHIPPED_ENCODERS = "source_encoders"
"""Folder of the source encoders that ship, in the data folder."""
SOURCE_SUFFIX = ".safetensors"
PROFILE_SUFFIX, VECTORS_SUFFIX = ".json", ".npz"
SOURCE_FILES = (PROFILE_SUFFIX, VECTORS_SUFFIX, SOURCE_SUFFIX)
"""Suffixes of a source's files in the order in which they are written: where there is an encoder, all are there."""
ADDRESS_SUFFIX = ".address"
"""Of the file beside an own source's encoder that holds the address of its data; it stays on this machine."""
MAX_ADDRESS_BYTES = 2**16
PLAIN_NAME = re.compile(r"\w[\w.-]*")
"""Names of sources, which become names of files."""


@dataclass(frozen=True, kw_only=True)
class SourceEncoderFacts:
    """What a source encoder was trained on, and how.

    Parameters
    ----------
    name : str
        Name of the source.
    type : TaskType
    labels : tuple of str
        Classes in the order of the head's outputs; empty without a head.
    encoder, revision : str
        The pretrained encoder, and its version (`encoders.encoder_revision`).
    digest : str
        Digest of the task's examples.
    rank : int
        Rank of the differences.
    examples : int
        Training examples.
    training : mapping
        Fields of `transfer_meta.training.training_settings.TrainingSettings`.
    metric : str
        Name of the score.
    score : float or None
        Of the trained encoder on the task's test split, or on held-out training examples, 0-1.
    fidelity : float or None
        Mean cosine similarity, over training examples, of the vectors as stored in 8 bits with those of the trained
        encoder, both less their mean.
    licence : str
        Of the data.
    """

    name: str
    type: TaskType
    labels: tuple[str, ...] = ()
    encoder: str
    revision: str
    digest: str
    rank: int
    examples: int
    training: Mapping[str, Any] = field(default_factory=dict)
    metric: str = ""
    score: float | None = None
    fidelity: float | None = None
    licence: str = "unknown"


def own_folder() -> Path:
    """Return the folder of the user's own source encoders.

    ``$TRANSFER_META_SOURCES``, else ``transfer_meta/sources`` in the platform's folder of user data:
    ``$XDG_DATA_HOME`` or ``~/.local/share``, ``~/Library/Application Support`` on macOS, ``%APPDATA%`` on Windows.
    """
    if named := os.environ.get("TRANSFER_META_SOURCES"):
        return Path(named).expanduser()
    user_data = platform_folder(
        mac="~/Library/Application Support",
        windows=("APPDATA", "~/AppData/Roaming"),
        other=("XDG_DATA_HOME", "~/.local/share"),
    )
    return user_data / "sources"


def encoder_folder(encoder: str) -> str:
    """Return the name of the folder of an encoder's source encoders.

    Examples
    --------
    >>> encoder_folder("offline"), encoder_folder("FacebookAI/roberta-base")
    ('all-MiniLM-L6-v2', 'FacebookAI--roberta-base')
    """
    if encoder in OFFLINE_NAMES:
        return "all-MiniLM-L6-v2"
    return re.sub(r"[^\w.-]+", "--", encoder).strip("-.") or "encoder"


def find_source_encoders(encoder: str = "offline") -> dict[str, Path]:
    """Return the files of the source encoders of an encoder by name, sorted: those that ship, and the user's own.

    Of two of the same name the user's own counts.
    """
    found: dict[str, Path] = {}
    for folder in (data_folder() / SHIPPED_ENCODERS, own_folder()):
        files = (folder / encoder_folder(encoder)).glob(f"*{SOURCE_SUFFIX}")
        # Not the hidden temporary file of a writer.
        found |= {file.stem: file for file in files if PLAIN_NAME.fullmatch(file.stem)}
    return dict(sorted(found.items()))


def find_own_files(encoder: str | None = None) -> dict[tuple[str, str], dict[str, Path]]:
    """Return the user's own files of sources: by the encoder's folder and the source's name, then by suffix.

    Beside the files that describe a source one has the address of its data (`ADDRESS_SUFFIX`).

    Parameters
    ----------
    encoder : str, optional
        Only those of one encoder.
    """
    found: dict[tuple[str, str], dict[str, Path]] = {}
    folder = "*" if encoder is None else encoder_folder(encoder)
    for file in sorted(own_folder().glob(f"{folder}/*")):
        if file.suffix in (*SOURCE_FILES, ADDRESS_SUFFIX) and PLAIN_NAME.fullmatch(file.stem):
            found.setdefault((file.parent.name, file.stem), {})[file.suffix] = file
    return found


def save_address(encoder_file: Path, address: str) -> None:
    """Write the address of a source's data, as commands take it, beside its encoder."""
    with atomic_file(encoder_file.with_suffix(ADDRESS_SUFFIX)) as temporary:
        temporary.write_text(address + "\n", encoding="utf-8")


def load_address(files: Mapping[str, Path]) -> str:
    """Return the address of the data of a source, of its files by suffix; empty if it is not known."""
    if ADDRESS_SUFFIX not in files:
        return ""
    try:
        content = read_bounded(files[ADDRESS_SUFFIX], most_bytes=MAX_ADDRESS_BYTES)
        return content.decode("utf-8").strip()
    except (OSError, ValueError):
        return ""


def is_source_encoder(path: Path) -> bool:
    """Return whether a file is marked as a source encoder; False for one that cannot be read."""
    try:
        return _metadata(path).get("format") == FORMAT
    except InputError:
        return False


def read_source_facts(path: Path) -> SourceEncoderFacts:
    """Read the facts of a source encoder's file, without its tensors; InputError if it is none."""
    metadata = _metadata(path)
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"'{path}' is not a source encoder (expected a file of `transfer-meta sources add`)"
        )
    try:
        values = parse_json(metadata["facts"], "the JSON")
        labels = tuple(map(str, values.pop("labels")))
        facts = SourceEncoderFacts(**values | {"type": TaskType(values["type"]), "labels": labels})
        for kind, names in _KINDS.items():
            for name in names:
                value = getattr(facts, name)
                if not isinstance(value, kind) or not _is_moderate(value):
                    raise ValueError(f"{name} = {shown(repr(value))}")
        return facts
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = shown(str(error), 200)
        raise InputError(f"source encoder '{path}': its facts cannot be read: {reason}") from error


def _is_moderate(value: Any) -> bool:
    """Return whether a number of the facts is finite, not negative and no giant, and a text short."""
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return not isinstance(value, int | float) or -1 <= value <= _MAX_COUNT


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    # A pipe waits for a writer.
    if not path.is_file():
        raise InputError(f"source encoder '{path}' cannot be read: no such file, or no regular one")
    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"source encoder '{path}' cannot be read: {first_line(error)}") from error


_MAX_TEXT = 1_000
_MAX_COUNT = 10**15
_KINDS: dict[Any, tuple[str, ...]] = {
    str: ("name", "encoder", "revision", "digest", "metric", "licence"),
    int: ("rank", "examples"),
    float | int | None: ("score", "fidelity"),
    Mapping: ("training",),
}
"""Fields of the facts by the type that they are to have."""
