"""The options of reading."""

from __future__ import annotations

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings


def test_names_become_what_they_name() -> None:
    settings = ReadSettings(type="regression", separator="tab")  # type: ignore[arg-type]
    assert (settings.type, settings.separator) == (TaskType.REGRESSION, "\t")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"type": "classify"}, "unknown task type 'classify'"),
        ({"format": "xlsx"}, "unknown format 'xlsx'"),
        ({"scheme": "BIL"}, "unknown tagging scheme 'BIL'"),
    ],
)
def test_unknown_names(option: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReadSettings(**option)  # type: ignore[arg-type]
