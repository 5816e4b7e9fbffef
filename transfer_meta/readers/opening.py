"""Opening files that people hand over: packed or not, in any encoding, within bounds.

Nothing here trusts a file: a line has a bound, a packed file may not unfold without end, and whatever
goes wrong becomes an `InputError` with the file and, where there are lines, the line.
"""

from __future__ import annotations

import codecs
import functools
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from transfer_meta.errors import InputError, nearest

#: Longest line, cell or JSON value that is read, in bytes.
MAX_LINE = 16 * 2**20
#: Characters of a file's beginning that are looked at to tell how it is written.
MAX_START = 4 * 2**20
#: A packed file may unfold to this many times its size; text packs 3 to 20 times.
MAX_RATIO = 200
#: Bytes that any packed file may unfold to, whatever the ratio.
FREE_BYTES = 64 * 2**20

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Guarded(io.RawIOBase):
    """A packed file's bytes, with a bound on how far it unfolds and errors that name the file."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._bound = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
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
        except (OSError, zlib.error, ValueError) as error:
            early = "Truncated" in str(error)  # what Arrow says of zstd
            what = (
                "ends early (a download cut short?)" if early else f"is damaged: {_first_line(error)}"
            )
            raise InputError(f"{self._path}: the packed file {what}") from error
        self._count += len(data)
        if self._count > self._bound:
            raise InputError(
                f"{self._path}: unfolds to over {self._bound // 2**20} MiB, {MAX_RATIO} times its size;"
                " if it is not a decompression bomb, unpack it first"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def shown(text: str, width: int = 40) -> str:
    r"""A text from a file as an error may print it: short, on one line, without control characters.

    Examples
    --------
    >>> shown("two\nlines"), shown("a long one", 6)
    ('two\\nlines', 'a lon…')
    """
    text = text if len(text) <= width else text[: width - 1] + "…"
    return text if text.isprintable() else repr(text)[1:-1]


def open_bytes(path: Path) -> BinaryIO:
    """The unpacked bytes of a file; gzip and Zstandard are known by their first bytes.

    Raises
    ------
    InputError
        No such file, no permission, an archive, or a suffix that the first bytes contradict.  Reading on raises
        it for a packed file that is damaged, ends early, or unfolds beyond `MAX_RATIO`.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
        stream = path.open("rb")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {_first_line(error)}") from error
    magic = stream.read(4)
    stream.seek(0)
    suffix = path.suffix.lower()
    if magic[:2] == b"\x1f\x8b":
        packed: Any = gzip.GzipFile(fileobj=stream, mode="rb")
    elif magic == b"\x28\xb5\x2f\xfd":
        import pyarrow as pa

        stream.close()
        packed = pa.input_stream(str(path), compression="zstd")
    elif magic == b"PK\x03\x04":
        stream.close()
        raise InputError(
            f"{path}: a zip archive; unpack it first (.gz and .zst files are read as they are)"
        )
    elif magic and suffix in {".gz", ".zst"}:
        stream.close()
        raise InputError(f"{path}: named {suffix}, but its first bytes are of another format")
    else:
        return cast(BinaryIO, stream)
    # The inner gzip object does not close a file object that it was given.
    guarded = _Guarded(_Closing(packed, stream), path)
    return cast(BinaryIO, io.BufferedReader(guarded, 2**16))


class _Closing:
    """Two streams, one around the other, closed together."""

    def __init__(self, outer: Any, inner: Any) -> None:
        self.read = outer.read
        self._both = (outer, inner)

    def close(self) -> None:
        for stream in self._both:
            stream.close()


def check_encoding(encoding: str) -> str:
    """The encoding's name; an InputError with the nearest one where Python does not know it."""
    try:
        b"a".decode(encoding)
    except UnicodeError:
        pass  # known, but wider than a byte
    except (LookupError, ValueError):
        known = [
            "utf-8",
            "utf-16",
            "latin-1",
            "cp1252",
            "cp1250",
            "cp1251",
            "shift_jis",
            "gb18030",
            "big5",
        ]
        raise InputError(
            f"--encoding: unknown encoding '{encoding}' (for example utf-8, latin-1)"
            f"{nearest(encoding, known)}"
        ) from None
    return encoding


def find_encoding(path: Path, encoding: str | None) -> str:
    """The encoding given, or what the file's byte order mark says, or UTF-8."""
    if encoding is not None:
        return check_encoding(encoding)
    with open_bytes(path) as stream:
        start = stream.read(4)
    return next((name for mark, name in _BOMS if start.startswith(mark)), "utf-8")


def text_lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file with their line ends, read one at a time.

    Raises
    ------
    InputError
        A line over `MAX_LINE` bytes, or bytes that are not of the encoding.
    """
    number = 0
    with open_bytes(path) as stream:
        try:
            if _splits_at_newline_bytes(encoding):
                plain = "utf-8" if encoding == "utf-8-sig" else encoding
                for number, raw in enumerate(
                    iter(functools.partial(stream.readline, MAX_LINE + 1), b""), 1
                ):
                    if len(raw) > MAX_LINE:
                        raise _too_long(path, number)
                    if number == 1 and plain == "utf-8":
                        raw = raw.removeprefix(codecs.BOM_UTF8)
                    yield raw.decode(plain)
            else:
                text = io.TextIOWrapper(stream, encoding, newline="\n")
                for line in iter(functools.partial(text.readline, MAX_LINE + 1), ""):
                    number += 1
                    if len(line) > MAX_LINE:
                        raise _too_long(path, number)
                    yield line
                number += 1
        except UnicodeError as error:
            if _splits_at_newline_bytes(encoding):
                raise _wrong_encoding(path, number, encoding, error) from None
            raise _wrong_encoding(path, number + 1, encoding, error) from None


def first_lines(path: Path, encoding: str, count: int) -> list[str]:
    """Up to `count` lines from the beginning, fewer where they are long."""
    found: list[str] = []
    size = 0
    for line in itertools.islice(text_lines(path, encoding), count):
        found.append(line)
        size += len(line)
        if size > MAX_START:
            break
    return found


def text_chunks(path: Path, encoding: str, size: int = 2**16) -> Iterator[str]:
    """The text of a file in pieces of at most `size` characters."""
    line = 1
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
        try:
            while chunk := text.read(size):
                line += chunk.count("\n")
                yield chunk
        except UnicodeError as error:
            raise _wrong_encoding(path, line, encoding, error) from None


@functools.cache
def _splits_at_newline_bytes(encoding: str) -> bool:
    return "\n".encode(encoding) == b"\n" or encoding == "utf-8-sig"


def _too_long(path: Path, line: int) -> InputError:
    return InputError(f"{path}:{line}: the line is longer than {MAX_LINE // 2**20} MiB")


def _wrong_encoding(path: Path, line: int, encoding: str, error: UnicodeError) -> InputError:
    if isinstance(error, UnicodeDecodeError):
        what = f"byte 0x{error.object[error.start]:02x}"
    else:
        what = _first_line(error)
    return InputError(
        f"{path}:{line}: not {encoding.removesuffix('-sig')} ({what});"
        " set --encoding, for example --encoding latin-1"
    )


def _first_line(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__
