"""Headers of the pages of a Parquet file: what a column takes unpacked, whatever the file's footer says of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAX_HEADER = 2**16
"""Bytes read for one page header; statistics with long texts may make it longer than its some 30 bytes."""
_MAX_NESTING = 8
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12


DELTA_BYTE_ARRAY = 7
"""Encoding of texts as what differs from the text before: a few bytes may stand for a long one."""


class BadPage(ValueError):  # noqa: N818
    """Bytes that are no page, or none that can be read."""


@dataclass(frozen=True)
class Page:
    """One page, as its own header describes it.

    Parameters
    ----------
    column : int
    place, packed : int
        Where its content begins in the file, and its size there.
    unpacked : int
        Bytes that the reader allocates for it.
    values : int
        Number of cells, those of lists one by one; 0 for a page that holds a dictionary.
    encoding : int
        Number of an encoding, -1 for a dictionary.
    """

    column: int
    place: int
    packed: int
    unpacked: int
    values: int
    encoding: int


def pages(file: pa.NativeFile, facts: pq.FileMetaData) -> Iterator[Page]:
    """Yield the pages of all columns.

    Parameters
    ----------
    file : NativeFile
        Seekable.
    facts : FileMetaData
        The footer, which tells where each column's pages begin and how many packed bytes they are.

    Raises
    ------
    BadPage
        A header that cannot be read.
    """
    for group in range(facts.num_row_groups):
        for column in range(facts.num_columns):
            chunk = facts.row_group(group).column(column)
            place = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < place:
                place = chunk.dictionary_page_offset
            # Of a column without values no page is read; the places of its pages may be any.
            end = place + chunk.total_compressed_size if chunk.num_values else place
            if not 0 <= place <= end <= file.size():
                raise BadPage("a column begins or ends outside of the file")
            while place < end:
                file.seek(place)
                header = _Compact(file.read(min(_MAX_HEADER, end - place)))
                page = _page(header.struct(), column, place + header.place)
                yield page
                place = page.place + page.packed


def _page(fields: dict[int, Any], column: int, place: int) -> Page:
    # The headers of data pages are field 5, or 8 in the second version; their encoding is field 2, or 4.
    number, data = next(((n, fields[n]) for n in (5, 8) if n in fields), (0, {1: 0}))
    encoding = {5: 2, 8: 4}.get(number)
    facts: dict[int, Any] = data if isinstance(data, dict) else {}
    found = [fields.get(3), fields.get(2), facts.get(1), facts.get(encoding) if encoding else 0]
    sizes = [value for value in found if isinstance(value, int) and value >= 0]
    if len(sizes) < len(found):
        raise BadPage("a page header without sizes")
    packed, unpacked, values, kind = sizes
    return Page(column, place, packed, unpacked, values, kind if encoding else -1)


def longest_text(file: pa.NativeFile, page: Page, codec: str) -> int:
    """Return the length in bytes of the longest text of a dictionary's page.

    Parameters
    ----------
    file : NativeFile
    page : Page
    codec : str
        Name of the column's compression in the footer.

    Raises
    ------
    BadPage
        The page cannot be unpacked, or is no list of texts.
    """
    import pyarrow as pa

    file.seek(page.place)
    content = file.read(page.packed)
    try:
        if codec != "UNCOMPRESSED":
            name = {"LZ4": "lz4_raw"}.get(codec, codec.lower())
            content = pa.Codec(name).decompress(content, page.unpacked, asbytes=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadPage(f"a dictionary that cannot be unpacked ({codec})") from error
    longest = place = 0
    while place + 4 <= len(content):
        (length,) = struct.unpack_from("<I", content, place)
        longest = max(longest, length)
        place += 4 + length
    return longest


class _Compact:
    """Reader of Thrift's compact protocol, in which page headers are written."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the values of a struct by the numbers of its fields."""
        if depth > _MAX_NESTING:
            raise BadPage("a page header nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            step, kind = kind >> 4, kind & 15
            number = number + step if step else self._integer()
            found[number] = kind == _BOOLEANS[0] if kind in _BOOLEANS else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind in (*_BOOLEANS, _BYTE):
            return self._byte()
        if kind in _LISTS and depth < _MAX_NESTING:
            size = self._byte()
            count, kind = size >> 4, size & 15
            count = self._varint() if count == 15 else count
            if count > len(self._data):
                raise BadPage("a page header with too long a list")
            return [self._value(kind, depth + 1) for _ in range(count)]
        raise BadPage("a page header with an unknown type")

    def _bytes(self, count: int) -> bytes:
        start, self.place = self.place, self.place + count
        if self.place > len(self._data):
            raise BadPage("a page header that ends early")
        return self._data[start : self.place]

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _varint(self) -> int:
        found = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise BadPage("a page header with too long a number")

    def _integer(self) -> int:
        packed = self._varint()
        return packed >> 1 ^ -(packed & 1)
