"""``transfer-meta benchmark``: how well gains can be predicted from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from transfer_meta.cli.shared.benchmark_tables import print_benchmark
from transfer_meta.cli.shared.console import print_json, progress
from transfer_meta.cli.shared.options import (
    AsJson,
    ColumnsOption,
    Dataset,
    Features,
    Seed,
    TasksFile,
    VectorsOption,
    WorkersOption,
    cores,
    load,
    split_list,
)

if TYPE_CHECKING:
    from transfer_meta.outcomes.tables import OutcomeTable

METRICS_SHOWN = ("accuracy", "f1", "auroc_within_target", "spearman", "ndcg", "regret@1")


def benchmark_command(
    dataset: Dataset,
    tasks: TasksFile = None,
    columns: ColumnsOption = None,
    vectors: VectorsOption = None,
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
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="Print who is better than whom by this metric; default: where predictors are few, by Spearman's.",
            show_default=False,
        ),
    ] = None,
    gain_definition: Annotated[
        str,
        typer.Option(
            help="What a pair's gain is: its mean-gain, or taskshop, half the mean and half how often it is one."
        ),
    ] = "mean-gain",
    seed: Seed = 0,
    workers: WorkersOption = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictors, baselines and controls on logged outcomes.

    Examples:

      transfer-meta benchmark bingel-soegaard-2017 --protocol pairs-5fold

      transfer-meta benchmark my_runs.csv --tasks my_tasks.csv --columns source=aux,target=main --json

      transfer-meta benchmark my_runs.csv --predictors ridge,gp,default --compare ndcg

      transfer-meta benchmark minilm-grid --predictors ridge --features groups
    """
    from transfer_meta.evaluation.benchmark import BenchmarkSettings
    from transfer_meta.evaluation.benchmark import benchmark as run

    table = load(dataset, tasks, columns, vectors)
    settings = BenchmarkSettings(
        protocol=protocol,
        predictors=split_list(predictors),
        features=_feature_sets(features, table),
        metrics=split_list(metrics),
        repeats=repeats,
        seed=seed,
        workers=cores(workers),
        compare=compare,
        gain_definition=gain_definition,
    )
    with progress(protocol) as on_progress:
        result = run(table, settings, on_progress=on_progress)
    if as_json:
        print_json(result.to_dict())
    else:
        print_benchmark(result, split_list(metrics) or METRICS_SHOWN)


def _feature_sets(features: str | None, table: OutcomeTable) -> tuple[str, ...]:
    """The feature sets asked for; a regular expression may hold commas, so that a name is one set."""
    if features != "groups":
        return (features,) if features else ()
    from transfer_meta.metadataset import ablation_sets

    return ablation_sets(table)
