"""Recommenders as folders, nothing in them that is code: written, read, rebuilt, and those that ship."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError
from transfer_meta.evaluation.conformal import Conformal
from transfer_meta.model import MODEL_FORMAT, Model, load_model, save_model
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.recommender.domain import Domain
from transfer_meta.recommender.fitting import Recommender, fit_recommender
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import MODES, pair_columns, task_features
from transfer_meta.recommender.library import Library, methods_of, open_library
from transfer_meta.records import OnProgress


def save_recommender(recommender: Recommender, folder: Path | str, tasks: pd.DataFrame) -> None:
    """Write a recommender as `transfer_meta.model` writes models: JSON and a table, nothing that is code."""
    advisor = recommender.advisor
    card = {
        "format": MODEL_FORMAT,
        "version": __version__,
        "predictor": "ridge",
        "columns": list(advisor.ridge.feature_names_in_),
        "pair_features": pair_columns(recommender.card["mode"]),
        "has_gain": True,
        **recommender.card,
        "advisor": advisor.to_dict(),
        "conformal": vars(recommender.conformal),
        "conformal_new": vars(recommender.conformal_new),
        "domain": vars(recommender.domain),
    }
    save_model(Model(predictor=advisor.ridge, tasks=tasks, card=card), folder)


def load_recommender(folder: Path | str) -> Recommender:
    """Read what `save_recommender` wrote; an InputError where it is missing, changed or something else."""
    model = load_model(folder)
    card = dict(model.card)
    if "advisor" not in card or not isinstance(model.predictor, RidgePredictor):
        raise InputError(f"the model in '{folder}' is not of a recommender")
    try:
        advisor = GainModel.from_dict(model.predictor, card.pop("advisor"))
        conformal = Conformal(**card.pop("conformal"))
        conformal_new = Conformal(**card.pop("conformal_new"))
        domain = Domain(**card.pop("domain"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the model in '{folder}' is corrupt: {type(error).__name__}: {error}"
        ) from error
    return Recommender(advisor, conformal, conformal_new, domain, card)


def model_name(mode: str, method: str) -> str:
    """Folder of a model among a table's models."""
    return mode if method == "intermediate" else f"{method}-{mode}"


def rebuild(
    dataset: str, out: Path | str, *, on_progress: OnProgress = lambda *_: None
) -> dict[str, Recommender]:
    """Fit the recommender of every mode, for every method that has outcomes, each into a folder of `out`.

    Same data, same predictions: nothing in it is drawn at random.
    """
    made = {}
    for method in methods_of(dataset):
        library = open_library(dataset, method=method)
        for mode in MODES:
            recommender = fit_recommender(library, mode, on_progress=on_progress)
            name = model_name(mode, method)
            tasks = task_features(list(library.profiles.values()), mode)
            save_recommender(recommender, Path(out) / name, tasks)
            made[name] = recommender
    return made


def shipped_recommender(library: Library, mode: str) -> Recommender:
    """The fitted recommender that ships with a library's table."""
    models = find_shipped(library.name).models
    name = model_name(mode, library.method)
    if name not in models:
        raise InputError(
            f"no recommender for method '{library.method}' and mode '{mode}' ships with '{library.name}'"
            f" (it has: {', '.join(models) or 'none'})"
        )
    return load_recommender(models[name])
