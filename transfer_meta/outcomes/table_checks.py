"""Validation of outcome tables: column names, task names, numbers, and their consistency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, list_names, nearest
from transfer_meta.records import relative_gain

SETTING_COLUMNS = ("model", "encoder", "adaptation", "method", "regime", "settings")
MEASURED_COLUMNS = ("baseline", "score", "gain", "absolute_gain")
SPREAD_COLUMNS = ("gain_std", "score_std", "n_seeds")
ANNOTATION_COLUMNS = ("shared_text",)
"""Columns about a pair that are no features: the share of the target's texts that occur in the source."""

NON_FEATURE_COLUMNS = frozenset(
    ("source", "target", "setting", "seed")
    + (SETTING_COLUMNS + MEASURED_COLUMNS + SPREAD_COLUMNS + ANNOTATION_COLUMNS)
)

GAIN_TOLERANCE = 2e-3
"""Tolerated difference of a gain from its score and baseline, for tables rounded to three digits."""


def rename_columns(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Rename columns, given the file's names by ours."""
    for ours, theirs in columns.items():
        if theirs not in frame:
            raise InputError(
                f"no column '{theirs}' (given for {ours}; the file has: {list_names(frame)})"
                f"{nearest(theirs, map(str, frame))}"
            )
        if ours in frame and ours != theirs:
            raise InputError(
                f"column '{theirs}' cannot become '{ours}': the file has a column of that name"
            )
    return frame.rename(columns={theirs: ours for ours, theirs in columns.items()})


def require_columns(frame: pd.DataFrame) -> None:
    """Raise InputError if a required column is missing or the table is empty."""
    for column in ("source", "target"):
        if column not in frame:
            raise InputError(
                f"missing column '{column}' (the file has: {list_names(frame)}; rename with "
                f"--columns {column}=NAME){nearest(column, map(str, frame))}"
            )
    if "gain" not in frame and "score" not in frame:
        raise InputError(
            f"missing column 'gain' or 'score' (the file has: {list_names(frame)})"
            f"{nearest('score', map(str, frame))}"
        )
    if frame.empty:
        raise InputError("the table of outcomes has columns but no rows")


def parse_task_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert sources and targets to nonempty strings; no task may be its own source."""
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


def setting_names(frame: pd.DataFrame) -> pd.Series:
    """Name the setting of each row by those of `SETTING_COLUMNS` that vary."""
    present = [c for c in SETTING_COLUMNS if c in frame and len(frame[c].drop_duplicates()) > 1]
    if not present:
        return pd.Series("", index=frame.index)
    return frame[present].astype(str).agg(" / ".join, axis=1)


def parse_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert the measured columns to finite numbers."""
    for column in MEASURED_COLUMNS:
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


def add_gain(frame: pd.DataFrame) -> pd.DataFrame:
    """Compute gains from scores and baselines; gains in the table must agree."""
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


def check_baselines(frame: pd.DataFrame) -> None:
    """Raise InputError if runs of one pair and seed have different baselines."""
    if "baseline" not in frame:
        return
    key = ["setting", "source", "target", *(["seed"] if "seed" in frame else [])]
    clash = frame.groupby(key, dropna=False)["baseline"].transform("nunique") > 1
    if clash.any():
        source, target = frame.loc[clash, ["source", "target"]].iloc[0]
        of_pair = clash & (frame["source"] == source) & (frame["target"] == target)
        seen = ", ".join(f"{b:g}" for b in sorted(frame.loc[of_pair, "baseline"].unique())[:3])
        hint = "" if "seed" in frame else " (a column 'seed' would tell repeated runs apart)"
        raise InputError(
            f"contradicting baselines of {source} -> {target}: {seen}, first in row {_row(of_pair)}{hint}"
        )


def task_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return numeric features by task, named by the column ``task`` or else the first one."""
    if frame.empty:
        raise InputError("the table of tasks has no rows")
    column = "task" if "task" in frame else frame.columns[0]
    names = frame[column].astype(str)
    if names.duplicated().any():
        raise InputError(
            f"task '{names[names.duplicated()].iloc[0]}' occurs twice in the table of tasks"
        )
    features = frame.drop(columns=column).select_dtypes(["number", "bool"]).astype(float)
    infinite = np.isinf(features.to_numpy())
    if infinite.any():
        row, col = np.argwhere(infinite)[0]
        raise InputError(f"feature {features.columns[col]} of task '{names.iloc[row]}' is infinite")
    if not len(features.columns):
        raise InputError(f"the table of tasks has no numeric column (it has: {list_names(frame)})")
    return features.set_axis(pd.Index(names, name="task"))


def check_tasks(runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
    """Raise InputError if a task of the outcomes has no features."""
    for column in ("target", "source"):
        lacking = ~runs[column].isin(tasks.index)
        if lacking.any():
            task = runs.loc[lacking, column].iloc[0]
            raise InputError(
                f"task '{task}' ({column} in row {_row(lacking)}) has no row in the table of tasks"
                f"{nearest(task, tasks.index)}"
            )


def _row(mask: pd.Series) -> int:
    """Return the number of the first marked row, counted from 1 without the header."""
    return int(np.argmax(mask.to_numpy())) + 1
