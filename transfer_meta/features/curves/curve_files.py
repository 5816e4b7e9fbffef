"""Training logs from CSV, JSON Lines, trainer_state.json and TensorBoard event files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfer_meta.errors import InputError, first_line
from transfer_meta.features.curves.curve_columns import (
    DEV_PREFIXES,
    CurveColumns,
    column_numbers,
    find_columns,
    is_unknown,
    plain_name,
)
from transfer_meta.features.curves.event_files import read_scalars
from transfer_meta.readers.compressed import content_suffix
from transfer_meta.readers.delimited import open_delimited
from transfer_meta.readers.jsonl import open_jsonl
from transfer_meta.readers.opening import find_encoding, text_lines
from transfer_meta.readers.rows import Rows, lenient_rows
from transfer_meta.records import CurveLog

MAX_UNREADABLE_SHARE = 0.5
"""Share of the rows, or of a column's values, from which on a log is refused that cannot be read."""
_LONG_KEYS = ("key", "metric", "tag")
"""Columns with the name of a metric, in tables of one value a row."""


class _Record(NamedTuple):
    """One line, or one step, of a log file."""

    place: str
    values: Mapping[str, Any]


def read_curves(
    path: Path | str,
    *,
    columns: CurveColumns | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, CurveLog]:
    """Read the training logs in a file, by task; a file without a column ``task`` has one, named ``""``.

    Parameters
    ----------
    path : path
        Recognised by name: ``.csv``, ``.tsv``, ``.jsonl`` (each also compressed), ``trainer_state.json`` or any
        ``.json`` with a ``log_history``, a list of records or lists by name, a TensorBoard event file
        (``…tfevents…``) or a folder of them. A record has a step and a training loss, a dev loss, a dev score, or
        several of them; see `curve_columns` for their names. Empty cells are unknown.
    columns : CurveColumns, optional
        Columns that are not to be detected; that of the dev score is required if there are several.
    tell : callable, optional
        Called with the columns that were found, and with what could not be read, one line each.

    Raises
    ------
    InputError
        The file does not exist or has none of these formats, has no column for step or training loss or several
        dev scores, or half of the values of a column are no numbers.
    """
    path = Path(path)
    tell = tell or (lambda line: None)
    records = _long_to_wide([_Record(place, values) for place, values in _records(path, tell)])
    keys = dict.fromkeys(key for record in records for key in record.values)
    filled = [key for key in keys if _has_values(key, [record.values.get(key) for record in records])]
    found = find_columns(path, list(keys), filled, columns or CurveColumns())
    named = {"step": found.step, "training loss": found.train_loss}
    named |= {"dev loss": found.dev_loss, "dev score": found.dev_score}
    tell(f"{path}: {', '.join(f'{role} = {name}' for role, name in named.items() if name)}")
    task = next((key for key in keys if plain_name(key) == "task"), None)
    by_task: dict[str, list[_Record]] = {}
    for record in records:
        by_task.setdefault(str(record.values.get(task, "")) if task else "", []).append(record)
    return {name: _curve_log(path, some, found, tell) for name, some in by_task.items()}


def _records(path: Path, tell: Callable[[str], None]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if "tfevents" in file.name)
        if not files:
            raise InputError(f"{path}: the folder holds no event file of TensorBoard (…tfevents…)")
        for file in files:
            yield from _records(file, tell)
        return
    suffix = content_suffix(path)
    if "tfevents" in path.name:
        yield from _steps(path)
    elif suffix in (".csv", ".tsv", ".tab"):
        yield from _rows(open_delimited(path), tell)
    elif suffix in (".jsonl", ".ndjson"):
        yield from _rows(open_jsonl(path), tell)
    elif suffix == ".json":
        for number, values in enumerate(_log_history(path), 1):
            place = f"{path}: record {number} of log_history"
            if not isinstance(values, dict):
                raise InputError(f"{place}: expected a JSON object")
            yield place, values
    else:
        raise InputError(
            f"{path}: not recognised as a training log by its name"
            " (expected .csv, .tsv, .jsonl, trainer_state.json, …tfevents…)"
        )


def _has_values(name: str, cells: Sequence[Any]) -> bool:
    """Return whether a column has values; that of a dev loss or score must have a number."""
    if not plain_name(name).startswith(DEV_PREFIXES):
        return not all(map(is_unknown, cells))
    return any(number is not None and not math.isnan(number) for number in column_numbers(cells))


class _LeftOut:
    """Rows of a log file that cannot be read."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.reason = ""

    def leave_out(self, reason: str, place: str) -> None:
        """Count a row."""
        self.reason = self.reason or reason
        self.places.append(place)

    def mend(self, reason: str, place: str) -> None:
        """Ignore what was mended."""


def _rows(rows: Rows, tell: Callable[[str], None]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a file without those that cannot be read, such as the last one of a run that goes on."""
    log = _LeftOut()
    read = 0
    for number, values in lenient_rows(rows, log):
        if all(key == value for key, value in values.items()):
            log.leave_out("the header again", f"{rows.place}{number}")
            continue
        read += 1
        yield f"{rows.place}{number}", values
    if log.places:
        lost = f"{len(log.places)} of {len(log.places) + read} rows left out: {log.reason}"
        if len(log.places) > read:
            raise InputError(f"{rows.origin}: {lost} (first {log.places[0]})")
        tell(f"{rows.origin}: {lost} (first {log.places[0]})")


def _long_to_wide(records: list[_Record]) -> list[_Record]:
    """Return records of a table with a row for every value, as MLflow writes it, as one record for every row."""
    keys = dict.fromkeys(key for record in records for key in record.values)
    by_plain = {plain_name(key): key for key in keys}
    name = next((by_plain[key] for key in _LONG_KEYS if key in by_plain), None)
    value = by_plain.get("value")
    if name is None or value is None:
        return records
    return [
        _Record(
            place,
            {str(values.get(name)): values.get(value)}
            | {key: cell for key, cell in values.items() if key not in (name, value)},
        )
        for place, values in records
    ]


def _steps(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the scalars of an event file, those logged together as one record."""
    values: dict[str, Any] = {}
    for step, tag, value in read_scalars(path):
        if values and (values["step"] != step or plain_name(tag) in values):
            yield f"{path} step {values['step']}", values
            values = {}
        values |= {"step": step, plain_name(tag): value}
    if values:
        yield f"{path} step {values['step']}", values


def _log_history(path: Path) -> list[Any]:
    text = "".join(text_lines(path, find_encoding(path, None)))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {first_line(error)}") from None
    history = found.get("log_history", _columns_to_records(found)) if isinstance(found, dict) else found
    if not isinstance(history, list):
        raise InputError(f"{path}: no list log_history in it, as a trainer_state.json has")
    return history


def _columns_to_records(found: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return one record an epoch of a history as Keras keeps it, lists by name; None if it is none."""
    lengths = {len(values) if isinstance(values, list) else -1 for values in found.values()}
    if len(lengths) != 1 or min(lengths) < 1:
        return None
    records = [dict(zip(found, cells, strict=True)) for cells in zip(*found.values(), strict=True)]
    return [{"epoch": number, **record} for number, record in enumerate(records)]


def _curve_log(
    path: Path, records: Sequence[_Record], columns: CurveColumns, tell: Callable[[str], None]
) -> CurveLog:
    names = (columns.step, columns.train_loss, columns.dev_loss, columns.dev_score)
    steps, losses, dev_losses, dev_scores = (
        np.array(_numbers(path, records, name, tell), dtype=np.float64) for name in names
    )
    # A NaN in the file is a loss; an empty cell belongs to a record of other values.
    trained: NDArray[np.bool_] = np.array(
        [not is_unknown(record.values.get(columns.train_loss or "")) for record in records]
    )
    dev = np.isfinite(dev_losses) | np.isfinite(dev_scores)
    without_step = np.flatnonzero((trained | dev) & ~np.isfinite(steps))
    if len(without_step):
        place = records[without_step[0]].place
        if len(without_step) >= MAX_UNREADABLE_SHARE * (trained | dev).sum():
            raise InputError(
                f"{place}: no step ({columns.step} is empty); set --step to another column"
            )
        tell(f"{path}: records without a step left out: {len(without_step)} (first {place})")
        trained, dev = trained & np.isfinite(steps), dev & np.isfinite(steps)
    if not trained.any():
        raise InputError(f"{path}: no training loss in it ({columns.train_loss} is empty)")
    return CurveLog(steps[trained], losses[trained], steps[dev], dev_losses[dev], dev_scores[dev])


def _numbers(
    path: Path, records: Sequence[_Record], name: str | None, tell: Callable[[str], None]
) -> list[float]:
    """Return a column as numbers, NaN where a cell is empty or no number."""
    if name is None:
        return [math.nan] * len(records)
    cells = [record.values.get(name) for record in records]
    numbers = column_numbers(cells)
    bad = [index for index, number in enumerate(numbers) if number is None]
    if bad:
        what = f"{name} is not a number: {str(cells[bad[0]])[:40]!r}"
        if len(bad) >= MAX_UNREADABLE_SHARE * sum(not is_unknown(cell) for cell in cells):
            raise InputError(f"{records[bad[0]].place}: {what}")
        tell(f"{path}: values left out: {len(bad)} (first {records[bad[0]].place}: {what})")
    return [math.nan if number is None else number for number in numbers]
