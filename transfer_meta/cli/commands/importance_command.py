"""``transfer-meta importance``: which features a predictor goes by."""

from __future__ import annotations

from typing import Annotated

import typer

from transfer_meta.cli.shared.console import print_json, print_table, progress
from transfer_meta.cli.shared.options import (
    AsJson,
    ColumnsOption,
    Dataset,
    Features,
    Seed,
    TasksFile,
    VectorsOption,
    load,
)


def importance_command(
    dataset: Dataset,
    tasks: TasksFile = None,
    columns: ColumnsOption = None,
    vectors: VectorsOption = None,
    predictor: Annotated[
        str | None,
        typer.Option(help="Default: logistic; lightgbm for --method shap.", show_default=False),
    ] = None,
    method: Annotated[str, typer.Option(help="coefficients, permutation or shap.")] = "coefficients",
    by: Annotated[
        str, typer.Option(help="feature, role or group: what is weighed together.")
    ] = "feature",
    features: Features = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            help="Random splits; default: 100 for coefficients, 10 for the others.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Rows shown; default: 20, in JSON all.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which features a predictor goes by.

    For example:

      transfer-meta importance bingel-soegaard-2017

      transfer-meta importance bingel-soegaard-2017 --method permutation --by role
    """
    from transfer_meta.importance import IMPORTANCE_COLUMNS, feature_importance
    from transfer_meta.metadataset import build_metadataset
    from transfer_meta.predictors import make_predictor

    predictor = predictor or ("lightgbm" if method == "shap" else "logistic")
    estimator = make_predictor(predictor, random_state=seed)
    table = load(dataset, tasks, columns, vectors)
    data = build_metadataset(table, features or "all")
    with progress(method) as on_progress:
        rows = feature_importance(
            data, estimator, method=method, by=by, repeats=repeats, seed=seed, on_progress=on_progress
        )
    shown = rows.head(top if top is not None else len(rows) if as_json else 20)
    if as_json:
        print_json(
            {
                "dataset": table.name,
                "predictor": predictor,
                "method": method,
                "rows": shown.to_dict("records"),
            }
        )
        return
    title = f"{table.name}, {predictor}, {method}: {len(shown)} of {len(rows)}"
    print_table(IMPORTANCE_COLUMNS, shown.values.tolist(), title=title)
