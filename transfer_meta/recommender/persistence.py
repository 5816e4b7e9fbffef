"""Storage of fitted recommenders: save, load, rebuild, and find those shipped with the package."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError
from transfer_meta.evaluation.conformal import Conformal
from transfer_meta.model import MODEL_FORMAT, Model, load_model
from transfer_meta.outcomes import shipped
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.recommender.catalogue_facts import VECTORS_FILE, catalogue
from transfer_meta.recommender.describe_target import embed_catalogue
from transfer_meta.recommender.domain import Domain
from transfer_meta.recommender.fitting import Recommender, fit_recommender
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import MODES, pair_columns, task_features
from transfer_meta.recommender.library import ATLAS, Library, methods_of, open_library
from transfer_meta.records import OnProgress

GAIN_MODEL_KEY = "advisor"
"""Key of the gain model in a stored card."""


def save_recommender(recommender: Recommender, folder: Path | str, tasks: pd.DataFrame) -> None:
    """Write a recommender to a folder, in the format of `transfer_meta.model` (JSON and CSV, no code)."""
    gain_model = recommender.gain_model
    card = {
        "format": MODEL_FORMAT,
        "version": __version__,
        "predictor": "ridge",
        "columns": list(gain_model.ridge.feature_names_in_),
        "pair_features": pair_columns(recommender.card["mode"]),
        "has_gain": True,
        **recommender.card,
        GAIN_MODEL_KEY: gain_model.to_dict(),
        "conformal": {
            basis: {name: vars(found) for name, found in intervals.items()}
            for basis, intervals in recommender.conformal.items()
        },
        "domain": vars(recommender.domain),
    }
    Model(predictor=gain_model.ridge, tasks=tasks, card=card).save(folder)


def load_recommender(folder: Path | str) -> Recommender:
    """Read a folder written by `save_recommender`.

    Raises
    ------
    InputError
        The folder is missing, corrupt, or holds another kind of model.
    """
    model = load_model(folder)
    card = dict(model.card)
    if GAIN_MODEL_KEY not in card or not isinstance(model.predictor, RidgePredictor):
        raise InputError(f"the model in '{folder}' is not of a recommender")
    try:
        return Recommender(
            gain_model=GainModel.from_dict(model.predictor, card.pop(GAIN_MODEL_KEY)),
            conformal={
                basis: {name: Conformal(**v) for name, v in intervals.items()}
                for basis, intervals in card.pop("conformal").items()
            },
            domain=Domain(**card.pop("domain")),
            card=card,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the model in '{folder}' is corrupt: {type(error).__name__}: {error}"
        ) from error


def model_name(mode: str, method: str) -> str:
    """Return the folder name of a table's model."""
    return mode if method == "intermediate" else f"{method}-{mode}"


def rebuild(
    dataset: str, out: Path | str, *, on_progress: OnProgress = lambda *_: None
) -> dict[str, Recommender]:
    """Fit and save the recommenders of every mode and method of a library, one folder each in `out`.

    Deterministic: nothing is drawn at random.
    """
    made = {}
    if dataset == ATLAS and catalogue():
        embed_catalogue(Path(out) / VECTORS_FILE, open_library(dataset))
    for method in methods_of(dataset):
        library = open_library(dataset, method=method)
        for mode in MODES:
            if mode == "sources" and library.scores is None:
                continue
            recommender = fit_recommender(library, mode, on_progress=on_progress)
            name = model_name(mode, method)
            tasks = task_features(list(library.profiles.values()), mode)
            save_recommender(recommender, Path(out) / name, tasks)
            made[name] = recommender
    return made


def shipped_models(library: str) -> dict[str, Path]:
    """Return the folders of the recommenders that ship with a library, by `model_name`."""
    if library != ATLAS:
        return shipped.find_shipped(library).models
    return {path.name: path for path in sorted((shipped.data_folder() / ATLAS).glob("*/"))}


def shipped_recommender(library: Library, mode: str) -> Recommender:
    """Load the recommender shipped with a library.

    Raises
    ------
    InputError
        None is shipped for the library's method and this mode.
    """
    models = shipped_models(library.name)
    name = model_name(mode, library.method)
    if name not in models:
        raise InputError(
            f"no recommender for method '{library.method}' and mode '{mode}' ships with '{library.name}'"
            f" (it has: {', '.join(models) or 'none'})"
        )
    return load_recommender(models[name])
