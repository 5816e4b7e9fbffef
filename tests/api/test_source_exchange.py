from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fake_hub import use_fake_hub
from result_checks import check_result
from source_samples import ENCODER, save_sample
from tiny_tasks import tiny

from transfer_meta.api.source_exchange import ExchangeSettings, pull_sources, push_sources
from transfer_meta.api.source_files_result import FILE_COLUMNS, SourceFiles
from transfer_meta.encoding.source_files import encoder_folder, find_own_files
from transfer_meta.errors import InputError
from transfer_meta.features.profile_files import save_profile
from transfer_meta.features.vectors.vector_files import save_vectors
from transfer_meta.records import TaskProfile, TaskType

PLACE = encoder_folder(ENCODER)
OTHER = "random:1x16"
TASK = tiny(TaskType.CLASSIFICATION)


@pytest.fixture
def place(sources: Path) -> Path:
    """Folder of two sources of one's own, one with profile and vectors; beside it one of another encoder."""
    folder = sources / PLACE
    for seed, name in enumerate(("films", "reviews")):
        save_sample(folder / f"{name}.safetensors", TASK, seed=seed)
    save_profile(folder / "films.json", TaskProfile(name="films", type=TASK.type, features={}))
    save_vectors(folder / "films.npz", {"films": {"tfidf": np.ones(3)}})
    save_sample(sources / encoder_folder(OTHER) / "small.safetensors", TASK, encoder=OTHER)
    return folder


@pytest.fixture(params=["folder", "memory", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for sources: a folder, and URLs."""
    return {
        "folder": str(tmp_path / "team files"),
        "memory": f"memory://{uuid.uuid4().hex}/sources",
        "file": f"file://{tmp_path}/bucket/",
    }[request.param]


def states(found: SourceFiles) -> dict[str, str]:
    return dict(zip(found.rows["name"], found.rows["status"], strict=True))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def write(address: str, name: str, content: bytes) -> None:
    """Replace a file at an address."""
    system, root = fsspec.url_to_fs(address)
    system.pipe_file(f"{root.rstrip('/')}/{PLACE}/{name}", content)


def test_sources_go_there_and_back(
    address: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    pushed = push_sources(address, on_progress=lambda *n: calls.append(n))
    check_result(pushed, FILE_COLUMNS)
    assert states(pushed) == {"films": "copied", "reviews": "copied", "small": "copied"}
    assert pushed.caption == f"{address.rstrip('/')}: 3 copied"
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert set(states(push_sources(address)).values()) == {"same"}

    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "mine"))
    pulled = pull_sources(address, ExchangeSettings(encoder=ENCODER))
    assert states(pulled) == {"films": "copied", "reviews": "copied"}
    assert contents(tmp_path / "mine" / PLACE) == contents(place)
    assert set(states(pull_sources(address)).values()) == {"same", "copied"}
    assert len(find_own_files()) == 3


def test_sources_go_to_the_hub_and_back(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = use_fake_hub(monkeypatch)
    assert set(states(push_sources("hf:me/sources")).values()) == {"copied"}
    assert hub.repositories["model", "me/sources"].private
    assert set(states(push_sources("hf:me/sources")).values()) == {"same"}
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "mine"))
    assert set(states(pull_sources("hf:me/sources")).values()) == {"copied"}
    assert contents(tmp_path / "mine" / PLACE) == contents(place)


@pytest.mark.parametrize("replace", [False, True])
def test_other_content_is_kept_unless_it_is_to_be_replaced(
    replace: bool, address: str, place: Path, tmp_path: Path
) -> None:
    push_sources(address)
    before = contents(place)
    save_sample(place / "films.safetensors", TASK, seed=7)
    changed = (place / "films.safetensors").read_bytes()
    settings = ExchangeSettings(replace=replace)
    pulled = pull_sources(address, settings)
    assert states(pulled)["films"] == ("copied" if replace else "kept")
    assert contents(place)["films.safetensors"] == (before["films.safetensors"] if replace else changed)
    (place / "films.safetensors").write_bytes(changed)
    pushed = push_sources(address, settings)
    assert states(pushed)["films"] == ("copied" if replace else "kept")
    assert "--replace" in str(pushed) or replace
    system, root = fsspec.url_to_fs(address)
    there = system.cat_file(f"{root.rstrip('/')}/{PLACE}/films.safetensors")
    assert there == (changed if replace else before["films.safetensors"])
    assert not [path for path in system.find(root) if path.endswith(".part")]


def _renamed(place: Path) -> bytes:
    return (place / "reviews.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("films.safetensors", lambda place: _renamed(place)[:-9], "cannot be read"),
        ("films.safetensors", lambda place: b"", "cannot be read"),
        ("films.safetensors", _renamed, "is source 'reviews' of encoder"),
        ("films.json", lambda place: b"{}", "not a task profile"),
        ("films.npz", lambda place: b"\x80\x04.", "not a file of task vectors"),
        ("films.npz", None, "has no vectors of 'films'"),
    ],
)
def test_broken_and_foreign_files_are_left_out(
    name: str,
    content: Callable[[Path], bytes] | None,
    reason: str,
    address: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push_sources(address)
    if content is None:
        save_vectors(tmp_path / "v.npz", {"reviews": {"tfidf": np.ones(3)}})
    write(address, name, content(place) if content else (tmp_path / "v.npz").read_bytes())
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "mine"))
    found = pull_sources(address)
    assert states(found) == {"films": "left out", "reviews": "copied", "small": "copied"}
    assert reason in found.rows.set_index("name").at["films", "reason"]
    assert reason in str(found)
    assert found.caption.endswith(": 2 copied, 1 left out")
    assert "films" not in [source for _, source in find_own_files()]


def test_names_that_are_not_plain_are_no_sources(place: Path, tmp_path: Path) -> None:
    there = tmp_path / "there" / PLACE
    there.mkdir(parents=True)
    content = (place / "films.safetensors").read_bytes()
    for name in (".films.x.safetensors", "a b.safetensors", "films.safetensors.part", "films.json"):
        (there / name).write_bytes(content)
    (there.parent / "films.safetensors").write_bytes(content)
    with pytest.raises(
        InputError, match=r"no sources in '.*there' \(expected ENCODER/NAME.safetensors"
    ):
        pull_sources(tmp_path / "there")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s4://bucket/x", "unknown protocol 's4://' .expected a folder, or s3://"),
        ("smb://user:s3cr3t@host/x", "the URL holds a password"),
        ("adl://bucket/x", "^adl:// needs a package that is not installed"),
        ("file:///proc/nothing/x", "the folder of sources 'file:///proc/nothing/x' cannot be used"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(address: str, message: str, place: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        push_sources(address)
    assert "\n" not in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_nothing_to_push_or_pull_is_told(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sources of your own in"):
        push_sources(tmp_path / "there")
    assert not (tmp_path / "there").exists()
    with pytest.raises(InputError, match="no sources in"):
        pull_sources(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no sources in"):
        pull_sources("memory://nowhere-at-all")
