"""Fitted predictors saved as folders of plain files: JSON, LightGBM's text format and a table of tasks.

Nothing is unpickled or executed on loading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.benchmark import benchmark
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.evaluation.pair_values import ranking_groups, seed_weights, training_values
from transfer_meta.evaluation.splits import DEFAULT_PROTOCOL
from transfer_meta.files import atomic_folder, digest
from transfer_meta.metadataset import build_metadataset, open_table, pair_inputs
from transfer_meta.outcomes.table_log import TableLog
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, read_pairs, read_task_features
from transfer_meta.predictors import PREDICTORS, TransferPredictor, make_predictor
from transfer_meta.records import ID_COLUMNS, Tell
from transfer_meta.results import Result, table_as_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL_FORMAT = 1
"""Version of the folder's layout; a folder of another version is refused."""

CARD_METRICS = ("accuracy", "f1", "auroc_within_target", "brier", "spearman", "ndcg", "regret@3")
"""Metrics of the benchmark whose figures the card holds."""
N_PREDICTIONS_DRAWN = 30
"""Pairs shown in the figure of predictions."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of `fit`.

    Parameters
    ----------
    predictor : str
        Key of `predictors.PREDICTORS`.
    features : str
        Feature set or regular expression, see `build_metadataset`.
    seed : int
        Seed of the fit.
    judge : bool
        Whether to run the leave-one-target-out benchmark for the figures of the card.

    Raises
    ------
    InputError
        An unknown predictor, or a negative seed.
    """

    predictor: str = "logistic"
    features: str = "all"
    seed: int = 0
    judge: bool = True

    def __post_init__(self) -> None:
        if self.predictor not in PREDICTORS:
            raise unknown("predictor", self.predictor, PREDICTORS)
        if self.seed < 0:
            raise InputError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True)
class Predictions(Result):
    """Predictions of a fitted model for pairs.

    Parameters
    ----------
    predictor : str
        Name of the predictor.
    rows : DataFrame
        ``source``, ``target``, ``probability`` (that the source helps) and ``expected_gain`` (a fraction); of a
        model of scores without baselines ``source``, ``target`` and ``ranking``.
    model : str, optional
        Folder of the model, if it was loaded from one.
    notes : tuple of str
        Rows of the pairs that were left out or mended, a line each.
    """

    predictor: str
    rows: pd.DataFrame
    model: str | None = None
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair, see `rows`."""
        return self.rows

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as ``--json`` prints it."""
        return {
            "model": self.model,
            "predictor": self.predictor,
            "rows": self.rows.to_dict("records"),
            "notes": list(self.notes),
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the expected gains in percent (or the rankings), the largest on top, at most 30 pairs."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import bars_height, draw_bars

        column, unit, factor = (
            ("expected_gain", "expected gain in percent", 100)
            if "expected_gain" in self.rows
            else ("ranking", "predicted score of the pair, for ranking", 1)
        )
        shown = self.rows.sort_values(column, ascending=False, kind="stable").head(N_PREDICTIONS_DRAWN)
        labels = list(shown["source"].astype(str) + " → " + shown["target"].astype(str))
        axes = new_axes(axes, height=bars_height(labels))
        draw_bars(axes, labels, factor * shown[column])
        axes.set_xlabel(unit)
        return axes


@dataclass(frozen=True)
class Model:
    """A fitted predictor with the features of its tasks; `str` gives its figures on held-out targets.

    Parameters
    ----------
    predictor : TransferPredictor
        Fitted.
    tasks : DataFrame
        Features of the known tasks, one row per task.
    card : mapping
        Name of the predictor, columns, digest of the data, version, and figures of a benchmark.
    folder : Path or None
        Where it was loaded from.
    """

    predictor: TransferPredictor
    tasks: pd.DataFrame
    card: Mapping[str, Any]
    folder: Path | None = None

    def __str__(self) -> str:
        return self.figures_text()

    def figures_text(self, *, saved_in: str | Path | None = None) -> str:
        """Return the figures of the card as a table, with the folder in its title if it is given."""
        place = "" if saved_in is None else f", saved in {saved_in}"
        card = self.card
        title = f"{card['predictor']} on {card['n_pairs']} pairs{place}; {card['protocol']}"
        return table_as_text(("metric", "value"), list(card["figures"].items()), title=title)

    def save(self, folder: str | Path) -> None:
        """Write ``card.json``, ``state.json``, ``tasks.csv`` and boosters as text; all files or none.

        A model that is in the folder is replaced.

        Raises
        ------
        InputError
            The folder cannot be written to, or holds other files.
        """
        with atomic_folder(folder) as temporary:
            boosters: list[str] = []
            state = json.dumps(_encode(_state(self.predictor), boosters), allow_nan=True)
            files = {"state.json": state, "tasks.csv": self.tasks.to_csv(lineterminator="\n")}
            files |= {f"booster_{i}.txt": text for i, text in enumerate(boosters)}
            for name, text in files.items():
                (temporary / name).write_text(text, encoding="utf-8", newline="")
            card = dict(self.card) | {"digests": {name: digest(text) for name, text in files.items()}}
            (temporary / "card.json").write_text(json.dumps(card, indent=2), encoding="utf-8")

    def predict(
        self,
        pairs: pd.DataFrame | str | Path,
        tasks: pd.DataFrame | str | Path | None = None,
        *,
        settings: TableSettings | None = None,
        tell: Tell = lambda _: None,
    ) -> Predictions:
        """Return the probability that the source helps and the expected gain of each pair.

        Parameters
        ----------
        pairs : DataFrame, str or Path
            Columns ``source``, ``target`` and the pair features seen in the fit: a data frame or a file.
        tasks : DataFrame, str or Path, optional
            Features of further tasks, one row per task, named by the column ``task`` or the index; they take
            precedence over those of the model.
        settings : TableSettings, optional
            Columns and form of the files.
        tell : callable
            Called with every note on the rows of the files.

        Raises
        ------
        InputError
            A file that cannot be read; a missing column, task or feature.
        """
        settings = settings or TableSettings()
        log = TableLog("pairs" if isinstance(pairs, pd.DataFrame) else Path(pairs).name)
        if not isinstance(pairs, pd.DataFrame):
            pairs = read_pairs(Path(pairs), settings.form, columns=settings.columns, log=log)
        if tasks is not None and not isinstance(tasks, pd.DataFrame):
            tasks = read_task_features(Path(tasks), settings.form, log=log)
        elif tasks is not None and "task" in tasks:
            tasks = tasks.set_index("task")
        for note in log.notes:
            tell(note)
        return Predictions(
            predictor=self.card["predictor"],
            rows=self._predict(pairs, tasks),
            model=None if self.folder is None else str(self.folder),
            notes=tuple(log.notes),
        )

    def _predict(self, pairs: pd.DataFrame, tasks: pd.DataFrame | None) -> pd.DataFrame:
        """Return the rows of `Predictions`."""
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


def fit(table: OutcomeTable | str | Path | pd.DataFrame, settings: FitSettings | None = None) -> Model:
    """Fit a predictor on all pairs of a table.

    Parameters
    ----------
    table : OutcomeTable, str, Path or DataFrame
        Outcomes, or what `load_outcomes` takes: the name of a shipped table, a file or a data frame.
    settings : FitSettings, optional

    Raises
    ------
    InputError
        The table cannot be used, or the predictor does not apply to it.

    Examples
    --------
    >>> model = fit("bingel-soegaard-2017", FitSettings(judge=False))
    >>> pairs = pd.DataFrame({"source": ["POS", "CCG"], "target": ["CHU", "HYP"]})
    >>> list(model.predict(pairs).to_frame())
    ['source', 'target', 'probability', 'expected_gain']
    """
    settings = settings or FitSettings()
    table = open_table(table, features=settings.features)
    data = build_metadataset(table, settings.features)
    fitted = make_predictor(settings.predictor, random_state=settings.seed)
    fitted.check(data.X)
    figures: dict[str, float] = {}
    if settings.judge:
        judged = BenchmarkSettings(
            predictors=(settings.predictor,),
            features=(settings.features,) if fitted.uses_features else (),
            metrics=CARD_METRICS,
            seed=settings.seed,
        )
        rows = benchmark(table, judged).rows
        figures = dict(zip(rows["metric"], rows["value"].astype(float), strict=True))
    weight = seed_weights(table.pairs, ranking_groups(data))
    fitted.fit_weighted(data.X, training_values(data), weight)
    card = {
        "format": MODEL_FORMAT,
        "version": __version__,
        "predictor": settings.predictor,
        "features": settings.features,
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


def load_model(folder: str | Path) -> Model:
    """Read a folder written by `Model.save`, checking version, digests and columns.

    Parameters
    ----------
    folder : str or path

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
    return Model(predictor=predictor, tasks=tasks, card=card, folder=folder)


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
