"""Fitted predictors saved as folders of plain files: JSON, LightGBM's text format and a table of tasks.

Nothing is unpickled or executed on loading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import benchmark
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.evaluation.pair_values import ranking_groups, seed_weights, training_values
from transfer_meta.evaluation.splits import DEFAULT_PROTOCOL
from transfer_meta.files import atomic_folder, digest
from transfer_meta.metadataset import build_metadataset, pair_inputs
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import PREDICTORS, TransferPredictor, make_predictor
from transfer_meta.records import ID_COLUMNS

MODEL_FORMAT = 1
"""Version of the folder's layout; a folder of another version is refused."""

CARD_METRICS = ("accuracy", "f1", "auroc_within_target", "brier", "spearman", "ndcg", "regret@3")
"""Metrics of the benchmark whose figures the card holds."""


@dataclass(frozen=True)
class Model:
    """A fitted predictor with the features of its tasks.

    Parameters
    ----------
    predictor : TransferPredictor
        Fitted.
    tasks : DataFrame
        Features of the known tasks, one row per task.
    card : mapping
        Name of the predictor, columns, digest of the data, version, and figures of a benchmark.
    """

    predictor: TransferPredictor
    tasks: pd.DataFrame
    card: Mapping[str, Any]

    def predict(self, pairs: pd.DataFrame, *, tasks: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the probability that the source helps and the expected gain of each pair.

        Parameters
        ----------
        pairs : DataFrame
            Columns ``source``, ``target`` and the pair features seen in the fit.
        tasks : DataFrame, optional
            Features of further tasks, one row per task; they take precedence over those of the model.

        Returns
        -------
        DataFrame
            ``source``, ``target``, ``probability`` and ``expected_gain`` (a fraction); for a model of scores
            without baselines ``source``, ``target`` and ``ranking``.

        Raises
        ------
        InputError
            A column, a task or a feature is missing.
        """
        for column in ("source", "target"):
            if column not in pairs:
                raise InputError(
                    f"missing column '{column}' (the pairs have: {', '.join(map(str, pairs))})"
                )
        known = self.tasks
        if tasks is not None:
            lacking = [c for c in known if c not in tasks]
            if lacking:
                raise InputError(f"the table of tasks lacks the model's feature '{lacking[0]}'")
            known = pd.concat([tasks[list(known)], known[~known.index.isin(tasks.index)]])
        X, _ = pair_inputs(pairs, known, pair_features=tuple(self.card["pair_features"]))
        prediction = self.predictor.predict_pairs(X[self.card["columns"]])
        result = pairs[["source", "target"]].copy()
        if self.card["has_gain"]:
            return result.assign(probability=prediction.probability, expected_gain=prediction.gain)
        return result.assign(ranking=prediction.ranking)


def fit_model(
    table: OutcomeTable, predictor: str, *, features: str = "all", seed: int = 0, judge: bool = True
) -> Model:
    """Fit a predictor on all pairs of a table.

    Parameters
    ----------
    table : OutcomeTable
    predictor : str
        Key of `PREDICTORS`.
    features : str
        Feature set, see `build_metadataset`.
    seed : int
        Seed of the fit.
    judge : bool
        Whether to run the leave-one-target-out benchmark for the figures of the card.
    """
    data = build_metadataset(table, features)
    fitted = make_predictor(predictor, random_state=seed)
    fitted.check(data.X)
    figures: dict[str, float] = {}
    if judge:
        settings = BenchmarkSettings(
            predictors=(predictor,),
            features=(features,) if fitted.uses_features else (),
            metrics=CARD_METRICS,
            seed=seed,
        )
        rows = benchmark(table, settings).rows
        figures = dict(zip(rows["metric"], rows["value"].astype(float), strict=True))
    weight = seed_weights(table.pairs, ranking_groups(data))
    fitted.fit_weighted(data.X, training_values(data), weight)
    card = {
        "format": MODEL_FORMAT,
        "version": __version__,
        "predictor": predictor,
        "features": features,
        "columns": list(data.X.columns),
        "pair_features": list(table.pair_features),
        "has_gain": table.has_gain,
        "dataset": table.name,
        "data_digest": table.digest,
        "n_pairs": len(data.X),
        "protocol": DEFAULT_PROTOCOL.name,
        "figures": {k: None if np.isnan(v) else round(v, 6) for k, v in figures.items()},
    }
    return Model(predictor=fitted, tasks=table.tasks, card=card)


def save_model(model: Model, folder: str | Path) -> None:
    """Write ``card.json``, ``state.json``, ``tasks.csv`` and boosters as text; all files or none."""
    with atomic_folder(folder) as temporary:
        boosters: list[str] = []
        state = json.dumps(_encode(_state(model.predictor), boosters), allow_nan=True)
        files = {"state.json": state, "tasks.csv": model.tasks.to_csv(lineterminator="\n")}
        files |= {f"booster_{i}.txt": text for i, text in enumerate(boosters)}
        for name, text in files.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="")
        card = dict(model.card) | {"digests": {name: digest(text) for name, text in files.items()}}
        (temporary / "card.json").write_text(json.dumps(card, indent=2), encoding="utf-8")


def load_model(folder: str | Path) -> Model:
    """Read a folder written by `save_model`, checking version, digests and columns.

    Raises
    ------
    InputError
        The folder is missing, incomplete, changed, or of another version.
    """
    folder = Path(folder)
    if not (folder / "card.json").is_file():
        raise InputError(f"no model in '{folder}': there is no card.json")
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        if card["format"] != MODEL_FORMAT:
            raise InputError(
                f"the model in '{folder}' has format {card['format']} (written by version {card.get('version')}), "
                f"this version reads format {MODEL_FORMAT}"
            )
        files = {}
        for name, expected in card["digests"].items():
            text = (folder / Path(name).name).read_bytes().decode("utf-8")
            if digest(text) != expected:
                raise InputError(f"the model in '{folder}' is corrupt: {name} is not what was saved")
            files[name] = text
        if card["predictor"] not in PREDICTORS:
            raise InputError(
                f"the model in '{folder}' is of an unknown predictor '{card['predictor']}'"
            )
        tasks = pd.read_csv(
            folder / "tasks.csv", dtype={"task": str}, keep_default_na=False, na_values=[""]
        )
        tasks = tasks.set_index("task") if "task" in tasks else pd.DataFrame()
        predictor = make_predictor(card["predictor"])
        _restore(predictor, _decode(json.loads(files["state.json"]), files))
        expected = getattr(predictor, "feature_names_in_", None)
        columns = [c for c in card["columns"] if c not in ID_COLUMNS]
        if expected is not None and list(expected) != columns:
            raise InputError(f"the model in '{folder}' was fitted on other columns than its card says")
    except InputError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the model in '{folder}' is corrupt: {type(error).__name__}: {error}"
        ) from error
    return Model(predictor=predictor, tasks=tasks, card=card)


def _state(predictor: TransferPredictor) -> dict[str, Any]:
    """Return the constructor parameters and the attributes set by `fit`."""
    parameters = predictor.get_params(deep=False)
    return {k: v for k, v in vars(predictor).items() if k.endswith("_") or k in parameters}


def _restore(predictor: TransferPredictor, state: dict[str, Any]) -> None:
    for name, value in state.items():
        current = getattr(predictor, name, None)
        if isinstance(value, dict) and "__predictor__" in value:
            current = _by_class(value["__predictor__"]) if current is None else current
            _restore(current, value["state"])
            value = current
        setattr(predictor, name, value)


def _by_class(name: str) -> TransferPredictor:
    """Return a new predictor of a class in `PREDICTORS`, or of one nested in their parameters."""
    for make in PREDICTORS.values():
        predictor = make()
        inner = predictor.get_params(deep=False).values()
        for candidate in (predictor, *(v for v in inner if isinstance(v, TransferPredictor))):
            if type(candidate).__name__ == name:
                return candidate
    raise InputError(f"unknown predictor class '{name}' in a model")


def _encode(value: Any, boosters: list[str]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {"__names__": [str(v) for v in value]}
        return {"__array__": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: _encode(v, boosters) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(v, boosters) for v in value]
    if isinstance(value, TransferPredictor):
        return {"__predictor__": type(value).__name__, "state": _encode(_state(value), boosters)}
    if hasattr(value, "model_to_string"):
        boosters.append(value.model_to_string())
        return {"__booster__": f"booster_{len(boosters) - 1}.txt"}
    return value


def _decode(value: Any, files: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_decode(v, files) for v in value]
    if not isinstance(value, dict):
        return value
    if "__array__" in value:
        return np.array(value["__array__"], dtype=np.dtype(value["dtype"]))
    if "__names__" in value:
        return np.array(value["__names__"], dtype=object)
    if "__booster__" in value:
        import lightgbm

        return lightgbm.Booster(model_str=files[value["__booster__"]])
    return {k: _decode(v, files) for k, v in value.items()}
