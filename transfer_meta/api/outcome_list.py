"""The outcome tables that ship, as a result."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.figures.axes import new_axes
from transfer_meta.figures.charts import bars_height, draw_bars
from transfer_meta.outcomes.shipped import Shipped, find_shipped, shipped_tables
from transfer_meta.outcomes.tables import OutcomeTable, load_outcomes
from transfer_meta.results import Result, frame_as_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRINTED = ["name", "pairs", "targets", "sources", "settings", "seeds", "licence", "title"]
"""Columns of a list that are printed."""
TITLE_WIDTH = 36
"""Characters of a title in a list: the others leave so many of a line of 120."""


@dataclass(frozen=True)
class OutcomeList(Result):
    """Outcome tables, one row each.

    Parameters
    ----------
    rows : DataFrame
        See `outcome_facts` for the columns.
    """

    rows: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return one row per table, see `rows`."""
        return self.rows

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one object per table."""
        return [{str(key): value for key, value in row.items()} for row in self.rows.to_dict("records")]

    def __str__(self) -> str:
        titles = [
            textwrap.shorten(title, TITLE_WIDTH, placeholder=" …") for title in self.rows["title"]
        ]
        return frame_as_text(self.rows[PRINTED].assign(title=titles))

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
    return OutcomeList(pd.DataFrame([outcome_facts(load_outcomes(name)) for name in shipped_tables()]))


def outcome_facts(table: OutcomeTable) -> dict[str, Any]:
    """Return what is known of a table that ships.

    Parameters
    ----------
    table : OutcomeTable
        Loaded by its name.

    Returns
    -------
    dict of str to Any
        ``name`` (for `load_outcomes`); the numbers ``pairs``, ``targets``, ``sources``, ``settings``, ``runs`` and
        ``seeds`` (the most of a pair); ``gains_known``; ``encoders``, ``methods``, ``regimes`` (names, joined by
        commas; empty if unknown); ``licence``, ``title``, ``citation``.
    """
    shipped, pairs = find_shipped(table.name), table.pairs
    return {
        "name": table.name,
        "pairs": len(pairs),
        "targets": int(pairs["target"].nunique()),
        "sources": int(pairs["source"].nunique()),
        "settings": int(pairs["setting"].nunique()),
        "seeds": int(pairs["n_seeds"].max()),
        "runs": int(pairs["n_seeds"].sum()),
        "gains_known": table.has_gain,
        "encoders": _names(table, shipped, "encoder", "model"),
        "methods": _names(table, shipped, "method"),
        "regimes": _names(table, shipped, "regime"),
        "licence": shipped.licence,
        "title": shipped.title,
        "citation": shipped.citation,
    }


def _names(table: OutcomeTable, shipped: Shipped, *columns: str) -> str:
    """Return the names in the first of the columns that is there, else what the table's card says."""
    for column in columns:
        if column in table.runs:
            return ", ".join(sorted(table.runs[column].astype(str).unique()))
    return shipped.facts.get(columns[0], "")
