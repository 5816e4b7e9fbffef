"""The scalars in a TensorBoard event file.

The reader is ours because every package that has one brings TensorBoard or TensorFlow with it, and a scalar
takes little: a file is a row of records (the TFRecord format: length, its checksum, data, the data's
checksum), a record is an ``Event`` message of protocol buffers, and all that is read of it are the step and the
tag and number of each value.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import open_bytes

#: Longest record, in bytes: a scalar's has about a hundred, one with images may have millions.
MAX_RECORD = 64 * 2**20

_FLOAT, _DOUBLE = 1, 2  # TensorProto's names of types


class Scalar(NamedTuple):
    """One logged number."""

    step: int
    tag: str
    value: float


def read_scalars(path: Path) -> Iterator[Scalar]:
    """The scalars of an event file in the order they were written.

    Both ways of writing them are read: ``simple_value`` and tensors without dimensions.  A last record that is cut
    short, as that of a training that still runs, is left out.

    Raises
    ------
    InputError
        Not an event file, or a damaged one.
    """
    for number, record in enumerate(_records(path), 1):
        try:
            yield from _scalars(memoryview(record))
        except (ValueError, IndexError, struct.error):
            raise InputError(f"{path}: record {number} is damaged") from None


def _records(path: Path) -> Iterator[bytes]:
    with open_bytes(path) as stream:
        number = 1
        while len(header := stream.read(12)) == 12:
            length, check = struct.unpack("<QI", header)
            if check != _masked_crc32c(header[:8]):
                what = "not a TensorBoard event file" if number == 1 else f"record {number} is damaged"
                raise InputError(f"{path}: {what}")
            if length > MAX_RECORD:
                raise InputError(f"{path}: record {number} is longer than {MAX_RECORD // 2**20} MiB")
            record = stream.read(length + 4)
            if len(record) < length + 4:
                return
            yield record[:length]
            number += 1
        if number == 1:
            raise InputError(
                f"{path}: {'not a TensorBoard event file' if header else 'the file is empty'}"
            )


def _scalars(event: memoryview) -> Iterator[Scalar]:
    step = 0
    values: list[memoryview] = []
    for field, value in _fields(event):
        if field == 2 and isinstance(value, int):
            step = value
        elif field == 5 and isinstance(value, memoryview):  # Summary
            values += [v for f, v in _fields(value) if f == 1 and isinstance(v, memoryview)]
    for message in values:
        parts = dict(_fields(message))
        tag = parts.get(1)
        if not isinstance(tag, memoryview):
            continue
        simple, tensor = parts.get(2), parts.get(8)
        if isinstance(simple, memoryview) and len(simple) == 4:
            number = struct.unpack("<f", simple)[0]
        elif isinstance(tensor, memoryview):
            number = _number(tensor)
        else:
            continue
        if number is not None:
            yield Scalar(step, bytes(tag).decode(), number)


def _number(tensor: memoryview) -> float | None:
    """The number in a TensorProto, where it has but one and that is a float."""
    parts = dict(_fields(tensor))
    shape = parts.get(2)
    if isinstance(shape, memoryview) and any(field == 2 for field, _ in _fields(shape)):
        return None
    kind = parts.get(1)
    if kind not in (_FLOAT, _DOUBLE):
        return None
    layout = "<f" if kind == _FLOAT else "<d"
    content = parts.get(4) or parts.get(5 if kind == _FLOAT else 6)
    if not isinstance(content, memoryview) or len(content) != struct.calcsize(layout):
        return None
    return float(struct.unpack(layout, content)[0])


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a message's fields: int for variable-length integers, else the bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if kind == 2:
            length, position = _varint(message, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if position + length > len(message):
            raise ValueError("a field longer than its message")
        yield key >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("an integer of more than 10 bytes")


def _masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    table = _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> list[int]:
    """CRC-32C (Castagnoli), reflected."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table
