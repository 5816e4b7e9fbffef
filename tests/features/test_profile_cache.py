from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfer_meta.features.profile_cache import ProfileCache, cache_folder
from transfer_meta.features.task_profile import profile_task
from transfer_meta.records import Example, TaskProfile
from transfer_meta.tasks.task import Task

EXAMPLES = [Example("a fine film", "good"), Example("no film", "bad")]


@pytest.fixture
def profile() -> TaskProfile:
    return profile_task(Task.from_iterable("reviews", "classification", {"train": EXAMPLES}))


def test_round_trip(tmp_path: Path, profile: TaskProfile) -> None:
    cache = ProfileCache(tmp_path)
    assert cache.get("abc") is None
    cache.put("abc", profile)
    found = cache.get("abc")
    assert found is not None
    assert found.to_json() == profile.to_json()
    assert set(found.sketches) == set(profile.sketches)
    for name, array in found.sketches.items():
        assert array.dtype == profile.sketches[name].dtype
        np.testing.assert_array_equal(array, profile.sketches[name])


def test_broken_entries_give_a_warning(tmp_path: Path, profile: TaskProfile) -> None:
    told: list[str] = []
    cache = ProfileCache(tmp_path, tell=told.append)
    cache.put("abc", profile)
    (path,) = tmp_path.rglob("*.profile")
    whole = path.read_bytes()
    broken = [b"", b"\n", b"{}\n", b"\xff\x00", whole[:-1], whole[:40], whole + b"x", b"[" * 99_999]
    broken += [
        whole.replace(b"<u8", b"|O8"),
        whole[:-3] + b"xyz",
        whole.replace(b'"crc32"', b'"crc33"'),
    ]
    for content in broken:
        path.write_bytes(content)
        assert cache.get("abc") is None
    assert len(told) == len(broken)
    assert all("broken cache entry" in line and "\n" not in line for line in told)


def test_an_unwritable_cache_gives_a_warning(tmp_path: Path, profile: TaskProfile) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    ProfileCache(tmp_path / "file", tell=told.append).put("abc", profile)
    assert len(told) == 1
    assert "not cached" in told[0]


def test_warnings_are_the_default(tmp_path: Path, profile: TaskProfile) -> None:
    cache = ProfileCache(tmp_path)
    cache.put("abc", profile)
    next(tmp_path.rglob("*.profile")).write_bytes(b"")
    with pytest.warns(UserWarning, match="broken cache entry"):
        assert cache.get("abc") is None


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("TRANSFER_META_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "transfer_meta"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "transfer_meta"
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "own"))
    assert ProfileCache().folder == tmp_path / "own" / "profiles"
