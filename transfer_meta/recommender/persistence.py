"""Storage of fitted recommenders: save, load, rebuild, and find those shipped with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError
from transfer_meta.evaluation.conformal import Conformal
from transfer_meta.model import GAIN_MODEL_KEY, MODEL_FORMAT, Model, read_model
from transfer_meta.outcomes import shipped
from transfer_meta.predictors.ridge import RidgePredictor
from transfer_meta.predictors.state_kinds import (
    POSITIVE,
    ByName,
    Items,
    Kind,
    Number,
    Numbers,
    Record,
    Scope,
    StateError,
    Text,
    at,
    scales,
)
from transfer_meta.recommender.catalogue_facts import VECTORS_FILE, catalogue
from transfer_meta.recommender.describe_target import embed_catalogue
from transfer_meta.recommender.domain import COMPARED_TEXT, Domain
from transfer_meta.recommender.fitting import UNKNOWN_SETTING, Recommender, fit_recommender
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import (
    BASES,
    COMPARED_STATISTICS,
    KINDS_OF_MODE,
    MODES,
    OUTCOMES,
    pair_columns,
    task_features,
)
from transfer_meta.recommender.library import (
    ATLAS,
    LIBRARY_METHODS,
    Library,
    methods_of,
    open_library,
)
from transfer_meta.recommender.training_pairs import target_level_features
from transfer_meta.records import OnProgress

STORED_SETTING = Record(
    {
        **dict.fromkeys(("name", "table", "encoder", "adaptation", "regime"), Text()),
        "n_outcomes": Number(low=0, whole=True),
        "more_tables": Items(Text(), optional=True),
    }
)
"""Kinds of the fields of a stored `library.Setting`."""
_SCALE = Record(
    {
        "mean": Number(),
        "unit": Number(low=POSITIVE),
        "platt": Record({basis: Numbers(2, plain=True) for basis in BASES}),
    }
)
_LEVEL = Record(
    {
        "mean": Number(),
        "centre": Numbers("task_features", plain=True),
        "scale": scales("task_features", plain=True),
        "coef": Numbers("task_features", plain=True),
        "penalty": Number(low=0, may_be_none=True),
    }
)
_INTERVAL = Record(
    {
        "coverage": Number(0, 1),
        "low_offset": Number(high=0),
        "high_offset": Number(low=0),
        "n_targets": Number(low=0, whole=True),
    }
)
_FIGURES = ByName(Number(unknown=True, may_be_none=True))
RECOMMENDER_CARD: Mapping[str, Kind] = {
    "mode": Text(MODES),
    "method": Text(LIBRARY_METHODS),
    "settings": Items(STORED_SETTING),
    "n_targets": Number(low=0, whole=True),
    "n_outcomes": Number(low=0, whole=True),
    "figures": ByName(_FIGURES),
    "reliability": ByName(Items(_FIGURES)),
    "measured_own": Items(Text(), optional=True),
    GAIN_MODEL_KEY: Record(
        {
            "level": _LEVEL,
            "slope": Number(),
            "scales": ByName(_SCALE),
            "unknown": _SCALE,
            "untried": ByName(Numbers("regressors", plain=True), BASES),
        }
    ),
    "conformal": ByName(ByName(_INTERVAL), BASES),
    "domain": Record(
        {
            "centre": Numbers(len(COMPARED_STATISTICS), plain=True),
            "scale": scales(len(COMPARED_STATISTICS), plain=True),
            "statistics_limit": Number(low=0),
            "similarity_limits": ByName(Number(-1, 1, unknown=True), tuple(COMPARED_TEXT)),
            "types": Items(Text()),
        }
    ),
}
"""Entries of a recommender's card beside those of every model's."""


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
    model = read_model(folder, RECOMMENDER_CARD)
    card = dict(model.card)
    try:
        _check_parts(model)
        return Recommender(
            gain_model=GainModel.from_dict(_ridge(model), card.pop(GAIN_MODEL_KEY)),
            conformal={
                basis: {name: Conformal(**v) for name, v in intervals.items()}
                for basis, intervals in card.pop("conformal").items()
            },
            domain=Domain(**card.pop("domain")),
            card=card,
        )
    except StateError as error:
        raise InputError(f"the model in '{folder}' is corrupt: card.json {error}") from error


def _ridge(model: Model) -> RidgePredictor:
    if not isinstance(model.predictor, RidgePredictor) or not model.predictor.history:
        raise StateError("is of another predictor than a recommender's")
    return model.predictor


def _check_parts(model: Model) -> None:
    """Raise StateError unless the parts of a recommender fit each other."""
    card, mode = model.card, str(model.card["mode"])
    expected = (list(task_features([], mode)), pair_columns(mode))
    if (list(model.tasks), card["pair_features"]) != expected:
        raise StateError(f"is of other features than those of mode {mode}")
    n_level = target_level_features(model.tasks, pd.Series(dtype=float), mode).shape[1]
    sizes = {"task_features": n_level, "regressors": len(_ridge(model).coef_)}
    gains = at(
        GAIN_MODEL_KEY, RECOMMENDER_CARD[GAIN_MODEL_KEY], card[GAIN_MODEL_KEY], Scope(sizes=sizes)
    )
    bases = {OUTCOMES, *gains["untried"]}
    if set(card["conformal"]) != bases:
        raise StateError(
            f"has intervals of other sources than it has coefficients of ({', '.join(bases)})"
        )
    names = {UNKNOWN_SETTING: card["figures"], **card["conformal"]}
    lacking = next((key for key, found in names.items() if UNKNOWN_SETTING not in found), None)
    if lacking is not None:
        raise StateError(f"lacks '{UNKNOWN_SETTING}' among its figures or intervals ({lacking})")
    limits = {kind for kind in KINDS_OF_MODE[mode] if kind in COMPARED_TEXT}
    if set(card["domain"]["similarity_limits"]) != limits:
        raise StateError("has a domain of other vectors than those of its mode")
    if any(setting["regime"].count("-") != 1 for setting in card["settings"]):
        raise StateError("has a setting of an unknown regime")


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
