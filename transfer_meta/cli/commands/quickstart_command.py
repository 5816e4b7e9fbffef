"""``transfer-meta quickstart``: a tour of the package on the outcomes that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from transfer_meta.cli.commands.benchmark_command import METRICS_SHOWN
from transfer_meta.cli.shared.benchmark_tables import print_benchmark
from transfer_meta.cli.shared.console import print_records, progress
from transfer_meta.cli.shared.options import Seed, WorkersOption, count_workers

QUICKSTART_TABLE = "bingel-soegaard-2017"
GRID = "minilm-grid"
GRID_PREDICTORS = ("random", "source-popularity", "textemb", "taskemb-centred", "default")
GRID_METRICS = ("auroc_within_target", "spearman", "ndcg", "regret@1", "regret@3")


def quickstart_command(
    out: Annotated[Path, Option(help="Folder for the report.")] = Path("quickstart"),
    seed: Seed = 0,
    workers: WorkersOption = None,
) -> None:
    """Run benchmarks and a report on shipped outcomes.

    It takes about a minute. First Bingel & Søgaard's 90 pairs, under their protocol and under strict ones, with the
    features that matter; then this package's own grid of fine-tuning runs, with the target held out.

    Example: transfer-meta quickstart --out quickstart
    """
    from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
    from transfer_meta.files import atomic_file
    from transfer_meta.outcomes.tables import load_outcomes
    from transfer_meta.pages import build_report, write_report

    path = out / "report.html"
    # Opened first: a folder that cannot be written to is reported before the work is done.
    with atomic_file(path) as temporary:
        with progress("benchmark and importance") as on_progress:
            table = load_outcomes(QUICKSTART_TABLE)
            report = build_report(
                table, seed=seed, workers=count_workers(workers), on_progress=on_progress
            )
        write_report(report, temporary)
    with progress(GRID) as on_progress:
        settings = BenchmarkSettings(
            predictors=GRID_PREDICTORS, seed=seed, workers=count_workers(workers)
        )
        grid = benchmark(load_outcomes(GRID), settings, on_progress=on_progress)
    for result in report.benchmarks:
        print_benchmark(result, METRICS_SHOWN)
        print()
    top = report.importances["coefficients", "feature"].head(10).to_dict("records")
    print_records(top, title="Ten largest coefficients, 100 random 80/20 splits")
    print()
    print_benchmark(grid, GRID_METRICS)
    print(f"report on {QUICKSTART_TABLE}: {path}")
