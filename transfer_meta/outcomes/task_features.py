"""Tables of task features: one row a task, numeric columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, list_names
from transfer_meta.outcomes.table_checks import match_case
from transfer_meta.outcomes.table_log import TableLog, first_row
from transfer_meta.readers.clean_names import clean_names
from transfer_meta.readers.number_text import parse_number_columns

_NAME_COLUMNS = ("name", "dataset", "task_name", "dataset_name")


def task_table(frame: pd.DataFrame, log: TableLog | None = None) -> pd.DataFrame:
    """Return numeric features by task, named by the column ``task`` or else the first one.

    Parameters
    ----------
    frame : DataFrame
        As read.
    log : TableLog, optional
        Where what is left out or mended is noted; without one nothing is said.

    Raises
    ------
    InputError
        No rows, no numeric column, two different rows of one task; with a strict log also an infinite feature.
    """
    log = log or TableLog("tasks")
    frame = match_case(frame)
    if frame.empty:
        raise InputError("the table of tasks has no rows")
    column = _name_column(frame)
    frame, notes = parse_number_columns(frame, text={column})
    log.notes += [f"tasks: {note}" for note in notes]
    names = clean_names(frame[column])
    if (names == "").any():
        if log.strict:
            raise InputError(f"the name of the task is empty in row {first_row(names == '')}")
        log.note(f"tasks: {int((names == '').sum())} rows without a name left out")
    kept = frame[names != ""].drop(columns=column).reset_index(drop=True)
    names = names[names != ""].reset_index(drop=True)
    features = kept.select_dtypes(["number", "bool"]).astype(float)
    again = names.duplicated() & features.assign(_name=names).duplicated()
    if again.any() and not log.strict:
        log.note(f"tasks: {int(again.sum())} repeated rows count once")
        features, names = features[~again], names[~again]
    if names.duplicated().any():
        raise InputError(
            f"task '{names[names.duplicated()].iloc[0]}' occurs twice in the table of tasks"
        )
    infinite = np.isinf(features.to_numpy())
    if infinite.any():
        row, col = np.argwhere(infinite)[0]
        where = f"feature {features.columns[col]} of task '{names.iloc[row]}' is infinite"
        if log.strict:
            raise InputError(where)
        log.note(f"tasks: {int(infinite.sum())} infinite values are taken as missing; {where}")
        features = features.mask(infinite)
    if not len(features.columns):
        raise InputError(f"the table of tasks has no numeric column (it has: {list_names(frame)})")
    unused = [c for c in kept if c not in features]
    if unused:
        log.note(f"tasks: columns that are no numbers are not used: {list_names(unused)}")
    return features.set_axis(pd.Index(names, name="task"))


def _name_column(frame: pd.DataFrame) -> str:
    """Return the column of the tasks' names: the one called so, the first, or the first text after a number."""
    if "task" in frame:
        return "task"
    first = frame.columns[0]
    if not pd.api.types.is_numeric_dtype(frame[first]):
        return str(first)
    texts = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c]) and frame[c].is_unique]
    named = [c for c in texts if str(c).casefold() in _NAME_COLUMNS]
    return str((named or texts or [first])[0])
