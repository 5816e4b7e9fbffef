"""Checkpoints behind a URL, by fsspec: runs work on local copies, which travel before and after.

Each upload goes under another name first and is moved when it is whole, so a reader finds all of a file or nothing
on any file system.  What is downloaded stays in this machine's temporary folder for the next run that starts from
it: the claim's token in its name stands for one content for ever.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from transfer_meta.errors import InputError
from transfer_meta.files import digest
from transfer_meta.provenance import is_alive
from transfer_meta.runs.checkpoints.folder import Checkpoints

# Encoders that stay on a machine; those used last.
KEPT = 8
UNFINISHED = ".part"
OBJECT_STORES = {"s3", "gs", "abfs", "oss"}
# The package of a protocol.
INSTALL = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL."""

    url: str

    def download(self, path: Path) -> bool:
        """Copy it to a path; False where it is not there."""
        with _readable(self.url):
            files, name = _open(self.url)
            try:
                files.get_file(name, str(path))
            except FileNotFoundError:
                path.unlink(missing_ok=True)
                return False
        return True

    def upload(self, path: Path) -> None:
        """Put a file in its place, whole or not at all."""
        with _readable(self.url):
            files, name = _open(self.url)
            _make_folder(files, name.rpartition("/")[0])
            files.put_file(str(path), name + UNFINISHED)
            files.mv(name + UNFINISHED, name)


class CheckpointBucket(Checkpoints):
    """Checkpoints behind a URL.

    Parameters
    ----------
    url
        Of a folder or of a bucket's prefix, as fsspec reads it.
    create
        See whether it can be written to.

    Raises
    ------
    InputError
        It cannot be reached or written to, the protocol is unknown or not installed, or it holds a password.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.address = url.rstrip("/")
        if urlsplit(url).password:
            raise InputError(
                "--checkpoints holds a password, which runs would show (expected it in fsspec's configuration)"
            )
        with _readable(self.address):
            self._system, self._root = _open(self.address)
            if create:
                _make_folder(self._system, self._root)
        if create and not self.is_writable():
            raise InputError(f"cannot write to the checkpoint folder '{self.address}'")
        self.tokens = local_folder() / "tokens"

    def file(self, name: str) -> RemoteFile:
        """What a run makes a local copy of."""
        return RemoteFile(f"{self.address}/{name}")

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        with _readable(self.address):
            self._system.invalidate_cache()
            try:
                return int(self._system.size(self._path(name)))
            except FileNotFoundError:
                return None

    def read(self, name: str) -> str:
        """A small file; an empty text where there is none."""
        with _readable(self.address):
            try:
                return bytes(self._system.cat_file(self._path(name))).decode()
            except FileNotFoundError:
                return ""

    def write(self, name: str, text: str) -> None:
        """Write a small file."""
        with _readable(self.address):
            self._system.pipe_file(self._path(name), text.encode())

    def is_writable(self) -> bool:
        """Whether this machine may write here: it tries."""
        probe = self._path(f".probe-{os.urandom(8).hex()}")
        with _readable(self.address):
            try:
                self._system.pipe_file(probe, b"probe")
                self._system.rm_file(probe)
            except PermissionError:
                return False
        return True

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _folders(self) -> list[str]:
        return self._list(self._root, "directory")

    def _files(self, folder: str) -> list[str]:
        return self._list(self._path(folder), "file")

    def _list(self, path: str, kind: str) -> list[str]:
        with _readable(self.address):
            self._system.invalidate_cache()
            try:
                entries = self._system.ls(path, detail=True)
            except FileNotFoundError:
                return []
        return [e["name"].rstrip("/").rpartition("/")[2] for e in entries if e["type"] == kind]

    def _remove(self, name: str) -> int:
        with _readable(self.address):
            self._system.invalidate_cache()
            try:
                freed = int(self._system.du(self._path(name)))
                self._system.rm(self._path(name), recursive=True)
            except FileNotFoundError:
                return 0
        return freed


@contextlib.contextmanager
def local_copies(
    start: RemoteFile | None, save: RemoteFile | None, state: RemoteFile
) -> Iterator[tuple[Path | None, Path | None, Path]]:
    """Paths on this machine in place of a run's remote files, which get what the run leaves there.

    Parameters
    ----------
    start
        The encoder to start from; it is downloaded where this machine has it not.
    save
        Where the run leaves its encoder.
    state
        Where a stopped run leaves its state, and where an earlier attempt may have left one.

    Raises
    ------
    InputError
        A file cannot be read or written.
    """
    with _own_folder() as folder:
        own_start = folder / "start.safetensors" if start else None
        if start and own_start:
            _fetch(start, own_start)
        own_save = folder / "encoder.safetensors" if save else None
        own_state = folder / "state"
        state.download(own_state)
        there = own_state.stat().st_mtime_ns if own_state.exists() else None
        try:
            yield own_start, own_save, own_state
        finally:
            if own_state.exists() and own_state.stat().st_mtime_ns != there:
                state.upload(own_state)
        if save and own_save and own_save.exists():
            save.upload(own_save)


def local_folder() -> Path:
    """Where this machine keeps what it has of buckets: a folder of this user in ``$TMPDIR``."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    path = Path(tempfile.gettempdir()) / f"transfer-meta-{owner}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        (path / "encoders").mkdir(exist_ok=True)
        if path.stat().st_uid not in (owner, 0):
            raise InputError(f"'{path}' belongs to somebody else (expected a TMPDIR of one's own)")
    except OSError as error:
        raise InputError(f"cannot write to '{path}': {error.strerror}") from None
    return path


def _fetch(file: RemoteFile, path: Path) -> None:
    """Have a file at a path, by a link where this machine has it already."""
    kept = local_folder() / "encoders" / digest(file.url)[:32]
    try:
        os.link(kept, path)
        os.utime(path)
        return
    except OSError:
        if not file.download(path):
            raise InputError(f"the checkpoint '{file.url}' is gone") from None
    # Where there are no links, or another run was faster, this run's copy does.
    with contextlib.suppress(OSError):
        os.link(path, kept)
        by_use = sorted(kept.parent.iterdir(), key=lambda entry: entry.stat().st_mtime)
        for entry in by_use[:-KEPT]:
            entry.unlink()


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for one run; those that killed processes left are removed."""
    parent = local_folder()
    for entry in parent.glob("run-*"):
        if not is_alive(int(entry.name.split("-")[1])):
            shutil.rmtree(entry, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _files_of(protocol: str) -> None:
    """Raise an InputError where fsspec cannot speak a protocol."""
    import fsspec

    if protocol == "memory":
        raise InputError(
            "--checkpoints memory:// is in one process's memory (expected what all runs see)"
        )
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise InputError(
            f"unknown protocol '{protocol}://' of --checkpoints (expected a folder, or s3://, gs:// or another "
            "that fsspec knows)"
        ) from None
    except ImportError:
        package = INSTALL.get(protocol)
        install = f"pip install {package}" if package else "see fsspec's documentation for its package"
        raise InputError(
            f"--checkpoints {protocol}:// needs a package that is not installed: {install}"
        ) from None


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    import fsspec

    _files_of(url.partition(":")[0])
    files, path = fsspec.url_to_fs(url)
    return files, path.rstrip("/")


def _make_folder(files: Any, path: str) -> None:
    """Make a folder where there are folders; an object store would make a bucket that is not there instead."""
    names = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    if not OBJECT_STORES & set(names):
        files.makedirs(path, exist_ok=True)


@contextlib.contextmanager
def _readable(address: str) -> Iterator[None]:
    """Whatever a file system raises, as one line: each has errors of its own."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0] or "no reason given"
        raise InputError(
            f"the checkpoint folder '{address}' cannot be used: {type(error).__name__}: {reason}"
        ) from None
