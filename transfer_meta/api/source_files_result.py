"""What was done with the files of sources: copied, kept, left out, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.results import Result, frame_as_text, plain_values, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE_COLUMNS = ("name", "encoder", "status", "reason")


@dataclass(frozen=True, eq=False)
class SourceFiles(Result):
    """Sources that were copied or removed, each with its profile and vectors.

    Parameters
    ----------
    place : str
        Where they are, or were.
    rows : DataFrame
        A row for each source: ``name``, ``encoder`` (its folder), ``status`` (``copied``; ``same``, was there;
        ``kept``, was there with another content; ``left out``, a broken or foreign file; ``removed``), ``reason``.
    """

    place: str
    rows: pd.DataFrame

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str, str]], place: str) -> SourceFiles:
        """Return the result of rows of `FILE_COLUMNS`."""
        return cls(place, pd.DataFrame(rows, columns=list(FILE_COLUMNS)))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source, see `rows`."""
        return self.rows.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return the place and one object per source."""
        return plain_values({"place": self.place, "sources": self.rows.to_dict("records")})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the number of sources by status."""
        from transfer_meta.figures.heatmap import value_bars

        counts = self.rows["status"].value_counts()
        axes = value_bars(dict(zip(map(str, counts.index), counts.tolist(), strict=True)), axes)
        axes.set_xlabel("sources")
        return axes

    @property
    def caption(self) -> str:
        """How many there are by status, and where."""
        counts = self.rows["status"].value_counts().sort_index()
        return f"{self.place}: {', '.join(f'{n} {status}' for status, n in counts.items())}"

    def __str__(self) -> str:
        shown = list(FILE_COLUMNS) if self.rows["reason"].any() else list(FILE_COLUMNS[:-1])
        return f"{visible(self.caption)}\n\n{frame_as_text(self.rows[shown])}"
