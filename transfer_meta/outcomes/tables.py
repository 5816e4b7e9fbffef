"""Outcome tables: which source was tried on which target, with which result.

Any CSV, TSV or Parquet table works.  Required columns are ``source``, ``target`` and one of ``gain``, ``score``
with ``baseline``, or ``score`` alone (sources can then be ranked, but gains stay unknown).  The columns
`table_checks.SETTING_COLUMNS` distinguish settings, ``seed`` repeated runs; every other numeric column is a pair
feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from transfer_meta.files import digest
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.table_checks import (
    ANNOTATION_COLUMNS,
    MEASURED_COLUMNS,
    NON_FEATURE_COLUMNS,
    add_gain,
    check_baselines,
    check_tasks,
    parse_numbers,
    parse_task_names,
    rename_columns,
    require_columns,
    setting_names,
    task_table,
)
from transfer_meta.readers.whole_table import read_table


@dataclass(frozen=True)
class OutcomeTable:
    """Outcomes, one row per pair and setting, and the features of their tasks.

    Parameters
    ----------
    name : str
        Name of the shipped table or of the file.
    runs : DataFrame
        The validated rows: ``setting``, ``source``, ``target``, ``seed`` and the measured columns.
    pairs : DataFrame
        Means over the runs of a pair in one setting, with ``gain_std`` or ``score_std`` (standard deviation
        over runs, NaN for one run) and ``n_seeds``.  Gains are fractions.  ``shared_text``, if known: the share
        of the target's texts that also occur in the source.
    tasks : DataFrame
        One row per task (its index), one column per feature; empty without a tasks file.
    pair_features : tuple of str
        Columns of `pairs` that are features of the pair.
    feature_sets : mapping of str to tuple of str
        Named sets of task features that ship with the table.
    """

    name: str
    runs: pd.DataFrame
    pairs: pd.DataFrame
    tasks: pd.DataFrame
    pair_features: tuple[str, ...] = ()
    feature_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def has_gain(self) -> bool:
        """Whether gains are known; scores alone rank sources within a target."""
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
    """Load a shipped table by name, or any table by path.

    Parameters
    ----------
    name : str or path
        A name listed by ``transfer-meta outcomes list``, whose task and pair features are loaded too, or the
        path of a CSV, TSV or Parquet file.
    tasks : str or path, optional
        File of task features, one row per task, named by the column ``task`` or else the first one.
    columns : mapping of str to str, optional
        The file's column names by ours, for example ``{"source": "aux", "target": "main"}``.

    Raises
    ------
    InputError
        The name is unknown, or a file cannot be used; the message gives the reason and the row.

    Examples
    --------
    >>> table = load_outcomes("bingel-soegaard-2017")
    >>> len(table.pairs), table.has_gain
    (90, True)
    """
    path = Path(name)
    if path.suffix or path.exists() or len(path.parts) > 1:
        frame, name, feature_sets = read_table(path), path.name, None
    else:
        shipped = find_shipped(str(name))
        frame, name, feature_sets = read_table(shipped.outcomes), shipped.name, shipped.feature_sets
        tasks = tasks or shipped.tasks
        if shipped.pairs is not None:
            pairs = read_table(shipped.pairs)
            frame = frame.merge(pairs, on=["source", "target"], how="left", validate="many_to_one")
    return build_table(
        frame,
        tasks=None if tasks is None else read_table(Path(tasks)),
        name=name,
        columns=columns,
        feature_sets=feature_sets,
    )


def build_table(
    frame: pd.DataFrame,
    *,
    tasks: pd.DataFrame | None = None,
    name: str = "outcomes",
    columns: Mapping[str, str] | None = None,
    feature_sets: Mapping[str, tuple[str, ...]] | None = None,
) -> OutcomeTable:
    """Validate a frame of outcomes and average its repeated runs (see `load_outcomes`)."""
    runs = rename_columns(frame, columns or {})
    require_columns(runs)
    runs = parse_task_names(runs)
    runs["setting"] = setting_names(runs)
    runs = add_gain(parse_numbers(runs))
    check_baselines(runs)
    pair_features = tuple(
        str(c) for c in runs if c not in NON_FEATURE_COLUMNS and pd.api.types.is_numeric_dtype(runs[c])
    )
    features = pd.DataFrame() if tasks is None else task_table(tasks)
    if tasks is not None:
        check_tasks(runs, features)
    return OutcomeTable(
        name=name,
        runs=runs,
        pairs=_average(runs, pair_features),
        tasks=features,
        pair_features=pair_features,
        feature_sets=dict(feature_sets or {}),
    )


def _average(runs: pd.DataFrame, pair_features: tuple[str, ...]) -> pd.DataFrame:
    measured = [c for c in MEASURED_COLUMNS if c in runs]
    marks = [c for c in ANNOTATION_COLUMNS if c in runs]
    key = ["setting", "source", "target"]
    groups = runs.groupby(key, sort=False)
    pairs = groups[[*measured, *marks, *pair_features]].mean()
    for column in ("gain", "score"):
        if column in measured:
            pairs[f"{column}_std"] = groups[column].std()
    pairs["n_seeds"] = groups.size()
    return pairs.reset_index()
