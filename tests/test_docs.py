"""What the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLACES = (ROOT, ROOT / "transfer_meta")


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+/[\w.-]*|[\w-]+\.(?:py|md|toml|csv))`", text))
    paths = {
        name for name in named if not name.isupper() and "NAME" not in name and "FORMAT" not in name
    }
    missing = [n for n in sorted(paths) if not any((place / n).exists() for place in PLACES)]
    # Files that a user or a run writes, and rooms named within their row of the map.
    outside = {"../shared", "outcomes.csv", "dataset.toml"}
    inner = {
        "commands/",
        "shared/",
        "figures/",
        "store/",
        "checkpoints/",
        "text/",
        "curves/",
        "vectors/",
        "scores/",
    }
    assert [n for n in missing if n not in outside | inner] == []
