from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest

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


def test_a_length_without_end_is_not_read(tmp_path: Path) -> None:
    from transfer_meta.features.curves import event_files

    header = struct.pack("<Q", 2**40)
    check = struct.pack("<I", event_files._masked_crc32c(header))
    with pytest.raises(InputError, match="longer than 64 MiB"):
        list(read_scalars(write(tmp_path / "e.tfevents", header + check)))


def test_the_checksum_is_crc32c() -> None:
    from transfer_meta.features.curves.event_files import _masked_crc32c

    # The check value of CRC-32C (RFC 3720) for these nine digits, masked as TFRecord does.
    crc = 0xE3069283
    assert _masked_crc32c(b"123456789") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32


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
