"""Outcome tables: which source was tried on which target, with which result.

Any CSV, TSV or Parquet table works.  Required columns are ``source``, ``target`` and one of ``gain``, ``score``
with ``baseline``, or ``score`` alone (sources can then be ranked, but gains stay unknown).  The columns
`table_checks.SETTING_COLUMNS` distinguish settings, ``seed`` repeated runs; ``metric`` says whether a lower score
is better.  Of the other numeric columns those are pair features that `feature_columns` does not refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from transfer_meta.errors import InputError, list_names
from transfer_meta.files import digest
from transfer_meta.outcomes.feature_columns import choose_pair_features, choose_task_features
from transfer_meta.outcomes.metric_units import check_units, find_direction
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.table_checks import (
    ANNOTATION_COLUMNS,
    MEASURED_COLUMNS,
    METRIC_COLUMN,
    NON_FEATURE_COLUMNS,
    REPORTED_COLUMN,
    SETTING_COLUMNS,
    SPREAD_COLUMNS,
    add_gain,
    check_baselines,
    clean_keys,
    complete_rows,
    drop_repeated,
    keep_described_tasks,
    match_case,
    parse_numbers,
    rename_columns,
    require_columns,
    setting_names,
    take_baselines,
)
from transfer_meta.outcomes.table_log import TableLog
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.task_features import task_table
from transfer_meta.readers.number_text import parse_number_columns
from transfer_meta.readers.whole_table import NAME_COLUMNS, TableFormat, read_table, read_table_file

DEFAULT_TABLE_NAME = "outcomes"
"""Name of a table that was made from a data frame."""
_MAX_SEEDS = 10**6
"""Number of seeds that a row of means can state."""


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
        over runs, NaN for one run) and ``n_seeds``, both as stated by a table of means.  Gains are fractions.
        ``shared_text``, if known: the share of the target's texts that also occur in the source.
    tasks : DataFrame
        One row per task (its index), one column per feature; empty without a tasks file.
    pair_features : tuple of str
        Columns of `pairs` that are features of the pair.
    feature_sets : mapping of str to tuple of str
        Named sets of task features that ship with the table.
    notes : tuple of str
        What was left out, mended, refused or taken, a line each.
    ceiling : DataFrame
        `evaluation.ceiling.noise_ceiling` of the single runs, for a table of means that ships; else empty.
    file : Path or None
        The file of outcomes that was read.
    """

    name: str
    runs: pd.DataFrame
    pairs: pd.DataFrame
    tasks: pd.DataFrame
    pair_features: tuple[str, ...] = ()
    feature_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ceiling: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    file: Path | None = None

    @property
    def has_gain(self) -> bool:
        """Whether gains are known; scores alone rank sources within a target."""
        return "gain" in self.pairs

    @property
    def has_means(self) -> bool:
        """Whether a row of outcomes is a mean over runs."""
        return len(self.pairs) == len(self.runs) and bool((self.pairs["n_seeds"] > 1).any())

    @property
    def digest(self) -> str:
        """Digest of all outcomes and features."""
        return digest(self.pairs.to_csv(index=False), self.tasks.to_csv())


def load_outcomes(
    name: str | Path | pd.DataFrame,
    *,
    tasks: str | Path | pd.DataFrame | None = None,
    columns: Mapping[str, str] | None = None,
    settings: TableSettings | None = None,
) -> OutcomeTable:
    """Load a shipped table by name, any table by path, or a data frame.

    Parameters
    ----------
    name : str, path or DataFrame
        A name listed by ``transfer-meta outcomes list``, whose task and pair features are loaded too; the path of a
        CSV, TSV or Parquet file; or a data frame, one row per run.
    tasks : str, path or DataFrame, optional
        Task features, one row per task, named by the column ``task`` or else the first one.
    columns : mapping of str to str, optional
        The file's column names by ours, for example ``{"source": "aux", "target": "main"}``; added to those of the
        settings.
    settings : TableSettings, optional
        How the table is read and what is done with rows that cannot be used.

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
    settings = _with_columns(settings, columns)
    notes: tuple[str, ...] = ()
    ceiling = pd.DataFrame()
    file, feature_sets = None, None
    if isinstance(name, pd.DataFrame):
        frame, title = name, DEFAULT_TABLE_NAME
    elif (path := Path(name)).suffix or path.exists() or len(path.parts) > 1:
        file, title = path, path.name
        frame, notes = _read(path, settings)
    else:
        shipped = find_shipped(str(name))
        file, title, feature_sets = shipped.outcomes, shipped.name, shipped.feature_sets
        frame = read_table(file)
        tasks = shipped.tasks if tasks is None else tasks
        ceiling = _read_ceiling(shipped.ceiling)
        if shipped.pairs is not None:
            pairs = read_table(shipped.pairs)
            frame = frame.merge(pairs, on=["source", "target"], how="left", validate="many_to_one")
    features = None
    if isinstance(tasks, pd.DataFrame):
        features = tasks.reset_index() if tasks.index.name == "task" else tasks
    elif tasks is not None:
        features, more = _read(Path(tasks), settings)
        notes = (*notes, *(f"tasks: {note}" for note in more))
    table = build_table(
        frame,
        tasks=features,
        name=title,
        settings=settings,
        feature_sets=feature_sets,
        trusted=feature_sets is not None,
    )
    return replace(table, notes=(*notes, *table.notes), file=file, ceiling=ceiling)


def build_table(
    frame: pd.DataFrame,
    *,
    tasks: pd.DataFrame | None = None,
    name: str = DEFAULT_TABLE_NAME,
    columns: Mapping[str, str] | None = None,
    feature_sets: Mapping[str, tuple[str, ...]] | None = None,
    settings: TableSettings | None = None,
    trusted: bool = False,
) -> OutcomeTable:
    """Validate a frame of outcomes and average its repeated runs (see `load_outcomes`).

    Parameters
    ----------
    frame, tasks : DataFrame
        Outcomes, and perhaps features of the tasks, as read.
    name : str
        Name in tables and errors.
    columns, settings
        See `load_outcomes`.
    feature_sets : mapping of str to tuple of str, optional
        Named sets of task features.
    trusted : bool
        Whether all numeric columns are features, without a look at their content.
    """
    settings = _with_columns(settings, columns)
    log = TableLog(name, strict=settings.strict, verbose=settings.verbose)
    runs = match_case(rename_columns(frame, settings.columns).reset_index(drop=True))
    require_columns(runs)
    total = len(runs)
    runs, notes = parse_number_columns(
        runs, text=set(_text_columns(runs)), decimal=settings.form.decimal
    )
    log.notes += notes
    runs = clean_keys(runs, log)
    runs["setting"] = setting_names(runs)
    lower = find_direction(
        runs,
        told=settings.lower_is_better,
        score_name=settings.columns.get("score", "score"),
        log=log,
    )
    runs = parse_numbers(runs, log)
    before = len(runs)
    runs = take_baselines(runs, log)
    total -= before - len(runs)
    runs = check_units(complete_rows(runs, log), lower, log)
    runs = add_gain(runs, lower[runs.index], log)
    features = pd.DataFrame()
    if tasks is not None:
        features = task_table(tasks, log)
        if len(runs):
            runs = keep_described_tasks(runs, features, log)
    log.check(total)
    if runs.empty:
        raise InputError(f"no row of '{name}' is a transfer from one task to another")
    runs["setting"] = setting_names(runs)
    runs = drop_repeated(runs, log).reset_index(drop=True)
    check_baselines(runs)
    for column in MEASURED_COLUMNS:
        if column in runs:
            # Stored column by column: means of columns that lie together differ in the last digit, and so digests.
            runs[column] = runs[column].to_numpy(dtype=float, copy=True)
    if trusted:
        pair_features = tuple(
            str(c)
            for c in runs
            if c not in NON_FEATURE_COLUMNS and pd.api.types.is_numeric_dtype(runs[c])
        )
    else:
        pairs_chosen = choose_pair_features(runs, settings)
        pair_features = pairs_chosen.taken
        log.notes += pairs_chosen.notes
        if tasks is not None:
            tasks_chosen = choose_task_features(features, settings)
            features = features[list(tasks_chosen.taken)]
            log.notes += tasks_chosen.notes
            if not len(features.columns):
                raise InputError(
                    f"the table of tasks has no feature (it has: {list_names(tasks)}); {tasks_chosen.notes[0]}"
                )
    return OutcomeTable(
        name=name,
        runs=runs,
        pairs=_average(runs, pair_features),
        tasks=features,
        pair_features=pair_features,
        feature_sets=dict(feature_sets or {}),
        notes=tuple(log.notes),
    )


def read_pairs(
    path: Path, form: TableFormat, *, columns: Mapping[str, str], log: TableLog
) -> pd.DataFrame:
    """Read pairs without outcomes: names cleaned, numbers parsed; rows without a source or target are left out."""
    read = read_table_file(path, form, names=_name_columns(columns))
    log.notes += read.notes
    frame = match_case(rename_columns(read.frame, columns))
    if not {"source", "target"} <= set(frame):
        return frame
    kept = clean_keys(frame, log)
    log.check(len(frame))
    return kept.reset_index(drop=True)


def read_task_features(path: Path, form: TableFormat, *, log: TableLog) -> pd.DataFrame:
    """Read a table of task features, all numeric columns of it."""
    read = read_table_file(path, form)
    log.notes += [f"tasks: {note}" for note in read.notes]
    return task_table(read.frame, log)


def _read_ceiling(path: Path | None) -> pd.DataFrame:
    """Return the noise ceiling of all settings together; the file also has those of each."""
    if path is None:
        return pd.DataFrame()
    frame = pd.read_csv(path)
    return frame[frame["setting"].isna()].drop(columns="setting").reset_index(drop=True)


def _with_columns(settings: TableSettings | None, columns: Mapping[str, str] | None) -> TableSettings:
    settings = settings or TableSettings()
    return replace(settings, columns={**settings.columns, **columns}) if columns else settings


def _read(path: Path, settings: TableSettings) -> tuple[pd.DataFrame, tuple[str, ...]]:
    theirs = settings.columns
    names = _name_columns(theirs)
    text = (*SETTING_COLUMNS, METRIC_COLUMN, *(theirs[c] for c in SETTING_COLUMNS if c in theirs))
    read = read_table_file(path, settings.form, names=names, text=text)
    if read.ragged and settings.strict:
        raise InputError(f"{path}:{read.ragged[0]}: more fields than the header has columns")
    return read.frame, read.notes


def _name_columns(columns: Mapping[str, str]) -> tuple[str, ...]:
    return (*NAME_COLUMNS, *(columns[c] for c in ("source", "target") if c in columns))


def _text_columns(frame: pd.DataFrame) -> list[str]:
    return [c for c in (*NAME_COLUMNS, METRIC_COLUMN, *SETTING_COLUMNS) if c in frame]


def _average(runs: pd.DataFrame, pair_features: tuple[str, ...]) -> pd.DataFrame:
    measured = [c for c in (*MEASURED_COLUMNS, REPORTED_COLUMN) if c in runs]
    marks = [c for c in ANNOTATION_COLUMNS if c in runs]
    key = ["setting", "source", "target"]
    groups = runs.groupby(key, sort=False)
    pairs = groups[[*measured, *marks, *pair_features]].mean()
    for column in ("gain", "score"):
        if column in measured:
            pairs[f"{column}_std"] = groups[column].std()
    pairs["n_seeds"] = groups.size()
    if "n_seeds" in runs and len(pairs) == len(runs):
        # A table of means.
        for column in (c for c in SPREAD_COLUMNS if c in runs):
            pairs[column] = pd.to_numeric(groups[column].first(), errors="coerce")
        pairs["n_seeds"] = pairs["n_seeds"].fillna(1).clip(1, _MAX_SEEDS).astype(int)
    return pairs.reset_index()
