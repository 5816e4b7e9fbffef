"""The report of a table: benchmarks under every protocol, feature importances, and the page that shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkResult, benchmark
from transfer_meta.evaluation.benchmark_settings import N_SHUFFLES, BenchmarkSettings
from transfer_meta.evaluation.benchmark_text import METRICS_SHOWN, benchmark_text
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.splits import Protocol, protocols_of
from transfer_meta.feature_importance import feature_importance
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_task_space
from transfer_meta.figures.learning_curves import single_task_curves
from transfer_meta.files import atomic_file
from transfer_meta.metadataset import MetaDataset, build_metadataset, open_table
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.pages.page import render
from transfer_meta.pages.protocol_section import REPORT_METRICS
from transfer_meta.pages.published_figures import PUBLISHED
from transfer_meta.pages.templates import write_page
from transfer_meta.predictors import BY_TARGET, OF_SETS, UNTUNED, make_predictor
from transfer_meta.readers.whole_table import read_table
from transfer_meta.records import OnProgress
from transfer_meta.results import Result, frame_as_text
from transfer_meta.tasks.source_sets import has_sets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPLANATIONS = {
    ("coefficients", "feature"): "logistic",
    ("permutation", "feature"): "logistic",
    ("permutation", "role"): "logistic",
    ("permutation", "group"): "logistic",
    ("shap", "feature"): "lightgbm",
}
"""Method and level of each table of importances, and the predictor that it explains."""

SLOW_PREDICTORS = ("logistic-rfe", "logistic-rfe-optimistic", "lambdarank", "lambdarank-langrank")
"""Predictors that take longer than all others together; only for tables with published figures."""
N_REPORT_SHUFFLES = 10
"""Repeats of the shuffled protocol for a table without published figures."""
MAX_FOLDS = 100
"""A protocol with more folds, and more than one per target, is skipped."""
N_COEFFICIENTS_SHOWN = 10
"""Coefficients in a printed report."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Settings of `report`.

    Parameters
    ----------
    curves : Path, optional
        Learning curves written by ``runs export``; by default the file beside the table, if there is one.
    repeats : int, optional
        Repeats of the shuffled protocol and splits for the coefficients; by default 10 and 100, on tables with
        published figures 100 and 100.
    seed, workers : int
        See `BenchmarkSettings`.
    vectors : Path, optional
        Task vectors written by ``embed``: for the map of the tasks, and their similarities as features of pairs;
        by default those that ship with the table, for the map only.

    Raises
    ------
    InputError
        A number out of range.
    """

    curves: Path | None = None
    repeats: int | None = None
    seed: int = 0
    workers: int = 1
    vectors: Path | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("repeats", self.repeats, 1), ("seed", self.seed, 0), ("workers", self.workers, 1),
        ):  # fmt: skip
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")


@dataclass(frozen=True)
class Report(Result):
    """Analysis of a table of outcomes; `save` writes it as one HTML page, `str` gives its main tables.

    Parameters
    ----------
    table : OutcomeTable
    benchmarks : tuple of BenchmarkResult
        One per protocol.
    importances : dict of (method, level) to DataFrame
        Tables of `feature_importance`, see `EXPLANATIONS`.
    skipped : dict of str to str
        Protocols, predictors and explanations left out, with the reason.
    seconds : float
        Run time.
    curves : DataFrame or None
        Learning curves of single-task runs, see `learning_curves.single_task_curves`.
    vectors, types : mapping
        Vectors and type of each task, for the map of the task space.
    """

    table: OutcomeTable
    benchmarks: tuple[BenchmarkResult, ...]
    importances: dict[tuple[str, str], pd.DataFrame]
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = float("nan")
    curves: pd.DataFrame | None = None
    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write the HTML page atomically and return its path.

        Raises
        ------
        InputError
            `path` cannot be written.
        """
        return write_page(path, self.to_html())

    def to_html(self) -> str:
        """Return the page as HTML; everything from the table is escaped."""
        return render(self)

    def __str__(self) -> str:
        parts = [benchmark_text(result, METRICS_SHOWN) for result in self.benchmarks]
        coefficients = self.importances.get(("coefficients", "feature"))
        if coefficients is not None:
            shown = coefficients.head(N_COEFFICIENTS_SHOWN)
            parts.append(frame_as_text(shown, title=f"{len(shown)} largest coefficients"))
        if self.skipped:
            parts.append(
                "\n".join(f"skipped {name}: {reason}" for name, reason in self.skipped.items())
            )
        return "\n\n".join(parts)

    @property
    def caption(self) -> str:
        """The table and the number of its pairs and targets."""
        first = self.benchmarks[0]
        return f"{self.table.name}: {first.n_pairs} pairs, {first.n_targets} targets"

    def to_frame(self) -> pd.DataFrame:
        """Return `BenchmarkResult.to_frame` of every protocol, with the column ``protocol`` in front."""
        return pd.concat(
            [
                result.to_frame().assign(protocol=result.settings.protocol.name)
                for result in self.benchmarks
            ],
            ignore_index=True,
        ).pipe(lambda frame: frame[["protocol", *frame.columns.drop("protocol")]])

    def to_dict(self) -> dict[str, Any]:
        """Return benchmarks and importances as plain values."""
        return {
            "dataset": self.table.name,
            "benchmarks": [result.to_dict() for result in self.benchmarks],
            "importances": [
                {
                    "method": method,
                    "by": by,
                    "predictor": EXPLANATIONS[method, by],
                    "rows": rows.to_dict("records"),
                }
                for (method, by), rows in self.importances.items()
            ],
            "skipped": dict(self.skipped),
            "notes": list(self.table.notes),
        }

    def plot(self, axes: Axes | None = None, *, metric: str | None = None) -> Axes:
        """Draw a metric of each predictor under each protocol, with intervals.

        Parameters
        ----------
        axes : Axes, optional
            By default new ones.
        metric : str, optional
            One of `REPORT_METRICS`; by default AUROC within a target, or Spearman's correlation without gains.
        """
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import dots_height, draw_dots

        first = self.benchmarks[0]
        if metric is None:
            known = set(first.rows["metric"])
            metric = "auroc_within_target" if "auroc_within_target" in known else "spearman"
        dots = {result.settings.protocol.name: result.dots(metric) for result in self.benchmarks}
        predictors = list(pd.concat(list(dots.values()))["predictor"].drop_duplicates())
        axes = new_axes(axes, width=8, height=dots_height(predictors, list(dots)))
        draw_dots(axes, dots, predictors, chance=first.chance_level(metric))
        axes.set_xlabel(METRICS[metric].title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)
        return axes


def report(
    table: OutcomeTable | str | Path | pd.DataFrame,
    settings: ReportSettings | None = None,
    *,
    out: str | Path | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Report:
    """Return the analysis of a table: every protocol and feature importances, with an HTML page.

    Parameters
    ----------
    table : OutcomeTable, str, Path or DataFrame
        Outcomes, or what `load_outcomes` takes: the name of a shipped table, a file or a data frame.
    settings : ReportSettings, optional
    out : str or Path, optional
        Where to write the page; `Report.save` writes it later.
    on_progress : callable
        Called with the hundredths of stages done and their total.

    Raises
    ------
    InputError
        The table has too few pairs for any protocol, or `out` cannot be written.
    """
    settings = settings or ReportSettings()
    if out is not None and Path(out).is_dir():
        raise InputError(
            f"cannot write '{out}': it is a folder (expected a file, for example {out}/report.html)"
        )
    table = open_table(table)
    vectors, types = task_space(table, settings.vectors)
    curves = logged_curves(table, settings.curves)
    table = open_table(table, vectors=settings.vectors)
    # Opened first: an output that cannot be written is reported before the work is done.
    with nullcontext() if out is None else atomic_file(out) as page:
        built = _analyse(table, settings, on_progress)
        built = replace(built, vectors=vectors, types=types, curves=curves)
        if page is not None:
            page.write_text(built.to_html(), encoding="utf-8")
    return built


def task_space(
    table: OutcomeTable, given: Path | None = None
) -> tuple[dict[str, Vectors], dict[str, str]]:
    """Return vectors and types of tasks, from the file given or those shipped with the table."""
    shipped = shipped_tables().get(table.name)
    files = [given] if given else []
    if given is None and shipped is not None and table.file == shipped.outcomes:
        files = list(shipped.vectors.values())
    vectors: dict[str, Vectors] = {}
    types: dict[str, str] = {}
    for file in files:
        more, more_types = load_task_space(file)
        vectors |= more
        types |= more_types
    return vectors, types


def logged_curves(table: OutcomeTable, given: Path | None = None) -> pd.DataFrame | None:
    """Return the curves of single-task runs, from the file given or the one beside the table, if any."""
    beside = (
        []
        if table.file is None
        else [table.file.with_suffix(f".curves.{kind}") for kind in ("parquet", "csv")]
    )
    file = given or next((path for path in beside if path.is_file()), None)
    return None if file is None else single_task_curves(read_table(file))


def _analyse(table: OutcomeTable, settings: ReportSettings, on_progress: OnProgress) -> Report:
    """Benchmark a table under every protocol, and compute the tables of `EXPLANATIONS`."""
    begin = time.perf_counter()
    repeats, seed = settings.repeats, settings.seed
    benchmarks: list[BenchmarkResult] = []
    importances: dict[tuple[str, str], pd.DataFrame] = {}
    skipped: dict[str, str] = {}

    def stage(number: int) -> OnProgress:
        return lambda done, total: on_progress(100 * number + 100 * done // max(total, 1), 100 * stages)

    published = table.name in PUBLISHED
    data = build_metadataset(table)
    protocols = protocols_of(data.source, data.target)
    stages = len(protocols) + len(EXPLANATIONS)
    usable, left_out = choose_predictors(data, () if published else SLOW_PREDICTORS, seed)
    for number, protocol in enumerate(protocols):
        try:
            _check_folds(data, protocol)
            chosen = BenchmarkSettings(
                protocol=protocol,
                predictors=tuple(n for n in usable if not (protocol.is_shuffled and n in BY_TARGET)),
                metrics=REPORT_METRICS,
                repeats=(repeats or (N_SHUFFLES if published else N_REPORT_SHUFFLES))
                if protocol.is_shuffled
                else None,
                seed=seed,
                workers=settings.workers,
            )
            benchmarks.append(benchmark(table, chosen, on_progress=stage(number)))
        except InputError as error:
            skipped[protocol.name] = str(error)
    if not benchmarks:
        raise InputError(f"no protocol applies to '{table.name}': {next(iter(skipped.values()))}")
    for number, ((method, level), predictor) in enumerate(EXPLANATIONS.items(), start=len(protocols)):
        try:
            importances[method, level] = feature_importance(
                data,
                make_predictor(predictor, random_state=seed),
                method=method,
                by=level,
                repeats=repeats if method == "coefficients" else None,
                seed=seed,
                on_progress=stage(number),
            )
        except InputError as error:
            skipped[f"{method} by {level}"] = str(error)
    on_progress(100 * stages, 100 * stages)
    return Report(
        table, tuple(benchmarks), importances, skipped | left_out, time.perf_counter() - begin
    )


def choose_predictors(
    data: MetaDataset, slow: tuple[str, ...] = (), seed: int = 0
) -> tuple[list[str], dict[str, str]]:
    """Return the names of the predictors that apply to a table, and those left out with the reason."""
    usable, left_out = [], {}
    with_sets = has_sets(data.source, known=set(data.target))
    for name in (*UNTUNED, *(OF_SETS if with_sets else ())):
        if name in slow:
            left_out[name] = f"slow (run `benchmark --predictors {name}`)"
            continue
        try:
            make_predictor(name, random_state=seed).check(data.X)
        except InputError as error:
            left_out[name] = str(error)
        else:
            usable.append(name)
    return usable, left_out


def _check_folds(data: MetaDataset, protocol: Protocol) -> None:
    """Raise an InputError if a protocol would take minutes."""
    if not protocol.is_shuffled:
        n_folds = sum(1 for _ in protocol.folds(data.source, data.target))
        if n_folds > max(MAX_FOLDS, len(np.unique(data.target))):
            raise InputError(
                f"{n_folds} folds, more than {MAX_FOLDS} (`benchmark --protocol {protocol.name}` runs it)"
            )
