"""Files behind a URL, by fsspec: download, atomic upload, and errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transfer_meta.errors import InputError, first_line

UNFINISHED = ".part"
OBJECT_STORES = {"s3", "gs", "abfs", "oss"}
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
"""The package that fsspec needs for a protocol."""


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL."""

    url: str

    def download(self, path: Path) -> bool:
        """Copy the file to `path`; return False if there is no such file."""
        with one_line_errors(self.url):
            system, name = open_url(self.url)
            try:
                system.get_file(name, str(path))
            except FileNotFoundError:
                path.unlink(missing_ok=True)
                return False
        return True

    def upload(self, path: Path) -> None:
        """Upload the file at `path`, under another name first: readers see all of it or nothing."""
        with one_line_errors(self.url):
            system, name = open_url(self.url)
            make_folder(system, name.rpartition("/")[0])
            system.put_file(str(path), name + UNFINISHED)
            system.mv(name + UNFINISHED, name)


def open_url(url: str, *, option: str = "--checkpoints") -> tuple[Any, str]:
    """Return the fsspec file system of a URL and the path within it.

    Parameters
    ----------
    url : str
    option : str
        The option that the URL was given by, for messages; empty for an argument, which may name this process's
        memory.

    Raises
    ------
    InputError
        The protocol is unknown, its package is not installed, or it does not reach other processes.
    """
    import fsspec

    _check_protocol(url.partition(":")[0], option)
    system, path = fsspec.url_to_fs(url)
    return system, path.rstrip("/")


def make_folder(system: Any, path: str) -> None:
    """Make a folder, except in an object store, which has none and would make a missing bucket instead."""
    names = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if not OBJECT_STORES & set(names):
        system.makedirs(path, exist_ok=True)


@contextlib.contextmanager
def one_line_errors(address: str, what: str = "checkpoint folder") -> Iterator[None]:
    """Turn whatever a file system raises into an `InputError`: each has error classes of its own."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"the {what} '{address}' cannot be used: {reason}") from None


@cache
def _check_protocol(protocol: str, option: str) -> None:
    import fsspec

    if protocol == "memory" and option:
        raise InputError(f"{option} memory:// is in one process's memory (expected what all runs see)")
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        where = f" of {option}" if option else ""
        raise InputError(
            f"unknown protocol '{protocol}://'{where} (expected a folder, or s3://, gs:// or another that fsspec"
            " knows)"
        ) from None
    except ImportError:
        package = PACKAGES.get(protocol)
        install = f"pip install {package}" if package else "see fsspec's documentation for its package"
        raise InputError(
            f"{option} {protocol}:// needs a package that is not installed: {install}".lstrip()
        ) from None
