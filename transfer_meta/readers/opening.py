"""Text files in any encoding, compressed or not: lines and chunks of their text."""

from __future__ import annotations

import codecs
import functools
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from transfer_meta.errors import InputError, first_line, nearest
from transfer_meta.readers.compressed import open_bytes

MAX_LINE = 16 * 2**20
"""Largest line, cell or JSON value that is read, in bytes or characters."""
MAX_START = 4 * 2**20
"""Number of characters at a file's beginning that are read to detect its format."""

_HEAD = 4096
"""Number of bytes at a file's beginning from which its encoding and its line ends are detected."""
_MIN_ZERO_SHARE = 0.01
"""Smallest share of zero bytes in UTF-16; text of any script has spaces and line ends."""
_SPACES_AND_SEPARATORS = b' \t\r\n",;'
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
    """Return the given encoding, else that of the file's byte order mark or of its zero bytes, else UTF-8.

    Text of UTF-16 and UTF-32 without a mark has zero bytes at even or at odd places only.

    Raises
    ------
    InputError
        Python does not know the given encoding.
    """
    if encoding is None:
        with open_bytes(path) as stream:
            start = stream.read(_HEAD)
        marked = next((name for mark, name in _BOMS if start.startswith(mark)), None)
        return marked or _encoding_of_zeros(start) or "utf-8"
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


def _encoding_of_zeros(start: bytes) -> str | None:
    """Return the encoding of two or four bytes a character that the zero bytes of a file's beginning tell."""
    zeros = [start[place::4].count(0) for place in range(4)]
    if sum(zeros) < max(2, _MIN_ZERO_SHARE * len(start)):
        return None
    count = len(start) // 4
    if count and zeros[3] >= count and zeros[2] > 0.9 * count > 2 * zeros[0]:
        return "utf-32-le"
    if count and zeros[0] >= count and zeros[1] > 0.9 * count > 2 * zeros[3]:
        return "utf-32-be"
    # A character of any script may have a zero byte on either side, but not a space or the end of a line.
    pairs = list(zip(start[::2], start[1::2], strict=False))
    little = sum(high == 0 and low in _SPACES_AND_SEPARATORS for low, high in pairs)
    big = sum(high == 0 and low in _SPACES_AND_SEPARATORS for high, low in pairs)
    if max(little, big) > 4 * min(little, big):
        return "utf-16-le" if little > big else "utf-16-be"
    return None


def _line_end(stream: BinaryIO, encoding: str) -> str:
    """Return the carriage return if it ends the lines of a file, else the newline.

    It does if the beginning has it and no newlines, but for those within quotes.
    """
    head = stream.peek(_HEAD)[:_HEAD]  # type: ignore[attr-defined]
    if b"\r" not in head:
        return "\n"
    text = head.decode(encoding, "replace").replace("\r\n", "\n")
    outside = "".join(text.split('"')[::2])
    return "\r" if "\r" in outside and "\n" not in outside else "\n"


def text_lines(
    path: Path, encoding: str, on_damage: Callable[[int], None] | None = None
) -> Iterator[str]:
    """Yield the lines of a file with their line ends: a newline, or a carriage return (old Macs) throughout.

    Parameters
    ----------
    path : Path
    encoding : str
    on_damage : callable, optional
        Called with the number of each line of UTF-8 that cannot be decoded, which has U+FFFD for its wrong bytes.
        Without it, and where most lines beyond ASCII are no UTF-8, such a line is an error.

    Raises
    ------
    InputError
        A line over `MAX_LINE` bytes, or bytes that are not of the encoding.
    """
    number = 0
    by_bytes = True
    with open_bytes(path) as stream:
        try:
            line_end = _line_end(stream, encoding)
            by_bytes = line_end == "\n" and _splits_at_newline_bytes(encoding)
            if by_bytes:
                plain = "utf-8" if encoding == "utf-8-sig" else encoding
                for number, raw in enumerate(
                    iter(functools.partial(stream.readline, MAX_LINE + 1), b""), 1
                ):
                    if len(raw) > MAX_LINE:
                        raise _too_long(path, number)
                    if number == 1 and plain == "utf-8":
                        raw = raw.removeprefix(codecs.BOM_UTF8)
                    try:
                        line = raw.decode(plain)
                    except UnicodeDecodeError:
                        if on_damage is None or plain != "utf-8" or not _is_mostly_utf8(path):
                            raise
                        on_damage(number)
                        line = raw.decode(plain, "replace")
                    yield line
            else:
                text = io.TextIOWrapper(stream, encoding, newline=line_end)
                for line in iter(functools.partial(text.readline, MAX_LINE + 1), ""):
                    number += 1
                    if len(line) > MAX_LINE:
                        raise _too_long(path, number)
                    yield line
                number += 1
        except UnicodeError as error:
            if by_bytes:
                raise _wrong_encoding(path, number, encoding, error) from None
            raise _wrong_encoding(path, number + 1, encoding, error) from None


def _is_mostly_utf8(path: Path) -> bool:
    """Return whether more of a file's lines beyond ASCII are UTF-8 than are not."""
    state = path.stat()
    return _count_utf8(path, (state.st_size, state.st_mtime_ns)) > 0


@functools.lru_cache(maxsize=64)
def _count_utf8(path: Path, _state: tuple[int, int]) -> int:
    """Return the number of lines beyond ASCII that are UTF-8 minus that of the others, for one state of a file."""
    good = 0
    with open_bytes(path) as stream:
        for line in iter(functools.partial(stream.readline, MAX_LINE), b""):
            if not line.isascii():
                try:
                    line.decode()
                    good += 1
                except UnicodeDecodeError:
                    good -= 1
    return good


def first_lines(
    path: Path, encoding: str, count: int, on_damage: Callable[[int], None] | None = None
) -> list[str]:
    """Return the first `count` lines, fewer where they have over `MAX_START` characters; see `text_lines`."""
    found: list[str] = []
    size = 0
    for line in itertools.islice(text_lines(path, encoding, on_damage), count):
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
        f" set --encoding, for example --encoding {_likely_encoding(path, encoding)}"
    )


def _likely_encoding(path: Path, refused: str) -> str:
    """Return an encoding by which a whole file can be decoded."""
    for encoding in ("utf-8", "cp1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with open_bytes(path) as stream:
                for chunk in iter(functools.partial(stream.read, 2**20), b""):
                    decoder.decode(chunk)
                decoder.decode(b"", final=True)
        except (UnicodeError, InputError):
            continue
        if encoding != refused.removesuffix("-sig"):
            return encoding
    return "latin-1"
