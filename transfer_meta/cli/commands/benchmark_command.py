"""``transfer-meta benchmark``: how well gains can be predicted from a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from transfer_meta.cli.shared.console import print_json, progress, show
from transfer_meta.cli.shared.options import (
    AsJson,
    Features,
    Seed,
    WorkersOption,
    count_workers,
    refuse_ignored,
    settings_of,
    split_list,
    with_options,
)
from transfer_meta.cli.shared.table_options import VectorTableOptions

if TYPE_CHECKING:
    from transfer_meta.evaluation.benchmark import BenchmarkSettings


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(VectorTableOptions):
    """Options of ``benchmark``."""

    protocol: Annotated[
        str,
        Option(
            help="pairs-5fold, leave-one-target-out, leave-one-task-out, leave-one-source-out or"
            " leave-two-tasks-out."
        ),
    ] = "leave-one-target-out"
    predictors: Annotated[
        str | None, Option(help="Names, separated by commas; default: all untuned ones.")
    ] = None
    features: Features = None
    metrics: Annotated[
        str | None, Option(help="Names, separated by commas; default: all in JSON, six in the table.")
    ] = None
    repeats: Annotated[
        int | None,
        Option(help="Shuffles (default: 100), or draws of the random controls (default: 20)."),
    ] = None
    compare: Annotated[
        str | None,
        Option(
            metavar="METRIC",
            help="Metric to compare predictors by, printed as a matrix; default: spearman, a matrix if small.",
        ),
    ] = None
    gain_definition: Annotated[
        str,
        Option(
            help="Gain of a pair: mean-gain, or taskshop (half the mean gain, half the share of gains)."
        ),
    ] = "mean-gain"
    seed: Seed = 0
    workers: WorkersOption = None

    def to_settings(self) -> BenchmarkSettings:
        """Return the library's settings."""
        from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings

        values = settings_of(self, BenchmarkSettings) | {
            "predictors": split_list(self.predictors),
            # A regular expression may hold commas: one set only.
            "features": (self.features,) if self.features else (),
            "metrics": split_list(self.metrics),
            "workers": count_workers(self.workers),
        }
        return BenchmarkSettings(**values)


@with_options
def benchmark_command(
    context: Context,
    *,
    options: BenchmarkOptions,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Also write the figures as a file for `leaderboard`, or add them to it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare predictors and baselines on logged outcomes.

    Example: transfer-meta benchmark my_runs.csv --tasks my_tasks.csv --columns source=aux,target=main
    """
    from transfer_meta.evaluation.benchmark import benchmark
    from transfer_meta.evaluation.result_file import read_result

    table = options.load()
    settings = options.to_settings()
    _refuse_ignored(context, settings)
    if out is not None and out.exists():
        read_result(out)  # before the work is done
    with progress(settings.protocol.name) as on_progress:
        result = benchmark(table, settings, on_progress=on_progress)
    if out is not None:
        result.save(out)
    if as_json:
        print_json(result.to_dict())
    else:
        show(result)


def _refuse_ignored(context: Context, settings: BenchmarkSettings) -> None:
    from transfer_meta.predictors import make_predictor

    chosen = [make_predictor(name) for name in settings.predictors]
    if chosen and not any(predictor.uses_features for predictor in chosen):
        refuse_ignored(
            context, ["features", "tasks", "vectors"], "on these predictors, which use no features"
        )
    if len(chosen) == 1 and (len(settings.features) == 1 or not chosen[0].uses_features):
        refuse_ignored(context, ["compare"], "with one predictor")
    drawn = settings.protocol.is_shuffled or any(predictor.stochastic for predictor in chosen)
    if chosen and not drawn:
        reason = f"under {settings.protocol.name} without a random control among the predictors"
        refuse_ignored(context, ["repeats"], reason)
