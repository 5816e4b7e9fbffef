from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from known_tasks import DATA_FOLDER, fitted_data

from transfer_meta.recommender.library import Library, open_library


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The small data folder, in place of the shipped one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATA_FOLDER, fitted_data)
        yield fitted_data()


@pytest.fixture(scope="module")
def library(data: Path) -> Library:
    return open_library()
