"""Fitted predictors saved as folders of plain files: JSON, LightGBM's text format and a table of tasks.

Nothing is unpickled or executed on loading.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, first_line, unknown
from transfer_meta.evaluation.benchmark import benchmark
from transfer_meta.evaluation.benchmark_settings import BenchmarkSettings
from transfer_meta.evaluation.pair_values import ranking_groups, seed_weights, training_values
from transfer_meta.evaluation.splits import DEFAULT_PROTOCOL
from transfer_meta.files import atomic_folder, digest
from transfer_meta.metadataset import build_metadataset, open_table, pair_inputs
from transfer_meta.outcomes.table_log import TableLog
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, read_pairs, read_task_features
from transfer_meta.predictors import PREDICTORS, Prediction, TransferPredictor, make_predictor
from transfer_meta.predictors.state_kinds import (
    ByName,
    Flag,
    Items,
    Kind,
    Number,
    Scope,
    StateError,
    Text,
    at,
    check_keys,
)
from transfer_meta.predictors.stored_state import restore_state, state_of
from transfer_meta.readers.checked_files import parse_json, read_file_in
from transfer_meta.readers.opening import shown
from transfer_meta.records import ID_COLUMNS, Tell
from transfer_meta.results import Result, table_as_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL_FORMAT = 1
"""Version of the folder's layout; a folder of another version is refused."""

CARD_METRICS = ("accuracy", "f1", "auroc_within_target", "brier", "spearman", "ndcg", "regret@3")
"""Metrics of the benchmark whose figures the card holds."""
MAX_MODEL_BYTES = {"card.json": 2**24, "tasks.csv": 2**26, "state.json": 2**28}
"""Largest sizes of a model's files; nothing is read of a larger one."""
MAX_BOOSTER_BYTES = 2**26
BOOSTER_FILE = re.compile(r"booster_\d{1,2}\.txt", re.ASCII)
CARD: Mapping[str, Kind] = {
    "format": Number(whole=True),
    "version": Text(),
    "predictor": Text(tuple(PREDICTORS)),
    "columns": Items(Text()),
    "pair_features": Items(Text()),
    "has_gain": Flag(),
    "digests": ByName(Text()),
    "dataset": Text(),
    "data_digest": Text(),
    "n_pairs": Number(low=0, whole=True),
    "protocol": Text(),
}
"""Entries of every model's card."""
FIT_CARD: Mapping[str, Kind] = {
    "features": Text(),
    "figures": ByName(Number(may_be_none=True)),
}
"""Further entries of the cards that `fit` makes."""
GAIN_MODEL_KEY = "advisor"
"""Entry of the cards of recommenders (`recommender.persistence`) alone, with their model of the gain."""
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
            state = json.dumps(state_of(self.predictor, boosters), allow_nan=True)
            files = {"state.json": state, "tasks.csv": self.tasks.to_csv(lineterminator="\n")}
            files |= {f"booster_{i}.txt": text for i, text in enumerate(boosters)}
            for name, text in files.items():
                if len(text.encode()) > MAX_MODEL_BYTES.get(name, MAX_BOOSTER_BYTES):
                    raise InputError(
                        f"the model is too large to be saved: {name} has {len(text):,} bytes"
                    )
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
        for column in set(ID_COLUMNS) & set(pairs):
            if len(empty := np.flatnonzero(pairs[column].isna())):
                raise InputError(f"column '{column}' of the pairs is empty in row {empty[0] + 1}")
        # Names, also where a data frame holds them as numbers.
        pairs = pairs.assign(**{name: pairs[name].map(str) for name in ID_COLUMNS if name in pairs})
        known = self.tasks
        if tasks is not None:
            lacking = [c for c in known if c not in tasks]
            if lacking:
                raise InputError(f"the table of tasks lacks the model's feature '{lacking[0]}'")
            known = pd.concat([tasks[list(known)], known[~known.index.isin(tasks.index)]])
        for column in self.card["pair_features"]:
            if column in pairs and not _holds_numbers(pairs[column]):
                raise InputError(f"column '{column}' of the pairs, a feature of the model, holds texts")
        X, _ = pair_inputs(pairs, known, pair_features=tuple(self.card["pair_features"]))
        prediction = _predict_checked(self.predictor, X[self.card["columns"]])
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
    """Read a folder written by `Model.save`.

    A folder that was handed over is not trusted: all of its files are checked against what `Model.save` writes
    before they are used, and the model must predict.  What cannot be told is whether somebody changed a
    number for another one and its digest with it: digests protect against accidents.

    Parameters
    ----------
    folder : str or path

    Raises
    ------
    InputError
        The folder is missing, incomplete, changed, or of another version.
    """
    return read_model(folder, FIT_CARD)


def read_model(folder: str | Path, entries: Mapping[str, Kind]) -> Model:
    """Read a folder as `load_model` does, whose card has `CARD` and these entries.

    Parameters
    ----------
    folder : str or path
    entries : mapping of str to Kind

    Raises
    ------
    InputError
        See `load_model`.
    """
    folder = Path(folder)
    if not (folder / "card.json").is_file():
        raise InputError(f"no model in '{folder}': there is no card.json")
    try:
        return _read_model(folder, entries)
    except (ValueError, MemoryError) as error:
        if isinstance(error, InputError) and str(error).startswith("the model in"):
            raise
        reason = first_line(error) if str(error) else "it takes too much memory"
        raise InputError(f"the model in '{folder}' is corrupt: {reason}") from error


def _read_model(folder: Path, entries: Mapping[str, Kind]) -> Model:
    card = parse_json(_text(folder, "card.json"), "card.json")
    if isinstance(card, dict) and card.get("format", MODEL_FORMAT) != MODEL_FORMAT:
        raise InputError(
            f"the model in '{folder}' has format {shown(str(card['format']))} (written by version"
            f" {shown(str(card.get('version')))}), this version reads format {MODEL_FORMAT}"
        )
    if (
        isinstance(card, dict)
        and isinstance(name := card.get("predictor"), str)
        and name not in PREDICTORS
    ):
        raise InputError(f"the model in '{folder}' is of an unknown predictor '{shown(name)}'")
    if isinstance(card, dict) and (GAIN_MODEL_KEY in card) != (GAIN_MODEL_KEY in entries):
        kinds = ("a recommender", "a predictor of pairs (`fit`)")
        found, wanted = kinds if GAIN_MODEL_KEY in card else kinds[::-1]
        raise InputError(f"the model in '{folder}' is of {found}, not of {wanted}")
    _check_card(card, {**CARD, **entries})
    files = {}
    for name, expected in card["digests"].items():
        files[name] = _text(folder, name)
        if digest(files[name]) != expected:
            raise InputError(f"{name} is not what was saved")
    tasks = _read_tasks(files["tasks.csv"])
    columns = [c for c in card["columns"] if c not in ID_COLUMNS]
    _check_columns(card, tasks)
    predictor = make_predictor(card["predictor"])
    try:
        state = parse_json(files["state.json"], "state.json")
        boosters = {name: text for name, text in files.items() if BOOSTER_FILE.fullmatch(name)}
        restore_state(predictor, state, columns, lambda name: _take_booster(boosters, name))
    except StateError as error:
        raise StateError(f"state.json {error}") from error
    if boosters:
        raise InputError(f"state.json does not use {min(boosters)}")
    _try(predictor, columns, [str(name) for name in tasks.index[:2]])
    return Model(predictor=predictor, tasks=tasks, card=card, folder=folder)


def _text(folder: Path, name: str) -> str:
    content = read_file_in(folder, name, most_bytes=MAX_MODEL_BYTES.get(name, MAX_BOOSTER_BYTES))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not a text in UTF-8") from error


def _check_card(card: Any, entries: Mapping[str, Kind]) -> None:
    """Raise StateError unless a card has these entries and names the files of a model."""
    try:
        check_keys(card, entries)
        for name, kind in entries.items():
            if name in card:
                at(name, kind, card[name], Scope())
    except StateError as error:
        raise StateError(f"card.json {error}") from error
    boosters = set(card["digests"]) - {"state.json", "tasks.csv"}
    if len(card["digests"]) != len(boosters) + 2 or not all(map(BOOSTER_FILE.fullmatch, boosters)):
        raise StateError("card.json has digests of other files than a model has")


def _read_tasks(text: str) -> pd.DataFrame:
    """Return the features of the tasks, from text that may be anything."""
    try:
        header, *rows = csv.reader(io.StringIO(text), strict=True)
    except (csv.Error, ValueError) as error:
        raise InputError(f"tasks.csv is no table: {shown(str(error), 120)}") from error
    if header in ([], [""]):
        return pd.DataFrame()
    if header[0] != "task" or len(set(header)) < len(header):
        raise InputError("tasks.csv has a column twice, or another one than 'task' first")
    if any(len(row) != len(header) for row in rows):
        raise InputError("tasks.csv has rows of different lengths")
    names = [row[0] for row in rows]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"tasks.csv has the task '{shown(twice)}' twice")
    try:
        values = np.array([[float(cell or "nan") for cell in row[1:]] for row in rows])
    except ValueError as error:
        raise InputError(f"tasks.csv has a cell that is no number ({shown(str(error))})") from error
    if np.isinf(values).any():
        raise InputError("tasks.csv has an infinite value")
    values = values.reshape(len(rows), len(header) - 1)
    return pd.DataFrame(values, index=pd.Index(names, name="task", dtype=object), columns=header[1:])


def _check_columns(card: Mapping[str, Any], tasks: pd.DataFrame) -> None:
    """Raise InputError unless the card's columns follow from the features of tasks and pairs, each once."""
    known = {f"{role}.{name}" for role in ("target", "source", "ratio") for name in tasks}
    known |= {*ID_COLUMNS, *(f"pair.{name}" for name in card["pair_features"])}
    odd = next((c for c in card["columns"] if c not in known), None)
    if odd is not None:
        raise InputError(f"card.json has the column '{shown(odd)}', which is none of a feature")
    wanted = set() if GAIN_MODEL_KEY in card else set(ID_COLUMNS)
    if set(ID_COLUMNS) & set(card["columns"]) != wanted or set(ID_COLUMNS) & set(card["pair_features"]):
        raise InputError(
            f"card.json lacks one of the columns {', '.join(ID_COLUMNS)}, or has one too many"
        )
    for names in (card["columns"], card["pair_features"]):
        if len(set(names)) < len(names):
            raise InputError("card.json has a column twice")


def _holds_numbers(column: pd.Series) -> bool:
    try:
        column.to_numpy(dtype=float)
    except (TypeError, ValueError):
        return False
    return True


def _take_booster(boosters: dict[str, str], name: str) -> str:
    """Return the text of a LightGBM model, each of which is used once."""
    if name not in boosters:
        raise StateError(f"names '{shown(name)}', which is no file of LightGBM models")
    return boosters.pop(name)


def _try(predictor: TransferPredictor, columns: list[str], names: list[str]) -> None:
    """Raise InputError unless a loaded predictor predicts pairs of known and new tasks."""
    sources = [*names, "a task that is new"]
    X = pd.DataFrame(
        {"setting": "", "source": sources, "target": names[0] if names else ""}, dtype=object
    )
    values = np.where(np.arange(len(sources)) % 2, np.nan, 0.5)
    X = pd.concat([X, pd.DataFrame(dict.fromkeys(columns, values), dtype=float)], axis=1)
    try:
        predictor.check(X)
        _predict_checked(predictor, X)
    except InputError as error:
        raise InputError(f"it does not predict: {first_line(error)}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"it does not predict ({type(error).__name__})") from error


def _predict_checked(predictor: TransferPredictor, X: pd.DataFrame) -> Prediction:
    """Return predictions, which must be finite."""
    with np.errstate(all="ignore"):
        found = predictor.predict_pairs(X)
        inside = (found.probability >= 0) & (found.probability <= 1)
    if not all(np.isfinite(values).all() for values in found) or not inside.all():
        raise InputError(
            "the predictions are not finite: a feature or a number of the model is out of range"
        )
    return found
