"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # helper modules lie beside this file


def find_shared() -> Path | None:
    """The folder of real data beside the project, or None."""
    named = os.environ.get("TRANSFER_META_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if (folder / "data").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """``../shared/data`` or ``$TRANSFER_META_SHARED/data``; skips the test where neither is there."""
    folder = find_shared()
    if folder is None:
        pytest.skip("no real data: neither ../shared nor $TRANSFER_META_SHARED is there")
    return folder / "data"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a real PostgreSQL server, started for this test run; skips where none can be installed."""
    import postgresql_server

    try:
        with postgresql_server.running_server() as url:
            yield url
    except postgresql_server.Unavailable as reason:
        pytest.skip(f"no PostgreSQL server: {reason}")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that is not there yet, of either kind."""
    if request.param == "sqlite":
        return str(tmp_path / "runs.sqlite")
    import postgresql_server

    return postgresql_server.new_database(request.getfixturevalue("postgresql"))
