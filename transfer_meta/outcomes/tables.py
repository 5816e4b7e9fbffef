"""Outcome tables: which source was tried on which target, and what came of it.

Any CSV, TSV or Parquet table works.  Required columns are ``source``, ``target`` and one of ``gain``,
``score`` with ``baseline``, or ``score`` alone (sources can then be ranked, but gains stay unknown).
Columns named in `checks.SETTINGS` tell apart what was run; ``seed`` marks repeated runs; every other numeric
column is a pair feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from transfer_meta.files import digest
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.table_checks import (
    KNOWN,
    MARKS,
    MEASURED,
    check_repeats,
    check_tasks,
    rename_columns,
    require_columns,
    setting_of,
    task_table,
    with_gain,
    with_names,
    with_numbers,
)
from transfer_meta.readers.whole_table import read_table


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
    require_columns(runs)
    runs = with_names(runs)
    runs["setting"] = setting_of(runs)
    runs = with_gain(with_numbers(runs))
    check_repeats(runs)
    pair_features = tuple(
        str(c) for c in runs if c not in (*KNOWN, "setting") and pd.api.types.is_numeric_dtype(runs[c])
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
