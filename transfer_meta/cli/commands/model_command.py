"""``transfer-meta fit`` and ``transfer-meta predict``: save a fitted predictor, and apply it to new pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from transfer_meta.cli.shared.console import print_json, print_records, progress, show, tell
from transfer_meta.cli.shared.options import (
    AsJson,
    Seed,
    is_given,
    refuse_ignored,
    settings_of,
    with_options,
)
from transfer_meta.cli.shared.table_options import (
    ColumnsOption,
    DecimalSign,
    TableEncoding,
    TableOptions,
    TableSeparator,
    TasksFile,
    parse_columns,
)

if TYPE_CHECKING:
    from transfer_meta.outcomes.tables import OutcomeTable


@dataclass(frozen=True, kw_only=True)
class FitOptions(TableOptions):
    """Options of ``fit``."""

    out: Annotated[Path, Option(help="Folder to write; a model in it is replaced.")]
    predictor: Annotated[str, Option(help="Name of the predictor.")] = "logistic"
    features: Annotated[str, Option(help="Feature set or regular expression.")] = "all"
    seed: Seed = 0
    recommender: Annotated[
        bool,
        Option(
            "--recommender",
            help="Fit the models of `recommend`: on a shipped table, or on your outcomes with those that ship.",
        ),
    ] = False
    tasks_folder: Annotated[
        Path | None,
        Option(metavar="DIR", help="With --recommender: files and cards of the table's tasks."),
    ] = None
    encoder: Annotated[
        str | None,
        Option(
            help="With --recommender: the model that was tuned, for a table without a column of it."
        ),
    ] = None
    method: Annotated[str, Option(help="With --recommender: intermediate or multitask.")] = (
        "intermediate"
    )


@with_options
def fit_command(context: Context, *, options: FitOptions) -> None:
    """Fit a predictor on all pairs of a table and save it.

    The folder holds JSON, LightGBM's text format and a card with the leave-one-target-out figures. The shipped
    recommender is made by: transfer-meta fit atlas --recommender --out data/atlas. With a file of your own,
    --recommender learns from its outcomes together with those that ship, for: transfer-meta recommend --model DIR

    Example: transfer-meta fit my_runs.csv --tasks my_tasks.csv --predictor lightgbm --out model/
    """
    of_recommender = ("tasks_folder", "encoder", "method")
    if options.recommender:
        refuse_ignored(context, ("predictor", "features", "tasks", "seed"), "with --recommender")
        of_files = (
            "columns",
            "separator",
            "encoding",
            "decimal",
            "lower_is_better",
            "strict",
            "verbose",
        )
        if Path(options.dataset).is_file():
            is_plain = not any(is_given(context, name) for name in of_files)
            _fit_own_recommender(Path(options.dataset) if is_plain else options.load(), options)
            return
        refuse_ignored(
            context, (*of_files, *of_recommender), "with --recommender on a table that ships"
        )
        _fit_recommender(options.dataset, options.out)
        return
    refuse_ignored(context, of_recommender, "without --recommender")
    from transfer_meta.model import FitSettings, fit
    from transfer_meta.predictors import make_predictor

    if not make_predictor(options.predictor).uses_features:
        reason = f"on predictor {options.predictor}, which uses no features"
        refuse_ignored(context, ["features", "tasks"], reason)
    settings = FitSettings(**settings_of(options, FitSettings))
    model = fit(options.load(), settings)
    model.save(options.out)
    show(model.figures_text(saved_in=options.out))


def predict_command(
    folder: Annotated[Path, Argument(metavar="DIR", help="Folder written by `fit`.")],
    pairs: Annotated[
        Path, Argument(metavar="PAIRS", help="CSV, TSV or Parquet with columns source and target.")
    ],
    tasks: TasksFile = None,
    columns: ColumnsOption = None,
    separator: TableSeparator = None,
    encoding: TableEncoding = None,
    decimal: DecimalSign = None,
    as_json: AsJson = False,
) -> None:
    """Predict the gains of pairs of tasks.

    For each pair: the probability of a gain, and its expected size. The model holds the features of the tasks that
    it was fitted on; --tasks adds those of others.

    Example: transfer-meta predict model/ pairs.csv --json
    """
    from transfer_meta.model import load_model
    from transfer_meta.outcomes.table_settings import TableSettings
    from transfer_meta.readers.whole_table import TableFormat

    form = TableFormat(separator, encoding, decimal)
    settings = TableSettings(columns=parse_columns(columns), form=form)
    predictions = load_model(folder).predict(
        pairs, tasks, settings=settings, tell=lambda note: tell(f"{pairs.name}: {note}")
    )
    if as_json:
        print_json(predictions.to_dict())
    else:
        show(predictions)


def _fit_own_recommender(outcomes: Path | OutcomeTable, options: FitOptions) -> None:
    from transfer_meta.recommender.own_recommender import OwnRecommenderSettings, fit_own_recommender

    settings = OwnRecommenderSettings(**settings_of(options, OwnRecommenderSettings))
    with progress("held-out targets") as on_progress:
        made = fit_own_recommender(outcomes, settings, tell=tell, on_progress=on_progress)
    made.save(options.out)
    tell(made.caption)
    show(made)


def _fit_recommender(dataset: str, out: Path) -> None:
    from transfer_meta.recommender.own_recommender import FIGURES_SHOWN
    from transfer_meta.recommender.persistence import rebuild

    with progress("held-out targets") as on_progress:
        made = rebuild(dataset, out, on_progress=on_progress)
    print_records(
        [
            {"mode": mode, "setting": setting, **{name: figures[name] for name in FIGURES_SHOWN}}
            for mode, model in made.items()
            for setting, figures in model.card["figures"].items()
        ],
        title=f"recommenders in {out}; leave-one-task-out, and leave-one-encoder-out",
    )
