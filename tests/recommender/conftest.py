from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from known_tasks import fitted_atlas, fitted_data, fitted_scores, patch_data

from transfer_meta.recommender.library import Library, open_library


@pytest.fixture(autouse=True)
def own_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own sources: an empty one."""
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "sources"))
    return tmp_path / "sources"


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The small data folder of one table, in place of the shipped one."""
    folder = fitted_data()
    with pytest.MonkeyPatch.context() as patch:
        patch_data(patch, folder)
        yield folder


@pytest.fixture(scope="module")
def library(data: Path) -> Library:
    return open_library()


@pytest.fixture
def atlas(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small data folder of two tables and a catalogue, in place of the shipped one."""
    pytest.importorskip("torch")
    patch_data(monkeypatch, fitted_atlas())
    return fitted_atlas()


@pytest.fixture
def atlas_library(atlas: Path) -> Library:
    return _open_atlas()


@functools.cache
def _open_atlas() -> Library:
    return open_library()


@pytest.fixture
def scored_library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """The library of `atlas` with scores of the sources' encoders, from its folder in place of the shipped one."""
    pytest.importorskip("torch")
    patch_data(monkeypatch, fitted_scores())
    return _open_scored()


@functools.cache
def _open_scored() -> Library:
    return open_library()
