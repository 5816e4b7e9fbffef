"""Text files in any encoding, compressed or not: lines and chunks of their text."""

from __future__ import annotations

import codecs
import functools
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from transfer_meta.errors import InputError, first_line, nearest
from transfer_meta.readers.compressed import open_bytes

MAX_LINE = 16 * 2**20
"""Largest line, cell or JSON value that is read, in bytes or characters."""
MAX_START = 4 * 2**20
"""Number of characters at a file's beginning that are read to detect its format."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMON_ENCODINGS = (
    "utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "cp1251", "shift_jis", "gb18030", "big5",
)  # fmt: skip


def shown(text: str, width: int = 40) -> str:
    r"""Return a text from a file as an error prints it: short, on one line, without control characters.

    Examples
    --------
    >>> shown("two\nlines"), shown("a long one", 6)
    ('two\\nlines', 'a lon…')
    """
    text = text if len(text) <= width else text[: width - 1] + "…"
    return text if text.isprintable() else repr(text)[1:-1]


def find_encoding(path: Path, encoding: str | None) -> str:
    """Return the given encoding, else that of the file's byte order mark, else UTF-8.

    Raises
    ------
    InputError
        Python does not know the given encoding.
    """
    if encoding is None:
        with open_bytes(path) as stream:
            start = stream.read(4)
        return next((name for mark, name in _BOMS if start.startswith(mark)), "utf-8")
    try:
        b"a".decode(encoding)
    except UnicodeError:
        pass  # known, but wider than a byte
    except (LookupError, ValueError):
        raise InputError(
            f"--encoding: unknown encoding '{encoding}' (for example utf-8, latin-1)"
            f"{nearest(encoding, _COMMON_ENCODINGS)}"
        ) from None
    return encoding


def text_lines(path: Path, encoding: str) -> Iterator[str]:
    """Yield the lines of a file with their line ends.

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
    """Return the first `count` lines, fewer where they have over `MAX_START` characters."""
    found: list[str] = []
    size = 0
    for line in itertools.islice(text_lines(path, encoding), count):
        found.append(line)
        size += len(line)
        if size > MAX_START:
            break
    return found


def text_chunks(path: Path, encoding: str, size: int = 2**16) -> Iterator[str]:
    """Yield the text of a file in chunks of at most `size` characters."""
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
    what = first_line(error)
    if isinstance(error, UnicodeDecodeError):
        what = f"byte 0x{error.object[error.start]:02x}"
    return InputError(
        f"{path}:{line}: not {encoding.removesuffix('-sig')} ({what});"
        " set --encoding, for example --encoding latin-1"
    )
