"""Matrices of scores, sources by targets, as published tables have them, turned into one row a pair."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from transfer_meta.errors import InputError, list_names
from transfer_meta.outcomes.importers import Imported
from transfer_meta.outcomes.table_checks import BASELINE_NAMES
from transfer_meta.readers.clean_names import clean_name, clean_names
from transfer_meta.readers.number_text import MISSING_NUMBERS, parse_number_columns
from transfer_meta.readers.whole_table import TableFormat, read_table_file

MEAN_NAMES = frozenset(("mean", "avg", "avg.", "average", "ø", "overall", "total", "sum", "median"))
"""Names, in lower case, of rows and columns that are means of the others."""

_DECORATED = re.compile(
    r"[*_†‡\s]*(?P<number>[+\-−]?[\d.,]+(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)"
    r"(?:\s*(?:±|\+/-|\+-).*|\s*\(.*\)|\s*\[.*\])?[*_†‡\s]*"
)
"""A number with marks of emphasis or significance, or with its uncertainty."""
_TARGET_WORDS = frozenset(("target", "targets", "main", "test", "eval", "evaluated", "task"))
_SOURCE_WORDS = frozenset(("source", "sources", "aux", "auxiliary", "train", "trained", "intermediate"))


@dataclass(frozen=True)
class MatrixSettings:
    """How a matrix is laid out.

    Parameters
    ----------
    rows : {"sources", "targets"} or None
        What the rows are; None to tell it from the row or column of baselines and from the first cell.
    form : TableFormat
        Separator, encoding and decimal sign; detected where not given.
    """

    rows: Literal["sources", "targets"] | None = None
    form: TableFormat = field(default_factory=TableFormat)

    def __post_init__(self) -> None:
        if self.rows not in (None, "sources", "targets"):
            raise InputError(f"--rows: expected sources or targets, got '{self.rows}'")


def import_matrix(path: str | Path, settings: MatrixSettings | None = None) -> Imported:
    """Import a matrix of scores with the names of tasks in the first row and column.

    Parameters
    ----------
    path : str or path
        CSV, TSV or Parquet.  The baselines of targets are the row (or column) with one of the names
        `table_checks.BASELINE_NAMES`, else the cells whose source is their target.  Empty cells are pairs that were
        not tried; rows and columns of means are left out.
    settings : MatrixSettings, optional

    Returns
    -------
    Imported
        ``source``, ``target``, ``score`` and, where baselines are known, ``baseline``.

    Raises
    ------
    InputError
        The file is no matrix of numbers, or a name occurs twice.
    """
    settings = settings or MatrixSettings()
    path = Path(path)
    read = read_table_file(path, settings.form)
    notes = list(read.notes)
    frame = _numbers(path, read.frame, notes, settings.form.decimal)
    rows, note = _orientation(frame, settings.rows)
    if note:
        notes.append(note)
    if rows == "targets":
        frame = frame.T
    means = [str(n) for n in (*frame.index, *frame.columns) if str(n).casefold() in MEAN_NAMES]
    if means:
        frame = frame.drop(index=means, columns=means, errors="ignore")
        notes.append(f"means are no tasks, left out: {', '.join(dict.fromkeys(means))}")
    alone = [name for name in frame.index if str(name).casefold() in BASELINE_NAMES]
    if len(alone) > 1:
        raise InputError(f"{path}: two rows of baselines: '{alone[0]}' and '{alone[1]}'")
    diagonal = pd.Series(
        {name: frame.at[name, name] for name in frame.columns if name in frame.index}, dtype=float
    )
    if alone:
        baseline = frame.loc[alone[0]]
        frame = frame.drop(index=alone)
        notes.append(f"baselines: '{alone[0]}'")
        if diagonal.notna().any():
            notes.append(f"{int(diagonal.notna().sum())} cells of a target as its own source left out")
    else:
        baseline = diagonal
        if baseline.notna().any():
            notes.append(f"baselines: the diagonal, of {int(baseline.notna().sum())} targets")
    table = (
        frame.rename_axis(index="source", columns="target")
        .reset_index()
        .melt(id_vars="source", value_name="score", ignore_index=False)
        .sort_index(kind="stable")
    )
    table = table[(table["source"] != table["target"]) & table["score"].notna()]
    if baseline.notna().any():
        table["baseline"] = table["target"].map(baseline)
        lacking = table["baseline"].isna()
        if lacking.any():
            notes.append(
                f"targets without baseline, left out: {list_names(table.loc[lacking, 'target'].unique())}"
            )
            table = table[~lacking]
    else:
        notes.append("no baselines: sources can only be ranked")
        if (table["score"] < 0).any():
            notes.append("negative cells: if they are gains, read the table with --columns gain=score")
    if table.empty:
        raise InputError(f"{path}: the matrix has no pair with a score")
    return Imported(table.reset_index(drop=True), tuple(notes))


def _numbers(path: Path, frame: pd.DataFrame, notes: list[str], decimal: str | None) -> pd.DataFrame:
    """Return the cells as numbers, with clean unique names of rows and columns."""
    while len(frame.columns) > 2 and str(frame.columns[0]).startswith("Unnamed") and _counts(frame):
        frame = frame.iloc[:, 1:]
    corner = frame.columns[0]
    names = clean_names(frame[corner])
    cells = frame.drop(columns=corner)
    cells = cells[(names != "").to_numpy()]
    cells = cells[[c for c in cells if not (str(c).startswith("Unnamed") and cells[c].isna().all())]]
    names = names[names != ""]
    bare = 0
    for column in cells:
        if pd.api.types.is_numeric_dtype(cells[column]):
            continue
        texts = cells[column].map(
            lambda cell: "" if cell is None or cell != cell else str(cell).strip()
        )
        found = texts.map(_DECORATED.fullmatch)
        stripped = texts.where(
            found.isna(), found.map(lambda m: m and m["number"].replace("−", "-") + m["percent"])
        )
        bare += int((stripped != texts).sum())
        bad = found.isna() & ~texts.str.casefold().isin(MISSING_NUMBERS) & (texts != "")
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise InputError(
                f"{path}: the cell of row '{names.iloc[row]}' and column '{column}' is no number: "
                f"'{texts.iloc[row]}' (expected the names of tasks in the first row and column, and scores)"
            )
        cells = cells.assign(**{str(column): stripped})
    cells, more = parse_number_columns(cells.reset_index(drop=True), decimal=decimal)
    notes += more
    if bare:
        notes.append(f"uncertainties and marks taken off {bare} cells")
    left = [c for c in cells if not pd.api.types.is_numeric_dtype(cells[c])]
    for column in left:
        cells[column] = pd.to_numeric(cells[column], errors="coerce")
    cells = cells.astype(float)
    cells.index = pd.Index(names, dtype=object)
    cells.columns = pd.Index([clean_name(str(c)) for c in cells.columns], dtype=object)
    cells.columns.name = clean_name(str(corner))
    for axis, labels in (("rows", cells.index), ("columns", cells.columns)):
        if labels.has_duplicates:
            raise InputError(f"{path}: two {axis} are named '{labels[labels.duplicated()][0]}'")
    return cells


def _counts(frame: pd.DataFrame) -> bool:
    first, second = frame.iloc[:, 0], frame.iloc[:, 1]
    return pd.api.types.is_integer_dtype(first) and not pd.api.types.is_numeric_dtype(second)


def _orientation(frame: pd.DataFrame, told: str | None) -> tuple[str, str]:
    """Return what the rows are, and a note where nothing says it."""
    in_rows = any(str(name).casefold() in BASELINE_NAMES for name in frame.index)
    in_columns = any(str(name).casefold() in BASELINE_NAMES for name in frame.columns)
    if told is not None:
        if (in_columns and told == "sources") or (in_rows and told == "targets"):
            raise InputError(
                f"--rows {told}: the baselines are a {'column' if in_columns else 'row'}, so that the rows are "
                f"{'targets' if in_columns else 'sources'}"
            )
        return told, ""
    if in_rows != in_columns:
        return ("sources" if in_rows else "targets"), ""
    words = re.findall(r"[a-z]+", str(frame.columns.name).casefold())
    for word in words[:1]:
        if word in _SOURCE_WORDS | _TARGET_WORDS and word != "task":
            return ("sources" if word in _SOURCE_WORDS else "targets"), ""
    return "sources", "rows are taken as sources, columns as targets (--rows targets: the other way)"
