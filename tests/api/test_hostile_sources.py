"""Own source encoders whose names, headers and addresses are hostile: listed as escapes, or counted as broken."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer_meta.api.source_list import list_sources
from transfer_meta.cli.app import main
from transfer_meta.encoding.source_files import (
    ADDRESS_SUFFIX,
    FORMAT,
    encoder_folder,
    is_source_encoder,
    read_source_facts,
)
from transfer_meta.errors import InputError
from transfer_meta.results import HIDDEN

safetensors = pytest.importorskip("safetensors.numpy")

HOSTILE = "[red]\x1b[31m\x9b2J\u202e\u200b[link=x]<script>'\"\nerror: y"
FACTS: dict[str, Any] = {
    "name": "mine",
    "type": "classification",
    "labels": ["a", "b"],
    "encoder": "offline",
    "revision": "1",
    "digest": "d",
    "rank": 1,
    "examples": 10,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of own source encoders of the offline encoder."""
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "sources"))
    found = tmp_path / "sources" / encoder_folder("offline")
    found.mkdir(parents=True)
    return found


def write(path: Path, facts: Any = FACTS, **metadata: str) -> Path:
    text = facts if isinstance(facts, str) else json.dumps(facts)
    head = {"format": FORMAT, "facts": text, **metadata}
    safetensors.save_file({"a": np.zeros(2, np.float32)}, path, metadata=head)
    return path


def test_hostile_facts_are_shown_as_escapes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "mine.safetensors", FACTS | {"name": HOSTILE, "licence": HOSTILE, "digest": HOSTILE})
    (folder / "mine").with_suffix(ADDRESS_SUFFIX).write_text(f"{HOSTILE}.csv")
    for arguments in (["list"], ["list", "--trained"], ["list", "--json"], ["show", "mine"]):
        main(["sources", *arguments])
        printed = capsys.readouterr()
        shown = printed.out + printed.err
        assert set(HIDDEN.findall(shown)) <= {"\n"}
        assert not re.search(r"^error: y", shown, re.M)
    assert "mine" in set(list_sources().to_frame()["name"])


def test_files_and_folders_of_hostile_names_are_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("\x1b[31m", "a\nerror: y", "-rf", "..x", "<b>", "$(id)", "\u202ea", "'"):
        write(folder / f"{name}.safetensors")
    (folder.parent / "\x1b[31m\nerror: y").mkdir()
    write(folder.parent / "\x1b[31m\nerror: y" / "mine.safetensors")
    before = list_sources().to_frame()["name"].tolist()
    assert "mine" not in before
    assert not [name for name in before if not re.fullmatch(r"\w[\w.+-]*", name)]
    assert main(["sources", "list"]) == 0
    assert set(HIDDEN.findall(capsys.readouterr().out)) <= {"\n"}


@pytest.mark.parametrize(
    "facts",
    [
        "[" * 100_000,
        "null",
        "[]",
        "{}",
        "NaN",
        FACTS | {"labels": 1},
        FACTS | {"labels": None},
        FACTS | {"examples": 10**400},
        FACTS | {"examples": -5},
        FACTS | {"examples": "10"},
        FACTS | {"score": float("nan")},
        FACTS | {"score": float("inf")},
        FACTS | {"licence": "x" * 10**6},
        FACTS | {"licence": {"a": 1}},
        FACTS | {"type": HOSTILE},
        FACTS | {"type": "tagging"},
        FACTS | {"training": [1]},
        FACTS | {"__class__": "x"},
        FACTS | {HOSTILE: 1},
    ],
)
def test_a_hostile_header_is_one_line_and_counted(folder: Path, facts: Any) -> None:
    path = write(folder / "mine.safetensors", facts)
    with pytest.raises(InputError, match="its facts cannot be read") as error:
        read_source_facts(path)
    assert not HIDDEN.findall(str(error.value))
    assert len(str(error.value)) < 500 + len(str(path))
    assert "1 source encoders cannot be read" in list_sources().caption


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\xff" * 7 + b"\x7f", (2**40).to_bytes(8, "little"), b"\x02\0\0\0\0\0\0\0{}"],
)
def test_what_is_no_file_of_tensors_is_counted(folder: Path, content: bytes) -> None:
    path = folder / "mine.safetensors"
    path.write_bytes(content)
    assert not is_source_encoder(path)
    assert "cannot be read" in list_sources().caption


def test_a_pipe_and_a_folder_do_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "folder.safetensors").mkdir()
    assert "2 source encoders cannot be read" in list_sources().caption
