from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.checked_files import MAX_DEPTH, parse_json, read_bounded, read_file_in


def link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside.txt"
    outside.write_text("secret")
    path.symlink_to(outside)


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link_outside, "outside of the folder"),
        (lambda p: p.symlink_to("/dev/zero"), "outside of the folder"),
        (lambda p: p.symlink_to(p.name), "Symbolic link loop|Too many levels|cannot be read"),
        (lambda p: os.mkfifo(p), "not a regular file"),
        (lambda p: p.mkdir(), "not a regular file|directory"),
        (giant, "larger than 1,000 bytes"),
        (lambda p: p.write_bytes(b"x" * 1001), "larger than 1,000 bytes"),
        (lambda p: None, "No such file"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused(tmp_path: Path, make, message: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder / "a.txt")
    with pytest.raises(InputError, match=message) as error:
        read_file_in(folder, "a.txt", most_bytes=1000)
    assert "\n" not in str(error.value)


def test_files_and_links_inside_the_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 1000)
    (tmp_path / "b.txt").symlink_to("a.txt")
    for name in ("a.txt", "b.txt"):
        assert read_file_in(tmp_path, name, most_bytes=1000) == b"x" * 1000
    (tmp_path / "folder").symlink_to(tmp_path)
    assert read_file_in(tmp_path / "folder", "a.txt", most_bytes=1000) == b"x" * 1000


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices here")
def test_a_device_is_no_file() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_bounded(Path("/dev/zero"), most_bytes=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "deeper than"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "deeper than"),
        ('{"a":' * 5_000, "deeper than"),
        ("[" + "[]," * 2_000_001 + "[]]", "more than 2,000,000"),
        ('{"a": 1, "a": 2}', "a key twice"),
        ('{"a": {"b": 1, "b": 2}}', "a key twice"),
        ("{", "no JSON"),
        ("", "no JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "no JSON"),
    ],
)
def test_hostile_json_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"x.json.*{message}") as error:
        parse_json(text, "x.json")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_brackets_in_texts_do_not_count() -> None:
    text = '{"a": "' + "[" * 100 + '\\"{", "b": [[NaN, 1]]}'
    assert parse_json(text, "x")["a"] == "[" * 100 + '"{'
