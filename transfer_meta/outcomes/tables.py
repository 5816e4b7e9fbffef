"""Outcome tables: which source was tried on which target, and what came of it.

Any CSV, TSV or Parquet table works.  Required columns are ``source``, ``target`` and one of ``gain``,
``score`` with ``baseline``, or ``score`` alone (sources can then be ranked, but gains stay unknown).
Columns named in `SETTINGS` tell apart what was run; ``seed`` marks repeated runs; every other numeric
column is a pair feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, nearest
from transfer_meta.files import digest
from transfer_meta.outcomes.reading import read_table
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.records import relative_gain

SETTINGS = ("model", "encoder", "adaptation", "method", "regime", "settings")
MEASURED = ("baseline", "score", "gain", "absolute_gain")
SPREAD = ("gain_std", "score_std", "n_seeds")
# What is said about a pair and is no feature: the share of the target's texts that stand in the source, too.
MARKS = ("shared_text",)
KNOWN = ("source", "target", *SETTINGS, "seed", *MEASURED, *SPREAD, *MARKS)

# A stated gain may differ from score and baseline by what rounding to three digits leaves.
GAIN_TOLERANCE = 2e-3


@dataclass(frozen=True)
class OutcomeTable:
    """Outcomes, one row a pair and setting, and the features of the tasks in them.

    Parameters
    ----------
    name : str
        Name of the shipped table or of the file.
    runs : DataFrame
        The rows as they were read, validated: ``setting``, ``source``, ``target``, ``seed`` and the
        measured columns.
    pairs : DataFrame
        Means over the runs of a pair in one setting, with ``gain_std`` or ``score_std`` (standard deviation
        over runs, NaN for one run) and ``n_seeds``.  Scores as given, gains as fractions.  ``shared_text``, where
        known: the share of the target's texts that stand in the source as well.
    tasks : DataFrame
        One row a task (its index), one column a feature; no columns where no tasks file is known.
    pair_features : tuple of str
        The columns of `pairs` that are features of the pair.
    feature_sets : mapping of str to tuple of str
        Named sets of task features that the table brings along.
    """

    name: str
    runs: pd.DataFrame
    pairs: pd.DataFrame
    tasks: pd.DataFrame
    pair_features: tuple[str, ...] = ()
    feature_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def has_gain(self) -> bool:
        """Whether gains are known; else only scores, which rank sources within a target."""
        return "gain" in self.pairs

    @property
    def digest(self) -> str:
        """Digest of all outcomes and features."""
        return digest(self.pairs.to_csv(index=False), self.tasks.to_csv())


def load_outcomes(
    name: str | Path,
    *,
    tasks: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> OutcomeTable:
    """Load a shipped table by name, or anybody's by path.

    Parameters
    ----------
    name
        A name that ``transfer-meta outcomes list`` shows, or the path of a CSV, TSV or Parquet file.  Features
        of tasks and pairs that ship with a table are loaded with it.
    tasks
        File of task features, one row a task; its first column, or the one named ``task``, holds the names.
    columns
        Names in the file by our names, for example ``{"source": "aux", "target": "main"}``.

    Raises
    ------
    InputError
        The name is unknown, or a file cannot be used; the message says why and where.

    Examples
    --------
    >>> table = load_outcomes("bingel-soegaard-2017")
    >>> len(table.pairs), table.has_gain
    (90, True)
    """
    path = Path(name)
    if path.suffix or path.exists() or len(path.parts) > 1:
        frame = read_table(path)
        return build_table(
            frame,
            tasks=None if tasks is None else read_table(Path(tasks)),
            name=path.name,
            columns=columns,
        )
    shipped = find_shipped(str(name))
    tasks = tasks or shipped.tasks
    frame = read_table(shipped.outcomes)
    if shipped.pairs is not None:
        pairs = read_table(shipped.pairs)
        frame = frame.merge(pairs, on=["source", "target"], how="left", validate="many_to_one")
    return build_table(
        frame,
        tasks=None if tasks is None else read_table(Path(tasks)),
        name=shipped.name,
        columns=columns,
        feature_sets=shipped.feature_sets,
    )


def build_table(
    frame: pd.DataFrame,
    *,
    tasks: pd.DataFrame | None = None,
    name: str = "outcomes",
    columns: Mapping[str, str] | None = None,
    feature_sets: Mapping[str, tuple[str, ...]] | None = None,
) -> OutcomeTable:
    """Check a frame of outcomes and average its repeated runs (see `load_outcomes`)."""
    runs = rename_columns(frame, columns or {})
    _require_columns(runs)
    runs = _with_names(runs)
    runs["setting"] = _setting(runs)
    runs = _with_gain(_with_numbers(runs))
    _check_repeats(runs)
    pair_features = tuple(
        str(c) for c in runs if c not in (*KNOWN, "setting") and pd.api.types.is_numeric_dtype(runs[c])
    )
    features = pd.DataFrame() if tasks is None else task_table(tasks)
    if tasks is not None:
        _check_tasks(runs, features)
    return OutcomeTable(
        name=name,
        runs=runs,
        pairs=_average(runs, pair_features),
        tasks=features,
        pair_features=pair_features,
        feature_sets=dict(feature_sets or {}),
    )


def rename_columns(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns by our names, given theirs by ours."""
    for ours, theirs in columns.items():
        if theirs not in frame:
            raise InputError(
                f"no column '{theirs}' (given for {ours}; the file has: {_list(frame)})"
                f"{nearest(theirs, map(str, frame))}"
            )
        if ours in frame and ours != theirs:
            raise InputError(
                f"column '{theirs}' cannot become '{ours}': the file has a column of that name"
            )
    return frame.rename(columns={theirs: ours for ours, theirs in columns.items()})


def _require_columns(frame: pd.DataFrame) -> None:
    for column in ("source", "target"):
        if column not in frame:
            raise InputError(
                f"missing column '{column}' (the file has: {_list(frame)}; rename with "
                f"--columns {column}=NAME){nearest(column, map(str, frame))}"
            )
    if "gain" not in frame and "score" not in frame:
        raise InputError(
            f"missing column 'gain' or 'score' (the file has: {_list(frame)}){nearest('score', map(str, frame))}"
        )
    if frame.empty:
        raise InputError("the table of outcomes has columns but no rows")


def _with_names(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    for column in ("source", "target"):
        missing = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
        if missing.any():
            raise InputError(f"{column} is empty in row {_row(missing)}")
        frame[column] = frame[column].astype(str)
    same = frame["source"] == frame["target"]
    if same.any():
        task = frame.loc[same, "source"].iloc[0]
        raise InputError(f"source and target are the same task '{task}' in row {_row(same)}")
    return frame


def _setting(frame: pd.DataFrame) -> pd.Series:
    present = [c for c in SETTINGS if c in frame and len(frame[c].drop_duplicates()) > 1]
    if not present:
        return pd.Series("", index=frame.index)
    return frame[present].astype(str).agg(" / ".join, axis=1)


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    for column in MEASURED:
        if column not in frame:
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").astype(float)
        wrong = numbers.isna() & frame[column].notna()
        if wrong.any():
            raise InputError(
                f"{column} must be a number, got '{frame.loc[wrong, column].iloc[0]}' in row {_row(wrong)}"
            )
        odd = ~numbers.apply(np.isfinite)
        if odd.any():
            raise InputError(
                f"{column} is {frame.loc[odd, column].iloc[0]} in row {_row(odd)}, not a finite number"
            )
        frame[column] = numbers
    return frame


def _with_gain(frame: pd.DataFrame) -> pd.DataFrame:
    if "score" not in frame or "baseline" not in frame:
        return frame
    bad = frame["baseline"] <= 0
    if bad.any():
        raise InputError(
            f"baseline is {frame.loc[bad, 'baseline'].iloc[0]:g} in row {_row(bad)}; a relative gain needs a "
            "baseline above 0 (put the metric on 0-1)"
        )
    gain = pd.Series(relative_gain(frame["score"], frame["baseline"]), index=frame.index)
    if "gain" in frame:
        off = (frame["gain"] - gain).abs() > GAIN_TOLERANCE + 0.01 * gain.abs()
        if off.any():
            row = frame[off].iloc[0]
            raise InputError(
                f"gain is {row['gain']:g} in row {_row(off)}, but (score - baseline) / baseline is "
                f"{gain[off].iloc[0]:.4g}; gains are fractions"
            )
    frame["gain"] = gain
    return frame


def _check_repeats(frame: pd.DataFrame) -> None:
    if "baseline" not in frame:
        return
    key = ["setting", "source", "target", *(["seed"] if "seed" in frame else [])]
    # Without a seed nothing explains why the baseline of a pair differs between its rows.
    counts = frame.groupby(key, dropna=False)["baseline"].nunique()
    if (counts > 1).any():
        clash = dict(zip(key, np.atleast_1d(counts.index[counts > 1][0]), strict=True))
        rows = frame[(frame[["source", "target"]] == [clash["source"], clash["target"]]).all(axis=1)]
        seen = ", ".join(f"{b:g}" for b in sorted(rows["baseline"].unique())[:3])
        hint = "" if "seed" in frame else " (a column 'seed' would tell repeated runs apart)"
        raise InputError(
            f"contradicting baselines of {clash['source']} -> {clash['target']}: {seen}, first in row "
            f"{int(rows.index[0]) + 1}{hint}"
        )


def _average(runs: pd.DataFrame, pair_features: tuple[str, ...]) -> pd.DataFrame:
    measured = [c for c in MEASURED if c in runs]
    marks = [c for c in MARKS if c in runs]
    key = ["setting", "source", "target"]
    groups = runs.groupby(key, sort=False)
    pairs = groups[[*measured, *marks, *pair_features]].mean()
    for column in ("gain", "score"):
        if column in measured:
            pairs[f"{column}_std"] = groups[column].std()
    pairs["n_seeds"] = groups.size()
    return pairs.reset_index()


def task_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Numeric features by task: the index is the column ``task``, or else the first one."""
    if frame.empty:
        raise InputError("the table of tasks has no rows")
    column = "task" if "task" in frame else frame.columns[0]
    names = frame[column].astype(str)
    if names.duplicated().any():
        raise InputError(
            f"task '{names[names.duplicated()].iloc[0]}' stands twice in the table of tasks"
        )
    features = frame.drop(columns=column).select_dtypes(["number", "bool"]).astype(float)
    infinite = np.isinf(features.to_numpy())
    if infinite.any():
        row, col = np.argwhere(infinite)[0]
        raise InputError(f"feature {features.columns[col]} of task '{names.iloc[row]}' is infinite")
    if not len(features.columns):
        raise InputError(f"the table of tasks has no numeric column (it has: {_list(frame)})")
    return features.set_axis(pd.Index(names, name="task"))


def _check_tasks(runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
    for column in ("target", "source"):
        lacking = ~runs[column].isin(tasks.index)
        if lacking.any():
            task = runs.loc[lacking, column].iloc[0]
            raise InputError(
                f"task '{task}' ({column} in row {_row(lacking)}) has no row in the table of tasks"
                f"{nearest(task, tasks.index)}"
            )


def _row(mask: pd.Series) -> int:
    """Number of the first marked row, counted from 1 without the header."""
    return int(np.argmax(mask.to_numpy())) + 1


def _list(frame: pd.DataFrame) -> str:
    names = [str(c) for c in frame.columns]
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
