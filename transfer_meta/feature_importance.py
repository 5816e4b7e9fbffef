"""Importance of features by coefficients, permutation and SHAP values."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.classification import auroc
from transfer_meta.evaluation.splits import pairs_5fold
from transfer_meta.figures.charts import COEFFICIENT_LABEL
from transfer_meta.metadataset import MetaDataset, build_metadataset, open_table
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import PREDICTORS, make_predictor
from transfer_meta.predictors.base import Fold, TransferPredictor
from transfer_meta.records import FloatArray, OnProgress
from transfer_meta.results import Result, frame_as_html, frame_as_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMPORTANCE_COLUMNS = ("feature", "role", "group", "value", "std")
LEVELS = ("feature", "role", "group")
HELD_OUT_SHARE = 0.2
"""Share of the pairs held out from the fit of coefficients, as in Bingel & Søgaard 2017, Table 4."""

N_IMPORTANCES_SHOWN = 20
"""Rows of the printed table, and bars of the figure, unless a number is given."""
VALUE_LABELS = {
    "coefficients": COEFFICIENT_LABEL,
    "permutation": "AUROC lost when the values are permuted",
    "shap": "mean |SHAP value|",
}
"""Meaning of the values of each method."""


@dataclass(frozen=True, kw_only=True)
class ImportanceSettings:
    """Settings of `importance`.

    Parameters
    ----------
    predictor : str, optional
        Key of `predictors.PREDICTORS`; by default ``logistic``, for method shap ``lightgbm``.
    method : {"coefficients", "permutation", "shap"}
        See the functions of those names.
    by : {"feature", "role", "group"}
        Whether features are evaluated one by one, or together by role or by group.
    features : str, optional
        Feature set or regular expression, see `build_metadataset`; by default all.
    repeats : int, optional
        Number of random splits; by default 100 for coefficients, 10 for the other methods.
    seed : int
        Seed of the predictor, the splits and the permutations.
    top : int, optional
        Rows of the result; by default all, of which the first 20 are printed.
    vectors : Path, optional
        Task vectors written by ``embed``: their similarities are added as features of the pairs.

    Raises
    ------
    InputError
        An unknown name, or a number out of range.
    """

    predictor: str | None = None
    method: str = "coefficients"
    by: str = "feature"
    features: str | None = None
    repeats: int | None = None
    seed: int = 0
    top: int | None = None
    vectors: Path | None = None

    def __post_init__(self) -> None:
        for kind, name, valid in (
            ("predictor", self.predictor, PREDICTORS),
            ("method", self.method, IMPORTANCE_METHODS),
            ("level", self.by, LEVELS),
        ):
            if name is not None and name not in valid:
                raise unknown(kind, name, valid)
        for name, value, least in (
            ("repeats", self.repeats, 1),
            ("top", self.top, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")

    @property
    def explained(self) -> str:
        """The predictor that is explained."""
        return self.predictor or ("lightgbm" if self.method == "shap" else "logistic")


@dataclass(frozen=True)
class Importance(Result):
    """Importance of features, or of roles or groups of features, to a predictor.

    Parameters
    ----------
    dataset : str
        Name of the table.
    settings : ImportanceSettings
    rows : DataFrame
        All rows of `feature_importance`: ``feature``, ``role``, ``group``, ``value``, ``std``; the largest first.
    notes : tuple of str
        Notes of the table.
    """

    dataset: str
    settings: ImportanceSettings
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return frame_as_text(self._first(), title=self.caption)

    @property
    def caption(self) -> str:
        """The table, the predictor, the method and the number of rows."""
        shown = f"{len(self._first())} of {len(self.rows)}"
        return f"{self.dataset}, {self.settings.explained}, {self.settings.method}: {shown}"

    def to_frame(self) -> pd.DataFrame:
        """Return ``feature``, ``role``, ``group``, ``value`` and ``std``: the first `top` rows, by default all."""
        return self.rows.head(self.settings.top or len(self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as ``--json`` prints it."""
        return {
            "dataset": self.dataset,
            "predictor": self.settings.explained,
            "method": self.settings.method,
            "rows": self.to_frame().to_dict("records"),
            "notes": list(self.notes),
        }

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw a bar for each of the rows that are printed, with the standard deviation over repeats."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import bars_height, draw_bars

        shown = self._first()
        by = self.settings.by
        labels = list(shown["role"] + " " + shown["feature"] if by == "feature" else shown[by])
        axes = new_axes(axes, height=bars_height(labels))
        draw_bars(axes, labels, shown["value"], spread=shown["std"])
        summed = self.settings.method == "coefficients" and by != "feature"
        axes.set_xlabel("Σ |coefficient|" if summed else VALUE_LABELS[self.settings.method])
        return axes

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.caption)}</p>{frame_as_html(self._first())}"

    def _first(self) -> pd.DataFrame:
        """Return the rows that are printed."""
        return self.rows.head(self.settings.top or N_IMPORTANCES_SHOWN)


def importance(
    table: OutcomeTable | str | Path | pd.DataFrame,
    settings: ImportanceSettings | None = None,
    *,
    on_progress: OnProgress = lambda *_: None,
) -> Importance:
    """Return which features the predictions of gains depend on.

    Parameters
    ----------
    table : OutcomeTable, str, Path or DataFrame
        Outcomes, or what `load_outcomes` takes: the name of a shipped table, a file or a data frame.
    settings : ImportanceSettings, optional
    on_progress : callable
        Called with the number of repeats done and of all repeats.

    Raises
    ------
    InputError
        A predictor without coefficients, trees or features; a table without features, without gains or with one
        class only.

    Examples
    --------
    >>> found = importance("bingel-soegaard-2017", ImportanceSettings(repeats=5, by="role"))
    >>> sorted(found.to_frame()["role"])
    ['ratio', 'source', 'target']
    """
    settings = settings or ImportanceSettings()
    table = open_table(table, features=settings.features, vectors=settings.vectors)
    rows = feature_importance(
        build_metadataset(table, settings.features or "all"),
        make_predictor(settings.explained, random_state=settings.seed),
        method=settings.method,
        by=settings.by,
        repeats=settings.repeats,
        seed=settings.seed,
        on_progress=on_progress,
    )
    return Importance(table.name, settings, rows, table.notes)


class Block(NamedTuple):
    """Features that are evaluated together: one, or all of a role or of a group."""

    label: tuple[str, str, str]
    positions: NDArray[np.intp]


@dataclass(frozen=True)
class ImportanceRun:
    """Arguments of an importance method.

    Parameters
    ----------
    data : MetaDataset
    predictor : TransferPredictor
        Cloned before it is fitted.
    blocks : list of Block
    repeats, seed : int
        Number and seed of the random splits.
    on_progress : callable
        Called with the number of repeats done and of all repeats.
    """

    data: MetaDataset
    predictor: TransferPredictor
    blocks: list[Block]
    repeats: int
    seed: int
    on_progress: OnProgress

    def shuffled_folds(self) -> Iterator[tuple[int, Iterator[Fold]]]:
        """Yield each repeat with its five folds."""
        for repeat in range(self.repeats):
            yield repeat, pairs_5fold(self.data.source, self.data.target, seed=self.seed, repeat=repeat)


def feature_importance(
    data: MetaDataset,
    predictor: TransferPredictor,
    *,
    method: str = "coefficients",
    by: str = "feature",
    repeats: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> pd.DataFrame:
    """Return the importance of features, or of roles or groups of features.

    Parameters
    ----------
    data : MetaDataset
        Pairs with known gains.
    predictor : TransferPredictor
        Cloned before it is fitted.
    method : {"coefficients", "permutation", "shap"}
        See the functions of those names.
    by : {"feature", "role", "group"}
        Whether features are evaluated one by one, or together by role or by group.
    repeats : int, optional
        Number of random splits; default: 100 for coefficients, 10 for the others, which fit five times per repeat.
    seed : int
        Seed of the splits and permutations.

    Returns
    -------
    DataFrame
        ``feature``, ``role``, ``group`` (``*`` for all), ``value``, and ``std``, the standard deviation over
        repeats (NaN for one repeat); sorted by decreasing absolute value.

    Raises
    ------
    InputError
        An unknown method or level; a predictor without coefficients, trees or features; a table without features,
        without gains or with one class only.
    """
    if method not in IMPORTANCE_METHODS:
        raise unknown("method", method, IMPORTANCE_METHODS)
    if by not in LEVELS:
        raise unknown("level", by, LEVELS)
    if len(np.unique(data.helped)) < 2:
        raise InputError(
            f"'{data.name}' has one class only ({'gain' if data.helped[0] else 'no gain'}) throughout"
        )
    if not predictor.uses_features:
        raise InputError(f"{type(predictor).__name__} uses no features, so none has an importance")
    if data.features.empty:
        raise InputError(f"'{data.name}' has no features (give a tasks file with --tasks)")
    if repeats is not None and repeats < 1:
        raise InputError(f"repeats must be at least 1, got {repeats}")
    blocks = _blocks(data.features, by)
    run = ImportanceRun(
        data,
        predictor,
        blocks,
        repeats or DEFAULT_REPEATS[method],
        seed,
        on_progress or (lambda *_: None),
    )
    values = IMPORTANCE_METHODS[method](run)
    table = pd.DataFrame([block.label for block in blocks], columns=list(IMPORTANCE_COLUMNS[:3]))
    table["value"] = values.mean(axis=0)
    table["std"] = values.std(axis=0, ddof=1) if len(values) > 1 else np.nan
    return table.sort_values("value", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def coefficients(run: ImportanceRun) -> FloatArray:
    """Return coefficients on scaled features over random 80/20 splits, shape (repeats, blocks).

    Positive for a feature that rises with the probability of gain; Σ|coefficient| for a block of several features.

    References
    ----------
    Bingel & Søgaard 2017, Table 4.
    """
    if not hasattr(run.predictor, "fold_coefficients"):
        raise InputError(
            f"{type(run.predictor).__name__} has no coefficients (method coefficients needs a logistic"
            f" regression; the others: permutation, shap)"
        )
    n = len(run.data.value)
    n_left_out = max(1, round(HELD_OUT_SHARE * n))
    splits = []
    for repeat in range(run.repeats):
        order = np.random.default_rng([run.seed, repeat]).permutation(n)
        splits.append((np.sort(order[n_left_out:]), np.sort(order[:n_left_out])))
    coefficient = run.predictor.fold_coefficients(run.data.X, run.data.value, splits)
    run.on_progress(run.repeats, run.repeats)
    columns = [
        np.abs(coefficient[:, at]).sum(axis=1) if len(at) > 1 else coefficient[:, at[0]]
        for _, at in run.blocks
    ]
    return np.stack(columns, axis=1)


def permutation(run: ImportanceRun) -> FloatArray:
    """Return the loss of out-of-fold AUROC when a block's values are permuted, shape (repeats, blocks).

    In five shuffled folds the predictor is fitted to the training pairs; in the test pairs the features of one
    block at a time are replaced by those of other pairs, the same pairs for all columns of the block.

    References
    ----------
    Breiman 2001, "Random Forests".
    Fisher, Rudin & Dominici 2019, "All Models are Wrong, but Many are Useful".
    """
    columns = run.data.features["column"].tolist()
    lost = np.empty((run.repeats, len(run.blocks)))
    for repeat, folds in run.shuffled_folds():
        others = np.random.default_rng([run.seed, repeat, 1]).permutation(len(run.data.value))
        probability = np.empty((len(run.blocks) + 1, len(run.data.value)))
        for train, test in folds:
            model = clone(run.predictor).fit(run.data.X.iloc[train], run.data.value[train])
            # The original pairs first, then a copy of them for each block.
            copies = run.data.X.iloc[np.tile(test, len(run.blocks) + 1)].reset_index(drop=True)
            values = copies[columns].to_numpy(copy=True).reshape(len(run.blocks) + 1, len(test), -1)
            replaced = run.data.X[columns].to_numpy()[others[test]]
            for copy, block in zip(values[1:], run.blocks, strict=True):
                copy[:, block.positions] = replaced[:, block.positions]
            copies[columns] = values.reshape(-1, len(columns))
            probability[:, test] = model.predict_pairs(copies).probability.reshape(-1, len(test))
        area = auroc(run.data.helped, probability)
        lost[repeat] = area[0] - area[1:]
        run.on_progress(repeat + 1, run.repeats)
    return lost


def shap(run: ImportanceRun) -> FloatArray:
    """Return the mean |Σ SHAP values of a block's features| of held-out pairs, shape (repeats, blocks).

    The unit is the raw output of the trees: log odds for a classifier, predicted gain for a regressor.

    References
    ----------
    Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for trees".
    """
    values = np.empty((run.repeats, len(run.blocks)))
    for repeat, folds in run.shuffled_folds():
        contribution = np.empty((len(run.data.value), len(run.data.features)))
        for train, test in folds:
            model = clone(run.predictor).fit(run.data.X.iloc[train], run.data.value[train])
            contribution[test] = _contributions(model, run.data.X.iloc[test])
        values[repeat] = [np.abs(contribution[:, at].sum(axis=1)).mean() for _, at in run.blocks]
        run.on_progress(repeat + 1, run.repeats)
    return values


IMPORTANCE_METHODS: dict[str, Callable[[ImportanceRun], FloatArray]] = {
    "coefficients": coefficients,
    "permutation": permutation,
    "shap": shap,
}
DEFAULT_REPEATS = {"coefficients": 100, "permutation": 10, "shap": 10}


def _blocks(features: pd.DataFrame, by: str) -> list[Block]:
    if by == "feature":
        labels = zip(features["feature"], features["role"], features["group"], strict=True)
        return [Block(label, np.array([position])) for position, label in enumerate(labels)]
    return [
        Block(
            ("*", name, "*") if by == "role" else ("*", "*", name), np.flatnonzero(features[by] == name)
        )
        for name in features[by].unique()
    ]


def _contributions(model: Any, X: pd.DataFrame) -> FloatArray:
    """Return SHAP values, shape (n, p), without the expected value that LightGBM appends."""
    model = getattr(model, "predictor_", model)  # of a TunedPredictor
    if not hasattr(model, "booster_"):
        raise InputError(
            f"{type(model).__name__} has no trees (method shap needs lightgbm; the others: coefficients,"
            f" permutation)"
        )
    booster = model.booster_
    if booster is None:  # one class in the training rows: a constant
        return np.zeros((len(X), model.n_features_in_))
    return np.asarray(booster.predict(model.matrix(X, reset=False), pred_contrib=True))[:, :-1]
