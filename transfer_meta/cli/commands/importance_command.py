"""``transfer-meta importance``: which features the predictions of a predictor depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from transfer_meta.cli.shared.console import print_json, progress, show
from transfer_meta.cli.shared.options import AsJson, Features, Seed, settings_of, with_options
from transfer_meta.cli.shared.table_options import VectorTableOptions

if TYPE_CHECKING:
    from transfer_meta.feature_importance import ImportanceSettings


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

    def to_settings(self) -> ImportanceSettings:
        """Return the library's settings."""
        from transfer_meta.feature_importance import ImportanceSettings

        return ImportanceSettings(**settings_of(self, ImportanceSettings))


@with_options
def importance_command(*, options: ImportanceOptions, as_json: AsJson = False) -> None:
    """Show which features the predictions depend on.

    Example: transfer-meta importance bingel-soegaard-2017 --method permutation --by role
    """
    from transfer_meta.feature_importance import importance

    settings = options.to_settings()
    with progress(options.method) as on_progress:
        found = importance(options.load(), settings, on_progress=on_progress)
    if as_json:
        print_json(found.to_dict())
    else:
        show(found)
