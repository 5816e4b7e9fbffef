"""The outcome tables that ship, as a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.figures.axes import new_axes
from transfer_meta.figures.charts import bars_height, draw_bars
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class OutcomeList(Result):
    """Outcome tables, one row each.

    Parameters
    ----------
    rows : DataFrame
        ``name`` (for `load_outcomes`), ``pairs``, ``targets``, ``runs`` (numbers), ``gains_known``, ``title``.
    """

    rows: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return one row per table, see `rows`."""
        return self.rows

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per table."""
        return [{str(key): value for key, value in row.items()} for row in self.rows.to_dict("records")]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the number of pairs of each table."""
        names = list(self.rows["name"])
        axes = new_axes(axes, height=bars_height(names))
        draw_bars(axes, names, self.rows["pairs"])
        axes.set_xlabel("pairs of source and target")
        return axes


def list_outcomes() -> OutcomeList:
    """Return the outcome tables that ship.

    Examples
    --------
    >>> "bingel-soegaard-2017" in set(list_outcomes().to_frame()["name"])
    True
    """
    rows = []
    for name, shipped in shipped_tables().items():
        table = load_outcomes(name)
        rows.append(
            {
                "name": name,
                "pairs": len(table.pairs),
                "targets": int(table.pairs["target"].nunique()),
                "runs": len(table.runs),
                "gains_known": table.has_gain,
                "title": shipped.title,
            }
        )
    return OutcomeList(pd.DataFrame(rows))
