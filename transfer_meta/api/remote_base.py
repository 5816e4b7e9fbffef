"""Interface of folders elsewhere that files are copied to and from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from transfer_meta.errors import InputError


class RemoteFolder(ABC):
    """A folder of files that may be on another machine; names are paths within it, with slashes.

    Parameters
    ----------
    address : str
        As the user gave it.
    what : str
        What the folder is for, in messages.
    """

    address: str
    what: str

    @abstractmethod
    def names(self, *, depth: int | None = None) -> list[str]:
        """Return the names of all files, sorted; none where there is no such folder."""

    @abstractmethod
    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Return the sizes in bytes of those of the files that there are."""

    @abstractmethod
    def fetch(self, name: str, path: Path, *, most_bytes: int) -> None:
        """Copy a file to `path`; raises InputError if there is none, or it is larger than `most_bytes`."""

    @abstractmethod
    def write(
        self, files: Mapping[str, bytes | Path], *, remove: Collection[str] = (), message: str = ""
    ) -> None:
        """Write files in their order, each whole or not at all, and remove others.

        Parameters
        ----------
        files : mapping of str to bytes or Path
            Contents, or where they are.
        remove : collection of str
            Names of files.
        message : str
            What is done, for places that keep a history.
        """

    def read(self, name: str, *, most_bytes: int) -> bytes:
        """Return the content of a file; see `fetch`."""
        import tempfile

        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "file"
            self.fetch(name, path, most_bytes=most_bytes)
            return path.read_bytes()

    def refuse(self, reason: str) -> InputError:
        """Return the error that the folder cannot be used."""
        return InputError(f"the {self.what} '{self.address}' cannot be used: {reason}")

    def refuse_size(self, name: str, most_bytes: int) -> InputError:
        """Return the error that a file is too large."""
        return self.refuse(f"{name} is larger than {most_bytes:,} bytes")
