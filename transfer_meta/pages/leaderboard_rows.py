"""Rows of the leaderboard: predictors by tables under a protocol, and predictors by metrics on a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from transfer_meta.evaluation.benchmark_text import predictor_label
from transfer_meta.evaluation.ceiling import SPLIT_HALF
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.result_file import RESULT_METRICS, BenchmarkFile
from transfer_meta.evaluation.splits import Protocol, find_protocol
from transfer_meta.pages.protocol_section import CONTROLS
from transfer_meta.results import table_as_markdown, table_as_text

DEVELOPED_MARK = "†"
"""Behind the figure of a predictor on a table with whose outcomes in view it was developed."""


@dataclass(frozen=True)
class LeaderboardCell:
    """A figure with its spread.

    Parameters
    ----------
    value : float
    ci_low, ci_high, std : float
        NaN where unknown.
    developed : bool
        Whether the predictor was developed with the table's outcomes in view.
    best : bool
        Whether it is the best of its table.
    seeds : str
        Of a noise ceiling: numbers of seeds, such as ``1 + 1``.
    """

    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    std: float = math.nan
    developed: bool = False
    best: bool = False
    seeds: str = ""

    @property
    def number(self) -> str:
        """The value with its mark."""
        return f"{self.value:.3f}{DEVELOPED_MARK if self.developed else ''}".replace("-", "−")

    @property
    def spread(self) -> str:
        """The interval over targets, or the deviation over repeats."""
        if not math.isnan(self.ci_low):
            text = f"[{self.ci_low:.2f}, {self.ci_high:.2f}]"
        else:
            text = "" if math.isnan(self.std) else f"±{self.std:.3f}"
        return f"{text} ({self.seeds})".strip() if self.seeds else text.replace("-", "−")


@dataclass(frozen=True)
class LeaderboardRow:
    """A predictor, or a noise ceiling, with a cell for each column (None: no figure).

    Parameters
    ----------
    label : str
    cells : tuple of LeaderboardCell or None
    kind : str
        ``predictor``, ``control`` or ``ceiling``.
    """

    label: str
    cells: tuple[LeaderboardCell | None, ...]
    kind: str = "predictor"


@dataclass(frozen=True)
class ProtocolRows:
    """Figures of one metric under a protocol, predictors by tables.

    Parameters
    ----------
    protocol : Protocol
    metric : str
    tables : tuple of str
    rows : tuple of LeaderboardRow
        Predictors by their mean place among those of a table, the best first (a table without a figure counts as
        a middle place), and noise ceilings at the end.
    """

    protocol: Protocol
    metric: str
    tables: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]

    def values(self) -> pd.DataFrame:
        """Return the values, predictors by tables."""
        shown = [row for row in self.rows if row.kind != "ceiling"]
        cells = [[cell.value if cell else math.nan for cell in row.cells] for row in shown]
        return pd.DataFrame(cells, index=[row.label for row in shown], columns=list(self.tables))


@dataclass(frozen=True)
class TableRows:
    """Figures of all metrics on a table under a protocol.

    Parameters
    ----------
    file : BenchmarkFile
    metrics : tuple of str
    rows : tuple of LeaderboardRow
        Predictors, the best by the first metric first, and noise ceilings at the end.
    """

    file: BenchmarkFile
    metrics: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]


def protocol_rows(frame: pd.DataFrame, files: Sequence[BenchmarkFile], metric: str) -> ProtocolRows:
    """Return the figures of a metric under the protocol of these files.

    Parameters
    ----------
    frame : DataFrame
        `Leaderboard.to_frame`.
    files : sequence of BenchmarkFile
    metric : str
    """
    protocol = find_protocol(files[0].header["protocol"])
    frame = frame[frame["protocol"] == protocol.name]
    sign = 1 if METRICS[metric].higher_is_better else -1
    tables = [file.header["dataset"] for file in files if file.header["dataset"] in set(frame["table"])]
    cells: dict[tuple[str, str], dict[str, LeaderboardCell]] = {}
    places: dict[tuple[str, str], list[float]] = {}
    for table, of_table in frame.groupby("table", sort=False):
        ranks = (sign * of_table["value"]).rank(pct=True)
        best = (sign * of_table["value"]).max()
        for row, rank in zip(of_table.to_dict("records"), ranks, strict=True):
            key = (row["predictor"], row["features"])
            is_best = sign * row["value"] == best
            cells.setdefault(key, {})[str(table)] = _cell(row, best=is_best, developed=row["developed"])
            places.setdefault(key, []).append(float(rank))
    # A table without a figure counts as a middle place: two good tables are not better than seven.
    order = sorted(cells, key=lambda key: -sum(place - 0.5 for place in places[key]))
    rows = [
        LeaderboardRow(predictor_label(*key), tuple(cells[key].get(t) for t in tables), _kind(key[0]))
        for key in order
    ]
    ceilings = {file.header["dataset"]: _ceilings(file) for file in files}
    for how in dict.fromkeys(how for table in tables for how in ceilings[table]):
        found = tuple(ceilings[table].get(how, {}).get(metric) for table in tables)
        if any(found):
            rows.append(LeaderboardRow(_ceiling_label(how), found, "ceiling"))
    return ProtocolRows(protocol, metric, tuple(tables), tuple(rows))


def table_rows(frame: pd.DataFrame, file: BenchmarkFile) -> TableRows:
    """Return the figures of a file; `frame` is `Leaderboard.rows`."""
    chosen = (frame["table"] == file.header["dataset"]) & (frame["protocol"] == file.header["protocol"])
    frame = frame[chosen]
    metrics = tuple(m for m in RESULT_METRICS if m in set(frame["metric"]))
    values = {metric: frame.loc[frame["metric"] == metric, "value"] for metric in metrics}
    best = {
        metric: found.max() if METRICS[metric].higher_is_better else found.min()
        for metric, found in values.items()
    }
    cells: dict[tuple[str, str], dict[str, LeaderboardCell]] = {}
    for row in frame.to_dict("records"):
        metric = row["metric"]
        cells.setdefault((row["predictor"], row["features"]), {})[metric] = _cell(
            row, best=row["value"] == best[metric], developed=row["developed"]
        )

    def place(key: tuple[str, str]) -> float:
        first = cells[key].get(metrics[0])
        if first is None:
            return math.inf
        return -first.value if METRICS[metrics[0]].higher_is_better else first.value

    rows = [
        LeaderboardRow(predictor_label(*key), tuple(cells[key].get(m) for m in metrics), _kind(key[0]))
        for key in sorted(cells, key=place)
    ]
    for how, found in _ceilings(file).items():
        ceiling = tuple(found.get(metric) for metric in metrics)
        if any(ceiling):
            rows.append(LeaderboardRow(_ceiling_label(how), ceiling, "ceiling"))
    return TableRows(file, metrics, tuple(rows))


def rows_as_text(rows: ProtocolRows) -> str:
    """Return the values of a protocol as a table for a terminal."""
    lines = [(row.label, *(cell.number if cell else None for cell in row.cells)) for row in rows.rows]
    title = f"{rows.metric}, {rows.protocol.name}: {rows.protocol.title}"
    return table_as_text(("predictor", *rows.tables), lines, title=title)


def rows_as_markdown(rows: ProtocolRows) -> str:
    """Return a section on a protocol, with its table."""

    def cell(found: LeaderboardCell | None) -> str:
        if found is None:
            return ""
        number = f"**{found.number}**" if found.best else found.number
        return f"{number} {found.spread}".strip()

    lines = [
        (f"*{row.label}*" if row.kind != "predictor" else row.label, *map(cell, row.cells))
        for row in rows.rows
    ]
    head = rows.protocol.title[:1].upper() + rows.protocol.title[1:]
    table = table_as_markdown(("predictor", *rows.tables), lines)
    return f"## {rows.protocol.name}\n\n{head}.\n\n{table}"


def _cell(row: Mapping[Any, Any], *, best: bool, developed: bool) -> LeaderboardCell:
    low, high, std = (float(row[name]) for name in ("ci_low", "ci_high", "std"))
    return LeaderboardCell(float(row["value"]), low, high, std, bool(developed), bool(best))


def _kind(predictor: str) -> str:
    return "control" if predictor in CONTROLS else "predictor"


def _ceiling_label(how: str) -> str:
    return "noise ceiling" if how == SPLIT_HALF else f"noise ceiling, {how}"


def _ceilings(file: BenchmarkFile) -> dict[str, dict[str, LeaderboardCell]]:
    """Return the noise ceilings with the most seeds, by how they were found and by metric."""
    most: dict[str, int] = {}
    for row in file.ceiling:
        most[row["how"]] = max(most.get(row["how"], 0), row["n_seeds"])
    found: dict[str, dict[str, LeaderboardCell]] = {}
    for row in file.ceiling:
        if row["n_seeds"] == most[row["how"]]:
            found.setdefault(row["how"], {})[row["metric"]] = LeaderboardCell(
                row["value"],
                row.get("ci_low", math.nan),
                row.get("ci_high", math.nan),
                seeds=f"{row['n_seeds']} + {row['n_seeds']}",
            )
    return found
