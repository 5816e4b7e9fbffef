"""The leaderboard: figures of predictors on tables under protocols, from files of benchmark results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.result_file import (
    RESULT_METRICS,
    SPREADS,
    BenchmarkFile,
    check_results,
    read_result,
)
from transfer_meta.evaluation.splits import DEFAULT_PROTOCOL, PROTOCOLS
from transfer_meta.files import data_folder
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.pages.leaderboard_rows import (
    DEVELOPED_MARK,
    ProtocolRows,
    TableRows,
    protocol_rows,
    rows_as_markdown,
    rows_as_text,
    table_rows,
)
from transfer_meta.pages.templates import render_template, write_page
from transfer_meta.predictors import PREDICTORS
from transfer_meta.results import Result, frame_as_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS_FOLDER = "results"
"""Folder of the shipped data with the files of benchmark results."""
LEADERBOARD_COLUMNS = (
    "table", "protocol", "predictor", "features", "value", "ci_low", "ci_high", "std", "n", "developed", "version",
)  # fmt: skip
"""Columns of `Leaderboard.to_frame`."""


@dataclass(frozen=True, kw_only=True)
class LeaderboardSettings:
    """Settings of `leaderboard`; where several names are expected, one may be given as it is.

    Parameters
    ----------
    metric : str
        One of `evaluation.result_file.RESULT_METRICS`.
    tables : tuple of str
        Names of tables; empty: all that have results.
    protocols : tuple of str
        Names of protocols; empty: all that have results.
    predictors : tuple of str
        Names of predictors; empty: all.

    Raises
    ------
    InputError
        An unknown metric, protocol or predictor.
    """

    metric: str = RESULT_METRICS[0]
    tables: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    predictors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("tables", "protocols", "predictors"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for kind, names, valid in (
            ("metric", (self.metric,), RESULT_METRICS),
            ("protocol", self.protocols, PROTOCOLS),
            ("predictor", self.predictors, PREDICTORS),
        ):
            for name in names:
                if name not in valid:
                    raise unknown(kind, name, valid)


@dataclass(frozen=True)
class Leaderboard(Result):
    """Figures of predictors on tables under protocols; `str` gives a table for each protocol.

    Parameters
    ----------
    files : tuple of BenchmarkFile
        One for each table and protocol.
    settings : LeaderboardSettings
    """

    files: tuple[BenchmarkFile, ...] = field(repr=False)
    settings: LeaderboardSettings = field(default_factory=LeaderboardSettings)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All figures: `LEADERBOARD_COLUMNS` and ``metric``."""
        shipped = shipped_tables()
        rows = []
        for file in self.files:
            name = file.header["dataset"]
            developed = shipped[name].developed if name in shipped else ()
            for entry in file.predictors:
                if self.settings.predictors and entry["predictor"] not in self.settings.predictors:
                    continue
                for metric, figures in entry["metrics"].items():
                    rows.append(
                        {
                            "table": name,
                            "protocol": file.header["protocol"],
                            "predictor": entry["predictor"],
                            "features": entry["features"],
                            "metric": metric,
                            **{key: figures.get(key, math.nan) for key in ("value", *SPREADS)},
                            "n": figures["n"],
                            "developed": entry["predictor"] in developed,
                            "version": entry["version"],
                        }
                    )
        return pd.DataFrame(rows, columns=[*LEADERBOARD_COLUMNS, "metric"])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per table, protocol and predictor with the metric of the settings, the best first.

        Returns
        -------
        DataFrame
            ``table``, ``protocol``, ``predictor``, ``features``, ``value``, ``ci_low`` and ``ci_high`` (95 %,
            bootstrap over targets), ``std`` (over repeats), ``n`` (pairs, or targets for which the metric is
            defined), ``developed`` (whether the predictor was developed with the table's outcomes in view),
            ``version``.
        """
        rows = self.rows[self.rows["metric"] == self.settings.metric]
        better = METRICS[self.settings.metric].higher_is_better
        place = {
            (file.header["dataset"], file.header["protocol"]): i for i, file in enumerate(self.files)
        }
        order = [place[key] for key in zip(rows["table"], rows["protocol"], strict=True)]
        rows = rows.assign(_place=order).sort_values(
            ["_place", "value"], ascending=[True, not better], kind="stable", ignore_index=True
        )
        return rows[list(LEADERBOARD_COLUMNS)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as ``--json`` prints it: all metrics of every file."""
        shipped = shipped_tables()
        chosen = self.settings.predictors
        return {
            "metric": self.settings.metric,
            "results": [
                {
                    **file.header,
                    "developed": list(shipped[name].developed) if name in shipped else [],
                    "ceiling": list(file.ceiling),
                    "skipped": dict(file.skipped),
                    "predictors": [
                        row for row in file.predictors if not chosen or row["predictor"] in chosen
                    ],
                }
                for file in self.files
                for name in [file.header["dataset"]]
            ],
        }

    def __str__(self) -> str:
        return "\n\n".join([*(rows_as_text(rows) for rows in self.protocols), self.legend])

    @property
    def caption(self) -> str:
        """The metric, and the numbers of tables, protocols and predictors."""
        rows = self.rows
        counts = [f"{rows[c].nunique()} {c}s" for c in ("predictor", "table", "protocol")]
        return f"{METRICS[self.settings.metric].title}: {', '.join(counts)}"

    @property
    def legend(self) -> str:
        """What the marks and intervals mean, in sentences."""
        metric = METRICS[self.settings.metric]
        title = metric.title[:1].upper() + metric.title[1:]
        return (
            f"{title}, {'higher' if metric.higher_is_better else 'lower'} is better. [95 % bootstrap interval over"
            f" targets], ± standard deviation over repeats. {DEVELOPED_MARK} developed with the outcomes of the"
            " table in view. Noise ceiling: rankings by some seeds, scored against as many others."
        )

    @cached_property
    def protocols(self) -> tuple[ProtocolRows, ...]:
        """Tables of predictors by outcome tables, one for each protocol."""
        names = dict.fromkeys(file.header["protocol"] for file in self.files)
        frame = self.to_frame()
        return tuple(
            protocol_rows(
                frame, [f for f in self.files if f.header["protocol"] == name], self.settings.metric
            )
            for name in names
        )

    @cached_property
    def tables(self) -> tuple[TableRows, ...]:
        """Tables of predictors by metrics, one for each file."""
        return tuple(table_rows(self.rows, file) for file in self.files)

    def to_markdown(self) -> str:
        """Return a section for each protocol, and how the figures were made, as Markdown."""
        parts = [self.legend, *(rows_as_markdown(rows) for rows in self.protocols)]
        commands = [f"- `{file.header['command']}`" for file in self.files]
        return "\n\n".join([*parts, "## Commands", "\n".join(commands)])

    def to_html(self) -> str:
        """Return the page as HTML; it loads nothing, and can be read without a script."""
        return render_template("leaderboard.html.jinja", {"board": self, "version": __version__})

    def save(self, path: str | Path) -> Path:
        """Write the HTML page, or to a name that ends in .md the Markdown, and return the path.

        Raises
        ------
        InputError
            `path` ends otherwise, or cannot be written.
        """
        kinds = {".html": self.to_html, ".md": lambda: f"# Leaderboard\n\n{self.to_markdown()}\n"}
        suffix = Path(path).suffix.lower()
        if suffix not in kinds:
            raise InputError(f"cannot write '{path}' (expected a name that ends in .html or .md)")
        return write_page(path, kinds[suffix]())

    def plot(self, axes: Axes | None = None, *, protocol: str | None = None) -> Axes:
        """Draw the metric of each predictor on each table under a protocol as a heat map.

        The deeper a cell, the further its value lies above or below the mean of its table.

        Parameters
        ----------
        axes : Axes, optional
            By default new ones.
        protocol : str, optional
            By default `DEFAULT_PROTOCOL`, else the first.

        Raises
        ------
        InputError
            There are no results under the protocol.
        """
        from transfer_meta.figures.heatmap import standardised_heatmap

        known = {rows.protocol.name: rows for rows in self.protocols}
        protocol = protocol or (
            DEFAULT_PROTOCOL.name if DEFAULT_PROTOCOL.name in known else next(iter(known))
        )
        if protocol not in known:
            raise unknown("protocol", protocol, known)
        axes = standardised_heatmap(known[protocol].values(), axes)
        axes.set_title(f"{METRICS[self.settings.metric].title}, {protocol}", fontsize=10)
        return axes

    def _repr_html_(self) -> str:
        import html

        return f"<p>{html.escape(self.caption)}</p>" + frame_as_html(self.to_frame())


def leaderboard(
    results: str | Path | Sequence[str | Path] | None = None,
    settings: LeaderboardSettings | None = None,
) -> Leaderboard:
    """Return the figures of predictors on tables under protocols, from files of benchmark results.

    Parameters
    ----------
    results : str, Path or sequence of these, optional
        Files that ``transfer-meta benchmark … --out FILE`` (`BenchmarkResult.save`) wrote, or folders of such; by
        default those that ship.
    settings : LeaderboardSettings, optional

    Raises
    ------
    InputError
        A file cannot be read or is of another format, two are of one table and protocol, or there are no results of
        what the settings name.

    Examples
    --------
    >>> board = leaderboard(settings=LeaderboardSettings(tables="minilm-grid", predictors="random"))
    >>> set(board.to_frame()["predictor"])
    {'random'}
    """
    settings = settings or LeaderboardSettings()
    if results is None:
        results = [data_folder() / RESULTS_FOLDER]
    elif isinstance(results, str | Path):
        results = [results]
    paths = [path for given in results for path in _files_of(Path(given))]
    found = [(path, read_result(path)) for path in paths]
    check_results(found)
    files = [file for _, file in found]
    for kind, entry, names in (
        ("table", "dataset", settings.tables),
        ("protocol", "protocol", settings.protocols),
    ):
        known = dict.fromkeys(file.header[entry] for file in files)
        for name in names:
            if name not in known:
                raise unknown(f"{kind} with results", name, known)
        files = [file for file in files if not names or file.header[entry] in names]
    board = Leaderboard(tuple(sorted(files, key=_place)), settings)
    if board.to_frame().empty:
        raise InputError(
            f"no results with {settings.metric} (expected files by `transfer-meta benchmark … --out FILE`)"
        )
    return board


def _files_of(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.json"))
    if not found:
        raise InputError(f"no results in '{path}' (expected files named .json)")
    return found


def _place(file: BenchmarkFile) -> tuple[int, str]:
    """Return the place of a file: the default protocol first, those of shuffled pairs last."""
    names = [DEFAULT_PROTOCOL.name, *(n for n, p in PROTOCOLS.items() if not p.is_shuffled)]
    order = list(dict.fromkeys([*names, *PROTOCOLS]))
    return order.index(file.header["protocol"]), file.header["dataset"]
