"""Opening text files: encodings, limits."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers import opening
from transfer_meta.readers.opening import find_encoding, first_lines, text_chunks, text_lines

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
        InputError,
        match=r"a\.txt:3: not utf-8 \(byte 0xe9\); set --encoding, for example --encoding cp1252",
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


def test_first_lines_stop_at_a_bound(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abc\n" * 100)
    assert len(first_lines(path, "utf-8", 10)) == 10
    monkeypatch.setattr(opening, "MAX_START", 9)
    assert len(first_lines(path, "utf-8", 10)) == 3


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["text,label\n", "日本語の文, 長い,x\n" * 40 + "\n", TEXT * 500])
def test_wide_encodings_without_a_mark(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    assert find_encoding(path, None) == encoding
    assert "".join(read(path)) == text


@pytest.mark.parametrize("data", [b"\0", b"", b"one \0 zero", b"\0" * 99, b"a\0" * 3 + b"b\0\0c" * 40])
def test_zero_bytes_of_other_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert find_encoding(path, None) == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_carriage_returns_that_end_lines(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes('a,b\r"c\nd",e\r'.encode(encoding))
    assert read(path) == ["a,b\r", '"c\nd",e\r']
    path.write_bytes('a,b\n"c\rd\re",f\rg\n'.encode(encoding))
    assert read(path) == ["a,b\n", '"c\rd\re",f\rg\n']


def test_an_encoding_is_proposed_that_the_whole_file_is_of(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n\x93quoted\x94\n")
    with pytest.raises(InputError, match="--encoding cp1252$"):
        read(path)
    path.write_bytes(b"a\n\x93quoted\x94\n\x81\n")
    with pytest.raises(InputError, match="--encoding latin-1$"):
        read(path)
    path.write_bytes("ä".encode() * 10)
    with pytest.raises(InputError, match="not ascii .* --encoding utf-8$"):
        read(path, "ascii")
