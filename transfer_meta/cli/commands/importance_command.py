"""``transfer-meta importance``: which features the predictions of a predictor depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from transfer_meta.cli.shared.console import print_json, print_records, progress
from transfer_meta.cli.shared.options import AsJson, Features, Seed, with_options
from transfer_meta.cli.shared.table_options import VectorTableOptions


@dataclass(frozen=True, kw_only=True)
class ImportanceOptions(VectorTableOptions):
    """Options of ``importance``."""

    predictor: Annotated[
        str | None, Option(help="Default: logistic, or lightgbm with --method shap.")
    ] = None
    method: Annotated[str, Option(help="coefficients, permutation or shap.")] = "coefficients"
    by: Annotated[str, Option(help="Importance of each feature, of each role or of each group.")] = (
        "feature"
    )
    features: Features = None
    repeats: Annotated[
        int | None,
        Option(help="Random splits; default: 100 for coefficients, 10 for the other methods."),
    ] = None
    seed: Seed = 0
    top: Annotated[int | None, Option(min=1, help="Rows to show; default: 20, in JSON all.")] = None


@with_options
def importance_command(*, options: ImportanceOptions, as_json: AsJson = False) -> None:
    """Show which features the predictions depend on.

    Example: transfer-meta importance bingel-soegaard-2017 --method permutation --by role
    """
    from transfer_meta.feature_importance import feature_importance
    from transfer_meta.metadataset import build_metadataset
    from transfer_meta.predictors import make_predictor

    predictor = options.predictor or ("lightgbm" if options.method == "shap" else "logistic")
    estimator = make_predictor(predictor, random_state=options.seed)
    table = options.load()
    data = build_metadataset(table, options.features or "all")
    with progress(options.method) as on_progress:
        rows = feature_importance(
            data,
            estimator,
            method=options.method,
            by=options.by,
            repeats=options.repeats,
            seed=options.seed,
            on_progress=on_progress,
        )
    shown = rows.head(options.top or (len(rows) if as_json else 20)).to_dict("records")
    if as_json:
        heading = {"dataset": table.name, "predictor": predictor, "method": options.method}
        print_json({**heading, "rows": shown, "notes": list(table.notes)})
        return
    title = f"{table.name}, {predictor}, {options.method}: {len(shown)} of {len(rows)}"
    print_records(shown, title=title)
