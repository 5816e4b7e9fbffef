"""``transfer-meta benchmark``: how well gains can be predicted from a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.console import print_json, print_table, progress
from transfer_meta.cli.options import (
    AsJson,
    Columns,
    Dataset,
    Features,
    Jobs,
    Seed,
    TasksFile,
    Vectors,
    cores,
    load,
    split_list,
)

if TYPE_CHECKING:
    from transfer_meta.evaluation.benchmark import BenchmarkResult

# More reasons than this would bury the table.
SKIPPED_EXPLAINED = 3
SHOWN = ("accuracy", "f1", "auroc_within_target", "spearman", "ndcg", "regret@1")


def benchmark(
    dataset: Dataset,
    tasks: TasksFile = None,
    columns: Columns = None,
    vectors: Vectors = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="pairs-5fold, leave-one-target-out, leave-one-task-out or leave-two-tasks-out."
        ),
    ] = "leave-one-target-out",
    predictors: Annotated[
        str | None,
        typer.Option(help="Names, separated by commas; default: all untuned.", show_default=False),
    ] = None,
    features: Features = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Names, separated by commas; default: all in JSON, a choice in the table.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Shuffles (default 100), or draws of random controls (default 20).", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    n_jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictors, baselines and controls on logged outcomes.

    Examples:

      transfer-meta benchmark bingel-soegaard-2017 --protocol pairs-5fold

      transfer-meta benchmark my_runs.csv --tasks my_tasks.csv --columns source=aux,target=main --json
    """
    from transfer_meta.evaluation.benchmark import BenchmarkSettings
    from transfer_meta.evaluation.benchmark import benchmark as run

    settings = BenchmarkSettings(
        protocol=protocol,
        predictors=split_list(predictors),
        # A regular expression may hold commas: it is one feature set.
        features=(features,) if features else (),
        metrics=split_list(metrics),
        repeats=repeats,
        seed=seed,
        n_jobs=cores(n_jobs),
    )
    table = load(dataset, tasks, columns, vectors)
    with progress(protocol) as on_progress:
        result = run(table, settings, on_progress=on_progress)
    if as_json:
        print_json(result.to_dict())
    else:
        print_benchmark(result, split_list(metrics) or SHOWN)


def print_benchmark(result: BenchmarkResult, metrics: tuple[str, ...]) -> None:
    """The figures as a table: value ± standard deviation over repeats, or [95 % interval over targets]."""
    cells = {(r.predictor, r.features, r.metric): r for r in result.rows.itertuples()}
    keys = list(dict.fromkeys((p, f) for p, f, _ in cells))
    metrics = tuple(m for m in metrics if any((*key, m) in cells for key in keys))
    repeats = f" × {result.settings.draws}" if result.settings.protocol == "pairs-5fold" else ""
    title = f"{result.dataset}, {result.settings.protocol}{repeats}: {result.n_pairs} pairs"
    title += f", {result.n_targets} targets"
    if not math.isnan(result.positive_rate):
        title += f", {result.positive_rate:.0%} gains"
    rows = [(p, f, *(_cell(cells.get((p, f, m))) for m in metrics)) for p, f in keys]
    print_table(("predictor", "features", *metrics), rows, title=title)
    spreads = "± standard deviation over repeats; [95 % bootstrap interval over targets]; – undefined"
    print(f"{spreads}; {result.seconds:.1f} s")
    if len(result.skipped) > SKIPPED_EXPLAINED:
        print(
            f"skipped, as the table lacks what they need (--json says what): {', '.join(result.skipped)}"
        )
        return
    for name, reason in result.skipped.items():
        print(f"skipped {name}: {reason}")


def _cell(row: Any) -> str | None:
    """One figure with its spread, from a row of `BenchmarkResult.rows`; None where it is undefined."""
    if row is None or math.isnan(row.value):
        return None
    if not math.isnan(row.std):
        return f"{row.value:.3f} ±{row.std:.3f}"
    if not math.isnan(row.ci_low):
        return f"{row.value:.3f} [{row.ci_low:.2f}, {row.ci_high:.2f}]"
    return f"{row.value:.3f}"
