"""Scalars in TensorBoard event files.

An event file is a sequence of TFRecords (length, its checksum, data, the data's checksum), each an ``Event``
message of protocol buffers.  TensorBoard's own reader ends silently at the first damaged record and allocates any
length that a record states, so records are split here and tensorboardX decodes the messages.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from transfer_meta.errors import InputError
from transfer_meta.readers.compressed import open_bytes

MAX_RECORD = 64 * 2**20
"""Largest size of a record, in bytes: a scalar takes about a hundred, images may take millions."""


class Scalar(NamedTuple):
    """One logged number."""

    step: int
    tag: str
    value: float


def read_scalars(path: Path) -> Iterator[Scalar]:
    """Yield the scalars of an event file in the order they were written.

    Both encodings are read: ``simple_value``, and tensors without dimensions.  A truncated last record, as a
    running training leaves, is skipped.

    Raises
    ------
    InputError
        The file is not an event file or is damaged, or tensorboardX is not installed.
    """
    try:
        from google.protobuf.message import DecodeError
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c
    except ImportError:
        raise InputError(
            f"{path}: reading TensorBoard files needs tensorboardX"
            " (pip install 'transfer-meta[tensorboard]')"
        ) from None
    for number, record in enumerate(_records(path, masked_crc32c), 1):
        try:
            event = Event.FromString(record)
        except DecodeError:
            raise InputError(f"{path}: record {number} is damaged") from None
        for logged in event.summary.value:
            value = _number(logged)
            if value is not None:
                yield Scalar(event.step, logged.tag, value)


def _records(path: Path, checksum: Callable[[bytes], int]) -> Iterator[bytes]:
    with open_bytes(path) as stream:
        number = 1
        while len(header := stream.read(12)) == 12:
            length, expected = struct.unpack("<QI", header)
            if checksum(header[:8]) != expected:
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


def _number(logged: Any) -> float | None:
    """Return the number in a ``Summary.Value``, None if it holds anything but one float."""
    kind, tensor = logged.WhichOneof("value"), logged.tensor
    if kind == "simple_value":
        return logged.simple_value
    layouts = {1: ("<f", tensor.float_val), 2: ("<d", tensor.double_val)}  # DT_FLOAT, DT_DOUBLE
    if kind != "tensor" or tensor.tensor_shape.dim or tensor.dtype not in layouts:
        return None
    layout, numbers = layouts[tensor.dtype]
    if len(tensor.tensor_content) == struct.calcsize(layout):
        numbers = struct.unpack(layout, tensor.tensor_content)
    return float(numbers[0]) if len(numbers) == 1 else None
