"""Small tasks as files, and a cache and a folder of sources of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "sources"))
    return tmp_path / "sources"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of three tasks: films and reviews of two classes, ratings of numbers."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, labels in (("films", "yn"), ("ratings", (1.5, 2.0, 4.0)), ("reviews", "yn")):
        for split, n in (("train", 12), ("test", 4)):
            rows = [
                {"text": f"{name[:4]} number {i}", "label": labels[i % len(labels)]} for i in range(n)
            ]
            (tasks / f"{name}.{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tasks
