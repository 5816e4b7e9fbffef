"""Rows of a pandas data frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer_meta.errors import InputError
from transfer_meta.readers.opening import shown
from transfer_meta.readers.rows import Row

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FrameRows:
    """Rows of a data frame, numbered from 0 by position, with None for missing values of any kind."""

    frame: pd.DataFrame
    origin: str

    @property
    def place(self) -> str:
        """Text before a row's number: ``name row``."""
        return f"{self.origin} row "

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        names = [str(name) for name in self.frame.columns]
        if len(set(names)) < len(names):
            raise InputError(
                f"{self.origin}: two columns of one name among {', '.join(map(shown, names))}"
            )
        columns = [map(_plain, self.frame.iloc[:, index]) for index in range(len(names))]
        for number, cells in enumerate(zip(*columns, strict=True)):
            yield number, dict(zip(names, cells, strict=True))


def _plain(value: Any) -> Any:
    """Return Python's types for scalars and arrays of NumPy, None for NaN, NaT and NA."""
    if type(value) is str:
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    # NaN and NaT differ from themselves; comparing NA raises an error.
    return None if type(value).__name__ == "NAType" or value != value else value
