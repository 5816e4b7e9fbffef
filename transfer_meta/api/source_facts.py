"""What is known of a source of the catalogue: its facts, how it is read, and the outcomes of it."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta.outcomes.shipped import Shipped, shipped_tables
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.results import Result, frame_as_text, plain_values
from transfer_meta.tasks.catalogue import CatalogueSource, known_source
from transfer_meta.tasks.source_sets import parse_sources

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTS_SHOWN = (
    "aliases", "type", "classes", "train_size", "mean_length", "language", "licence", "paper", "url", "hub",
    "config", "revision", "train_split", "test_split", "columns", "remark", "seen_in",
)  # fmt: skip
"""Facts in the order in which they are printed; empty ones are left out."""


@dataclass(frozen=True)
class SourceFacts(Result):
    """A source of the catalogue.

    Parameters
    ----------
    source : CatalogueSource
    outcomes : DataFrame
        A row for each outcome table that ships and has the source: ``table``, ``sources`` (1, or the number of
        checkpoints that were trained on it, or of sets of sources that it is in), ``targets`` on which they were
        tried, and ``sources_tried_on_it``, the number of sources that were tried on it as a target.
    """

    source: CatalogueSource
    outcomes: pd.DataFrame

    @property
    def command(self) -> str:
        """Command that reads it from the Hub and shows how."""
        return self.source.command

    @property
    def tried(self) -> bool:
        """Whether a table that ships has outcomes of it as a source."""
        return bool((self.outcomes["targets"] > 0).any())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per outcome table, see `outcomes`."""
        return self.outcomes

    def to_dict(self) -> dict[str, Any]:
        """Return the facts, address, command and outcomes."""
        facts = asdict(self.source) | {"address": self.source.address, "command": self.command}
        return plain_values({**facts, "outcomes": self.outcomes.to_dict("records")})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the number of targets on which each table tried it."""
        from transfer_meta.figures.heatmap import value_bars

        counts = dict.fromkeys(shipped_tables(), 0) | dict(
            zip(self.outcomes["table"], self.outcomes["targets"].tolist(), strict=True)
        )
        axes = value_bars(counts, axes)
        axes.set_xlabel(f"targets on which {self.source.name} was tried".replace("$", r"\$"))
        return axes

    @property
    def caption(self) -> str:
        """Name and description."""
        return f"{self.source.name}: {self.source.description}"

    def __str__(self) -> str:
        facts = {**vars(self.source), "aliases": ", ".join(self.source.aliases)}
        facts["columns"] = ", ".join(f"{role} = {name}" for role, name in self.source.columns.items())
        width = max(map(len, FACTS_SHOWN)) + 2
        lines = [
            f"{name.replace('_', ' '):{width}}{facts[name]}" for name in FACTS_SHOWN if facts[name]
        ]
        tried = (
            frame_as_text(self.outcomes) if len(self.outcomes) else "No outcomes: it was never tried."
        )
        described = textwrap.fill(self.caption, 116)
        return "\n".join([described, "", *lines, "", f"To read it: {self.command}", "", tried])


def show_source(name: str) -> SourceFacts:
    """Return what is known of a source.

    Parameters
    ----------
    name : str
        Its name, an alias, or its Hub id.

    Raises
    ------
    InputError
        The catalogue has no such source, with the nearest name, or several of the Hub id.

    Examples
    --------
    >>> show_source("squad").command
    'transfer-meta tasks check hf:rajpurkar/squad'
    """
    source = known_source(name)
    names = {name.casefold() for name in source.names}
    rows = []
    for table, shipped in shipped_tables().items():
        pairs = load_outcomes(table).pairs[["source", "target"]]
        trained = {s for s in pairs["source"].unique() if names & _members(s)}
        trained |= _checkpoints(shipped, names)
        as_source = pairs[pairs["source"].isin(trained)]
        as_target = pairs[pairs["target"].str.casefold().isin(names)]
        if len(as_source) or len(as_target):
            counts = (as_source["source"], as_source["target"], as_target["source"])
            rows.append((table, *(int(column.nunique()) for column in counts)))
    columns = ["table", "sources", "targets", "sources_tried_on_it"]
    return SourceFacts(source, pd.DataFrame(rows, columns=columns))


def _members(source: str) -> set[str]:
    """Return the names of the tasks in a source of a table, which may be a set, in lower case."""
    return {task.casefold() for task in parse_sources(source).members}


def _checkpoints(shipped: Shipped, names: set[str]) -> set[str]:
    """Return the checkpoints of a table that were trained on a data set of these names and on no other."""
    path = shipped.folder / "sources.csv"
    if not path.is_file():
        return set()
    known = pd.read_csv(path, usecols=["source", "data"], dtype=str).dropna()
    return set(known.loc[known["data"].str.casefold().isin(names), "source"])
