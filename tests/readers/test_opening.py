"""Opening files: encodings, packed files, bounds."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers import opening
from transfer_meta.readers.opening import (
    find_encoding,
    first_lines,
    open_bytes,
    text_chunks,
    text_lines,
)

TEXT = "eins\nzwei äöü €\n\ndrei 日本 😀"


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def read(path: Path, encoding: str | None = None) -> list[str]:
    return list(text_lines(path, find_encoding(path, encoding)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "utf-16-le"])
def test_every_packing_and_encoding_gives_the_same_lines(tmp_path: Path, pack, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(pack(TEXT.encode(encoding)))
    named = encoding if encoding in ("gb18030", "utf-16-le") else None  # the others bear a mark
    assert read(path, named) == TEXT.splitlines(keepends=True)
    assert "".join(text_chunks(path, find_encoding(path, named), 3)) == TEXT


def test_packing_is_known_by_the_first_bytes_not_by_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"a\nb\n"))
    assert read(path) == ["a\n", "b\n"]
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
        assert read(path) == ["a\n", "bc\n"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
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


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_a_decompression_bomb_is_refused_before_memory_or_time_go(
    tmp_path: Path, pack, monkeypatch
) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 2**20)
    path = tmp_path / "bomb"
    path.write_bytes(pack((b" " * 999 + b"\n") * 30_000))
    tracemalloc.start()
    with pytest.raises(
        InputError, match="200 times its size; if it is not a decompression bomb, unpack it first"
    ):
        for _ in text_lines(path, "utf-8"):
            pass
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_line_of_fifty_megabytes_is_refused_and_not_held(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("short\n" + "x" * (50 * 2**20)).encode(encoding))
    lines = text_lines(path, encoding)
    assert next(lines) == "short\n"
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.txt:2: the line is longer than 16 MiB"):
        next(lines)
    # The line up to the bound, once as bytes and (UTF-16) once or twice as text.
    assert tracemalloc.get_traced_memory()[1] < 3.5 * opening.MAX_LINE
    tracemalloc.stop()


def test_bytes_of_another_encoding_name_the_line_and_the_option(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("a\nb\ncafé\n".encode("latin-1"))
    with pytest.raises(
        InputError, match=r"a\.txt:3: not utf-8 \(byte 0xe9\); set --encoding, for example"
    ):
        read(path)
    assert read(path, "latin-1")[2] == "café\n"
    with pytest.raises(InputError, match=r"a\.txt:\d: not utf-8"):
        list(text_chunks(path, "utf-8"))


@pytest.mark.parametrize("name", ["latin-11", "hex", "", "no\0such", "rot13"])
def test_an_unknown_encoding_names_the_option(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    with pytest.raises(InputError, match="--encoding: unknown encoding"):
        find_encoding(path, name)


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


def test_first_lines_stop_at_a_bound(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abc\n" * 100)
    assert len(first_lines(path, "utf-8", 10)) == 10
    monkeypatch.setattr(opening, "MAX_START", 9)
    assert len(first_lines(path, "utf-8", 10)) == 3
