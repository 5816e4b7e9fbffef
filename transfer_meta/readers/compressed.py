"""Files as bytes, decompressed where they are compressed, with a limit on what they expand to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from transfer_meta.errors import InputError, first_line

MAX_RATIO = 200
"""Largest ratio of decompressed to compressed bytes, at any place of a file; that of text is 3 to 20."""
FREE_BYTES = 4 * 2**20
"""Decompressed bytes that are allowed whatever the ratio."""
MAX_WINDOW = 128 * 2**20
"""Largest number of bytes kept in memory since a packed file may refer back to them; ``xz -9`` needs half of it."""


def open_bytes(path: Path) -> BinaryIO:
    """Open a file to read its decompressed bytes; how it is compressed is told by its first bytes.

    Raises
    ------
    InputError
        No such file, no permission, a zip archive, or a suffix that the first bytes contradict.  Reading raises it
        for compressed data that is damaged, ends early, or expands beyond the limit.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
        stream = path.open("rb")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{path}: cannot be read: {reason}") from error
    magic = stream.read(4)
    opener = next((opener for start, opener in _OPENERS.items() if magic.startswith(start)), None)
    if opener is not None:
        stream.close()
        packed = path.open("rb")
        return cast(BinaryIO, io.BufferedReader(_LimitedStream(opener(packed), packed, path), 2**16))
    if magic == b"PK\x03\x04":
        stream.close()
        raise InputError(
            f"{path}: a zip archive; unpack it first ({', '.join(COMPRESSED_SUFFIXES)} files are read as they are)"
        )
    if magic and path.suffix.lower() in COMPRESSED_SUFFIXES:
        stream.close()
        raise InputError(
            f"{path}: named {path.suffix.lower()}, but its first bytes are of another format"
        )
    stream.seek(0)
    return cast(BinaryIO, stream)


def content_suffix(path: Path) -> str:
    """Return the lower-case suffix of a file's content.

    Examples
    --------
    >>> content_suffix(Path("a.CSV.gz")), content_suffix(Path("a.parquet")), content_suffix(Path("a.gz"))
    ('.csv', '.parquet', '')
    """
    compressed = path.suffix.lower() in COMPRESSED_SUFFIXES
    return (path.with_suffix("") if compressed else path).suffix.lower()


def _open_zstd(packed: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")


class _XzStream:
    """Decompressed bytes of an xz file; one whose header asks for more than `MAX_WINDOW` is refused."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._decompressor: lzma.LZMADecompressor | None = None
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        while True:
            if self._decompressor is None:
                # Another stream may follow, after zeros that fill four bytes.
                if not self._rest:
                    self._rest = self._packed.read(_CHUNK)
                self._rest = self._rest.lstrip(b"\0")
                if not self._rest:
                    if self._packed.peek(1):  # type: ignore[attr-defined]
                        continue
                    return b""
                self._decompressor = lzma.LZMADecompressor(memlimit=MAX_WINDOW + _XZ_OVERHEAD)
            packed, self._rest = self._rest, b""
            if not packed and self._decompressor.needs_input:
                packed = self._packed.read(_CHUNK)
                if not packed:
                    raise EOFError
            data = self._decompressor.decompress(packed, size)
            if self._decompressor.eof:
                self._rest = self._decompressor.unused_data
                self._decompressor = None
            if data:
                return data

    def close(self) -> None:
        """Let go of the decompressor."""
        self._decompressor = None


def _open_gzip(packed: BinaryIO) -> Any:
    return gzip.GzipFile(fileobj=packed)


COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
_CHUNK = 2**16
_XZ_OVERHEAD = 2**20
"""Memory beside the window."""
_OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": _open_gzip,
    b"\x28\xb5\x2f\xfd": _open_zstd,
    b"BZh": bz2.open,
    b"\xfd7zX": _XzStream,
}


class _LimitedStream(io.RawIOBase):
    """Decompressed bytes of a file; errors name the file."""

    def __init__(self, stream: Any, packed: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._packed = packed
        self._path = path
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except EOFError:
            raise InputError(
                f"{self._path}: the packed file ends early (a download cut short?)"
            ) from None
        except MemoryError:
            raise InputError(f"{self._path}: needs more memory to unpack than there is") from None
        except (OSError, zlib.error, lzma.LZMAError, ValueError) as error:
            # The decoders of xz and zstd, in that order; zstd's own limit is the same.
            if any(sign in str(error) for sign in ("Memory usage limit", "too much memory")):
                raise InputError(
                    f"{self._path}: needs more than {MAX_WINDOW // 2**20} MiB of memory to unpack; unpack it first"
                ) from error
            early = "Truncated" in str(error)  # Arrow's message for zstd
            what = "ends early (a download cut short?)" if early else f"is damaged: {first_line(error)}"
            raise InputError(f"{self._path}: the packed file {what}") from error
        self._count += len(data)
        # Against what has been read, not the size of the file: a large bomb is told as soon as a small one.
        if self._count > FREE_BYTES + MAX_RATIO * self._packed.tell():
            raise InputError(
                f"{self._path}: unfolds to over {MAX_RATIO} times its size;"
                " if it is not a decompression bomb, unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._packed.close()
        super().close()
