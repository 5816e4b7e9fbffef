"""``transfer-meta quickstart``: a tour of the package on what ships with it."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from transfer_meta.cli.shared.console import print_table, progress, show
from transfer_meta.cli.shared.options import Seed, WorkersOption, count_workers

if TYPE_CHECKING:
    from transfer_meta.evaluation.benchmark import BenchmarkResult
    from transfer_meta.records import OnProgress

TARGET = "demo:topic"
TABLE = "bingel-soegaard-2017"
GRID = "minilm-grid"
REPEATS = 20
"""Shuffles under the shuffled protocol and splits for the coefficients: a fifth of what the paper has."""
PREDICTORS_SHOWN = (
    "always-gain", "target-gain-rate", "random-fingerprints", "source-popularity", "logistic", "lightgbm",
)  # fmt: skip
GRID_PREDICTORS = ("random", "source-popularity", "textemb", "taskemb-centred", "default")
GRID_METRICS = ("auroc_within_target", "spearman", "ndcg", "regret@1", "regret@3")
REPORT_SHARE = 0.9
"""Share of the work behind the progress bar that is the report; the rest is the grid."""
NEXT = (
    (
        "tasks check demo:urgency",
        "how a file is read; a file of yours goes in the place of demo:urgency",
    ),
    ("recommend demo:reviews --html reviews.html", "the sources for another task, as a page"),
    (
        f"benchmark {TABLE} --predictors source-popularity,ridge",
        f"compare predictors; a table of your own outcomes goes in the place of {TABLE}",
    ),
)
"""Commands to go on with, and what for."""


def quickstart_command(
    out: Annotated[Path, Option(help="Folder for the report.")] = Path("quickstart"),
    seed: Seed = 0,
    workers: WorkersOption = None,
) -> None:
    """Answer for a demo task, and compare predictors on shipped outcomes.

    It takes less than a minute. First the sources for support messages by topic, which takes seconds; then Bingel &
    Søgaard's 90 pairs, under their protocol and under strict ones, and this package's own grid of fine-tuning runs,
    with a report.

    Example: transfer-meta quickstart --out quickstart
    """
    from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
    from transfer_meta.evaluation.benchmark_text import metrics_text
    from transfer_meta.pages.build import ReportSettings, report
    from transfer_meta.recommender.recommend import RecommendSettings, recommend

    show(f"Which source for {TARGET}, 200 support messages by topic?\n")
    show(recommend(TARGET, RecommendSettings(top=3, mode="text")))

    path = out / "report.html"
    n_workers = count_workers(workers)
    with progress("benchmarks and report") as on_progress:
        found = report(
            TABLE,
            ReportSettings(repeats=REPEATS, seed=seed, workers=n_workers),
            out=path,
            on_progress=_part(on_progress, 0, REPORT_SHARE),
        )
        grid = benchmark(
            GRID,
            BenchmarkSettings(predictors=GRID_PREDICTORS, seed=seed, workers=n_workers),
            on_progress=_part(on_progress, REPORT_SHARE, 1),
        )
    show()
    _print_protocols(found.benchmarks)
    show(
        "pairs-5fold, the paper's protocol, leaves both tasks of a test pair in the training folds: there random\n"
        "numbers in the place of the features do as well as the features. The default is leave-one-target-out.\n"
    )
    show(metrics_text(grid, GRID_METRICS))
    show(f"\nAll predictors, protocols and features: {path}\n\nNext:")
    for command, purpose in NEXT:
        show(f"  {_program()} {command}\n      {purpose}")


def _print_protocols(results: Iterable[BenchmarkResult]) -> None:
    """Write the accuracy of some predictors, one column a protocol."""
    tables = {result.settings.protocol.name: result for result in results}
    first = next(iter(tables.values()))
    accuracy = {name: result.table()["accuracy"] for name, result in tables.items()}
    shown = [
        key
        for key in next(iter(accuracy.values())).index
        if key[0] in PREDICTORS_SHOWN and key[1] in ("–", "all")
    ]
    print_table(
        ("predictor", *tables),
        [(key[0], *(float(values[key]) for values in accuracy.values())) for key in shown],
        title=f"{first.dataset}, {first.n_pairs} pairs, {first.n_targets} targets: accuracy of predicting a gain",
    )


def _part(on_progress: OnProgress, begin: float, end: float) -> OnProgress:
    """Return a function that reports the progress of a part of the work, from `begin` to `end` of the whole."""

    def part(done: int, total: int) -> None:
        on_progress(round(1000 * (begin + (end - begin) * done / max(total, 1))), 1000)

    return part


def _program() -> str:
    """Return what to type for this program, where the user stands."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("transfer_meta", "__main__.py"):
        return f"{shlex.quote(sys.executable)} -m transfer_meta"
    found = shutil.which("transfer-meta")
    # Of another name it is called by a test or from Python.
    if called.stem != "transfer-meta" or (found and called.exists() and called.samefile(found)):
        return "transfer-meta"
    return shlex.quote(str(called))
