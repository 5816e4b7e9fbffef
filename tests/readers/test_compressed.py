"""Compressed files: recognition, damage, limits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tracemalloc
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers import compressed
from transfer_meta.readers.compressed import open_bytes


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)  # a dictionary of 256 KiB


PACKINGS = pytest.mark.parametrize("pack", [gzip.compress, zstd, bz2.compress, xz])


def read(path: Path) -> list[bytes]:
    with open_bytes(path) as stream:
        return list(stream)


def test_packing_is_known_by_the_first_bytes_not_by_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"a\nb\n"))
    assert read(path) == [b"a\n", b"b\n"]
    wrong = tmp_path / "a.csv.gz"
    wrong.write_bytes(b"a\nb\n")
    with pytest.raises(
        InputError, match=r"a\.csv\.gz: named \.gz, but its first bytes are of another format"
    ):
        open_bytes(wrong)


def test_several_gzip_members_and_zstd_frames_are_one_text(tmp_path: Path) -> None:
    for pack in (gzip.compress, zstd):
        path = tmp_path / "a.txt"
        path.write_bytes(pack(b"a\nb") + pack(b"c\n"))
        assert read(path) == [b"a\n", b"bc\n"]


@PACKINGS
def test_a_packed_file_cut_anywhere_is_one_error_line(tmp_path: Path, pack) -> None:
    data = pack("\n".join(f"line {i} {i * 7919}" for i in range(5000)).encode())
    path = tmp_path / "a.txt"
    for cut in (len(data) - 1, len(data) - 6, len(data) // 2, 20):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"a\.txt: the packed file ends early"):
            read(path)


def test_a_damaged_packed_file_is_one_error_line(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(("x y z\n" * 50 + "abc").encode() * 30))
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / "a.gz"
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"a\.gz: the packed file (is damaged|ends early)"):
        read(path)


@PACKINGS
def test_a_decompression_bomb_is_refused_before_memory_or_time_go(
    tmp_path: Path, pack, monkeypatch
) -> None:
    monkeypatch.setattr(compressed, "FREE_BYTES", 2**20)
    path = tmp_path / "bomb"
    path.write_bytes(pack((b" " * 999 + b"\n") * 30_000))
    tracemalloc.start()
    with (
        pytest.raises(
            InputError, match="200 times its size; if it is not a decompression bomb, unpack it first"
        ),
        open_bytes(path) as stream,
    ):
        for _ in stream:
            pass
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


@PACKINGS
def test_a_large_bomb_is_refused_as_early_as_a_small_one(tmp_path: Path, pack, monkeypatch) -> None:
    monkeypatch.setattr(compressed, "FREE_BYTES", 2**20)
    path = tmp_path / "bomb"
    path.write_bytes(pack((b" " * 999 + b"\n") * 4_000) * 500)
    read = 0
    with (
        pytest.raises(InputError, match="unfolds to over 200 times its size"),
        open_bytes(path) as stream,
    ):
        for line in stream:
            read += len(line)
    assert read < 20 * 2**20, "of 2 GB"


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_bytes(tmp_path / "a")
    with pytest.raises(InputError, match="not a file"):
        open_bytes(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read|no such file"):
        open_bytes(Path("a\0b"))
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK\x03\x04rest")
    with pytest.raises(InputError, match="a zip archive; unpack it first"):
        open_bytes(archive)


def xz_with_dictionary(number: int) -> bytes:
    """A small xz file whose header asks for a dictionary of 2^(number / 2 + 12) bytes (even numbers)."""
    data = bytearray(xz(b"a line\n" * 1000))
    start, size = 12, 4 * (data[12] + 1)
    data[data.index(b"\x21\x01") + 2] = number
    check = zlib.crc32(bytes(data[start : start + size - 4]))
    data[start + size - 4 : start + size] = struct.pack("<I", check)
    return bytes(data)


def zstd_with_window(log: int) -> bytes:
    """A zstd frame of one stored block that asks for a window of 2^log bytes."""
    text = b"a line\n" * 1000
    block = struct.pack("<I", len(text) << 3 | 1)[:3] + text
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + block


@pytest.mark.parametrize(
    "data", [xz_with_dictionary(32), xz_with_dictionary(40), zstd_with_window(28), zstd_with_window(41)]
)
def test_a_header_that_asks_for_much_memory_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"a\.txt: needs more than 128 MiB of memory to unpack; unpack it first"
    ):
        read(path)


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(b"a line\n" * 1000, preset=9),
        xz_with_dictionary(30),
        zstd_with_window(27),
        xz(b"a line\n" * 400) + bytes(8) + xz(b"a line\n" * 600),
    ],
)
def test_usual_windows_and_several_xz_streams_are_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert read(path) == [b"a line\n"] * 1000
