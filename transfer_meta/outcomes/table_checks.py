"""What a table of outcomes must be: columns by our names, names and numbers that agree with each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, nearest
from transfer_meta.records import relative_gain

SETTINGS = ("model", "encoder", "adaptation", "method", "regime", "settings")
MEASURED = ("baseline", "score", "gain", "absolute_gain")
SPREAD = ("gain_std", "score_std", "n_seeds")
# What is said about a pair and is no feature: the share of the target's texts that stand in the source, too.
MARKS = ("shared_text",)
KNOWN = ("source", "target", *SETTINGS, "seed", *MEASURED, *SPREAD, *MARKS)

# A stated gain may differ from score and baseline by what rounding to three digits leaves.
GAIN_TOLERANCE = 2e-3


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


def require_columns(frame: pd.DataFrame) -> None:
    """Raise InputError where a table lacks what every table needs."""
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


def with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Sources and targets as strings, none of them empty, no task its own source."""
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


def setting_of(frame: pd.DataFrame) -> pd.Series:
    """What each row was run with, in words: the columns of `SETTINGS` that vary."""
    present = [c for c in SETTINGS if c in frame and len(frame[c].drop_duplicates()) > 1]
    if not present:
        return pd.Series("", index=frame.index)
    return frame[present].astype(str).agg(" / ".join, axis=1)


def with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The measured columns as finite numbers."""
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


def with_gain(frame: pd.DataFrame) -> pd.DataFrame:
    """Gains from scores and baselines; those stated must agree."""
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


def check_repeats(frame: pd.DataFrame) -> None:
    """Raise InputError where runs of one pair and seed name two baselines."""
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


def check_tasks(runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
    """Raise InputError where a task of the outcomes has no features."""
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
