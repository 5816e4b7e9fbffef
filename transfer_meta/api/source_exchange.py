"""Copies of the user's own sources to and from a folder, a bucket or a repository of the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer_meta.api.remote_folder import open_remote
from transfer_meta.api.source_files_result import SourceFiles
from transfer_meta.encoding.source_files import (
    PLAIN_NAME,
    PROFILE_SUFFIX,
    SOURCE_FILES,
    SOURCE_SUFFIX,
    VECTORS_SUFFIX,
    encoder_folder,
    find_own_files,
    own_folder,
)
from transfer_meta.errors import InputError, require
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.files import atomic_file
from transfer_meta.records import OnProgress

Contents = Mapping[str, bytes]
"""Contents of a source's files by suffix."""
MAX_SOURCE_BYTES = 2**31
"""Largest size of a source's file that is copied here."""


@dataclass(frozen=True, kw_only=True)
class ExchangeSettings:
    """Settings of `push_sources` and `pull_sources`.

    Parameters
    ----------
    encoder : str, optional
        Copy the sources of one encoder; by default of all.
    replace : bool
        Replace files that are there with another content, which are kept by default.
    """

    encoder: str | None = None
    replace: bool = False


def push_sources(
    destination: str | Path,
    settings: ExchangeSettings | None = None,
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> SourceFiles:
    """Copy the user's own sources, each with its profile and vectors, to a folder, a bucket or the Hub.

    Parameters
    ----------
    destination : str or Path
        A folder, ``s3://``, ``gs://`` or another URL of fsspec, or ``hf:OWNER/NAME``, a private repository of
        models of the Hugging Face Hub.
    settings : ExchangeSettings, optional
    on_progress : callable
        Called with the number of finished sources and of all sources.

    Raises
    ------
    InputError
        There are no sources of the user's own, or the destination cannot be written to.
    """
    settings = settings or ExchangeSettings()
    own = {
        key: files for key, files in find_own_files(settings.encoder).items() if SOURCE_SUFFIX in files
    }
    if not own:
        raise InputError(
            f"no sources of your own in {own_folder()} (expected some, by `transfer-meta sources add`)"
        )
    remote = _Remote(destination)
    there = remote.sources()
    rows = []
    for done, (key, files) in enumerate(own.items()):
        on_progress(done, len(own))
        contents = {s: file.read_bytes() for s, file in files.items() if s in SOURCE_FILES}
        present = {suffix: remote.read(key, suffix) for suffix in there.get(key, ())}
        status, reason = _status(key, contents, present, replace=settings.replace)
        if status == "copied":
            remote.write(key, contents)
        rows.append((key[1], key[0], status, reason))
    on_progress(len(own), len(own))
    return SourceFiles.of(rows, remote.address)


def pull_sources(
    origin: str | Path,
    settings: ExchangeSettings | None = None,
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> SourceFiles:
    """Copy sources from a folder, a bucket or the Hub, to which `push_sources` copied them, to the user's own.

    A source with a broken or foreign file is left out.

    Parameters
    ----------
    origin : str or Path
        A folder, ``s3://``, ``gs://`` or another URL of fsspec, or ``hf:OWNER/NAME``.
    settings : ExchangeSettings, optional
    on_progress : callable
        Called with the number of finished sources and of all sources.

    Raises
    ------
    InputError
        There are no sources at the origin, or it cannot be read.
    """
    settings = settings or ExchangeSettings()
    remote = _Remote(origin)
    found = remote.sources()
    if settings.encoder is not None:
        folder = encoder_folder(settings.encoder)
        found = {key: suffixes for key, suffixes in found.items() if key[0] == folder}
    if not found:
        raise InputError(
            f"no sources in '{remote.address}' (expected ENCODER/NAME{SOURCE_SUFFIX}, as"
            " `transfer-meta sources push` writes them)"
        )
    rows = []
    for done, (key, suffixes) in enumerate(found.items()):
        on_progress(done, len(found))
        contents = {suffix: remote.read(key, suffix) for suffix in suffixes}
        files = {suffix: own_folder() / key[0] / f"{key[1]}{suffix}" for suffix in SOURCE_FILES}
        present = {s: file.read_bytes() for s, file in files.items() if file.is_file()}
        status, reason = _status(key, contents, present, replace=settings.replace)
        for suffix in SOURCE_FILES if status == "copied" else ():
            if suffix in contents:
                with atomic_file(files[suffix]) as temporary:
                    temporary.write_bytes(contents[suffix])
        rows.append((key[1], key[0], status, reason))
    on_progress(len(found), len(found))
    return SourceFiles.of(rows, str(own_folder()))


def _status(
    key: tuple[str, str], contents: Contents, present: Contents, *, replace: bool
) -> tuple[str, str]:
    """Return what is to be done with a source, and the reason for leaving it out."""
    try:
        _check(key, contents)
    except InputError as error:
        return "left out", str(error)
    if all(present.get(suffix) == content for suffix, content in contents.items()):
        return "same", ""
    differs = any(present.get(suffix, content) != content for suffix, content in contents.items())
    if differs and not replace:
        return "kept", "there with another content (--replace)"
    return "copied", ""


def _check(key: tuple[str, str], contents: Contents) -> None:
    """Raise an InputError if the files of a source are broken, or not those of their names."""
    require("torch", "safetensors")
    from transfer_meta.encoding.source_encoders import load_source_encoder

    folder, name = key
    with tempfile.TemporaryDirectory() as place:
        # Messages name the file as the user knows it.
        files = {suffix: Path(place) / f"{name}{suffix}" for suffix in contents}
        try:
            for suffix, file in files.items():
                file.write_bytes(contents[suffix])
            facts = load_source_encoder(files[SOURCE_SUFFIX]).facts
            if (encoder_folder(facts.encoder), facts.name) != key:
                raise InputError(
                    f"'{name}{SOURCE_SUFFIX}' is source '{facts.name}' of encoder '{facts.encoder}'"
                )
            if PROFILE_SUFFIX in files:
                load_profile(files[PROFILE_SUFFIX])
            if VECTORS_SUFFIX in files and name not in load_vectors(files[VECTORS_SUFFIX])[0]:
                raise InputError(f"'{name}{VECTORS_SUFFIX}' has no vectors of '{name}'")
        except InputError as error:
            raise InputError(str(error).replace(f"{place}/", f"{folder}/")) from None


class _Remote:
    """Sources in a folder elsewhere."""

    def __init__(self, address: str | Path) -> None:
        self._folder = open_remote(address, what="folder of sources")
        self.address = self._folder.address

    def sources(self) -> dict[tuple[str, str], list[str]]:
        """Return the suffixes of the files of each source, by the encoder's folder and name, sorted."""
        found: dict[tuple[str, str], list[str]] = {}
        for path in self._folder.names(depth=2):
            folder, _, name = path.rpartition("/")
            stem, suffix = Path(name).stem, Path(name).suffix
            if suffix in SOURCE_FILES and PLAIN_NAME.fullmatch(stem) and PLAIN_NAME.fullmatch(folder):
                found.setdefault((folder, stem), []).append(suffix)
        return {key: suffixes for key, suffixes in found.items() if SOURCE_SUFFIX in suffixes}

    def read(self, key: tuple[str, str], suffix: str) -> bytes:
        """Return the content of a file."""
        return self._folder.read(_name(key, suffix), most_bytes=MAX_SOURCE_BYTES)

    def write(self, key: tuple[str, str], contents: Contents) -> None:
        """Write the files of a source."""
        files = {_name(key, s): contents[s] for s in SOURCE_FILES if s in contents}
        self._folder.write(files, message=f"Source {key[1]} of encoder {key[0]}")


def _name(key: tuple[str, str], suffix: str) -> str:
    return f"{key[0]}/{key[1]}{suffix}"
