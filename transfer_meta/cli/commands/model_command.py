"""``transfer-meta fit`` and ``transfer-meta predict``: a model to keep, and what it says of new pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfer_meta.cli.shared.console import print_json, print_table
from transfer_meta.cli.shared.options import (
    AsJson,
    ColumnsOption,
    Dataset,
    Seed,
    TasksFile,
    load,
    parse_columns,
)


def fit_command(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write; replaced if it is a model.")],
    predictor: Annotated[str, typer.Option(help="Name of the predictor.")] = "logistic",
    features: Annotated[str, typer.Option(help="Feature set or regular expression.")] = "all",
    tasks: TasksFile = None,
    columns: ColumnsOption = None,
    seed: Seed = 0,
    recommender: Annotated[
        bool,
        typer.Option(
            "--recommender",
            help="Fit what `recommend` uses, a folder for each of its modes, on a shipped table.",
        ),
    ] = False,
) -> None:
    """Fit a predictor on all pairs of a table and save it.

    The folder holds JSON, LightGBM text and a card with the leave-one-target-out figures.

    The recommender that ships is made by: transfer-meta fit minilm-grid --recommender --out data/minilm_grid/models
    """
    if recommender:
        _fit_recommender(dataset, out)
        return
    from transfer_meta.model import fit_model, save_model

    model = fit_model(load(dataset, tasks, columns), predictor, features=features, seed=seed)
    save_model(model, out)
    print_table(
        ("metric", "value"),
        list(model.card["figures"].items()),
        title=f"{predictor} on {model.card['n_pairs']} pairs, saved in {out}; {model.card['protocol']}",
    )


def predict_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that fit wrote.")],
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="CSV, TSV or Parquet with source and target.")
    ],
    tasks: TasksFile = None,
    columns: ColumnsOption = None,
    as_json: AsJson = False,
) -> None:
    """Predict the probability and the size of the gain of pairs.

    The features of tasks that the model was fitted on are in the model; --tasks brings those of others.
    """
    from transfer_meta.model import load_model
    from transfer_meta.outcomes.table_checks import rename_columns, task_table
    from transfer_meta.readers.whole_table import read_table

    model = load_model(folder)
    frame = rename_columns(read_table(pairs), parse_columns(columns))
    result = model.predict(frame, tasks=None if tasks is None else task_table(read_table(tasks)))
    if as_json:
        print_json(
            {
                "model": str(folder),
                "predictor": model.card["predictor"],
                "rows": result.to_dict("records"),
            }
        )
    else:
        print_table([str(c) for c in result], result.values.tolist())


def _fit_recommender(dataset: str, out: Path) -> None:
    from transfer_meta.cli.shared.console import progress
    from transfer_meta.recommender.persistence import rebuild

    with progress("held-out targets") as on_progress:
        made = rebuild(dataset, out, on_progress=on_progress)
    figures = list(next(iter(made.values())).card["figures"])
    print_table(
        ("mode", *figures),
        [(name, *(one.card["figures"][f] for f in figures)) for name, one in made.items()],
        title=f"recommenders in {out}; leave-one-task-out",
    )
