from __future__ import annotations

import gzip
import random
import struct
import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.record_writer import masked_crc32c

from transfer_meta.errors import InputError
from transfer_meta.features.curves.event_files import Scalar, read_scalars


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_file_of_tensorboard(tmp_path: Path, event_file: bytes) -> None:
    found = list(read_scalars(write(tmp_path / "events.out.tfevents.1", event_file)))
    assert [s.step for s in found] == [100, 200, 300, 400, 400, 400]
    assert [s.tag for s in found] == ["train/loss"] * 4 + ["eval/loss", "eval/accuracy"]
    values = [s.value for s in found]
    assert values[:2] + values[3:] == [2.5, 2.0, 1.25, 1.5, 0.75]
    assert values[2] != values[2]


def test_a_packed_file(tmp_path: Path, event_file: bytes) -> None:
    path = write(tmp_path / "events.out.tfevents.1.gz", gzip.compress(event_file))
    assert len(list(read_scalars(path))) == 6


def test_the_last_record_of_a_running_training_is_left_out(tmp_path: Path, event_file: bytes) -> None:
    found = list(read_scalars(write(tmp_path / "events.out.tfevents.1", event_file[:-3])))
    assert found[-1] == Scalar(400, "eval/loss", 1.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"step,loss\n", "not a TensorBoard event file"),
        (b"step,loss\n1,2\n2,3\n", "not a TensorBoard event file"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_scalars(write(tmp_path / "events.out.tfevents.1", content)))


def test_a_damaged_file(tmp_path: Path, event_file: bytes) -> None:
    path = write(tmp_path / "events.out.tfevents.1", event_file + b"x" * 20)
    with pytest.raises(InputError, match="record 8 is damaged"):
        list(read_scalars(path))


def test_an_oversized_record_is_rejected(tmp_path: Path) -> None:
    header = struct.pack("<Q", 2**40)
    check = struct.pack("<I", masked_crc32c(header))
    with pytest.raises(InputError, match="longer than 64 MiB"):
        list(read_scalars(write(tmp_path / "e.tfevents", header + check)))


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, event_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX.proto.event_pb2", None)
    with pytest.raises(InputError, match=r"pip install 'transfer-meta\[tensorboard\]'"):
        list(read_scalars(write(tmp_path / "events.out.tfevents.1", event_file)))


def tensor(**fields: object) -> dict[str, object]:
    return {"tensor": TensorProto(**fields)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"simple_value": 0.5}, 0.5),
        (tensor(dtype="DT_DOUBLE", double_val=[0.1]), 0.1),
        (tensor(dtype="DT_DOUBLE", tensor_content=struct.pack("<d", 0.1)), 0.1),
        (tensor(dtype="DT_FLOAT", tensor_content=struct.pack("<f", 0.5)), 0.5),
        (tensor(dtype="DT_FLOAT", float_val=[1, 2]), None),
        (tensor(dtype="DT_FLOAT", float_val=[1], tensor_shape={"dim": [{"size": 1}]}), None),
        (tensor(dtype="DT_INT32", int_val=[1]), None),
        (tensor(dtype="DT_FLOAT"), None),
        ({}, None),
    ],
)
def test_values(tmp_path: Path, value: dict[str, object], expected: float | None) -> None:
    event = Event(step=7, summary=Summary(value=[Summary.Value(tag="loss", **value)]))
    data = event.SerializeToString()
    header = struct.pack("<Q", len(data))
    record = header + struct.pack("<I", masked_crc32c(header)) + data + bytes(4)
    found = list(read_scalars(write(tmp_path / "e.tfevents", record)))
    assert found == ([] if expected is None else [Scalar(7, "loss", expected)])


def test_mutations_give_a_result_or_an_error(tmp_path: Path, event_file: bytes) -> None:
    rng = random.Random(0)
    path = tmp_path / "events.out.tfevents.1"
    for _ in range(1500):
        content = bytearray(event_file)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content[: rng.randint(1, len(content))])
        try:
            list(read_scalars(path))
        except InputError as error:
            assert "\n" not in str(error)
