"""Training logs from CSV, JSON Lines, trainer_state.json and TensorBoard event files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transfer_meta.errors import InputError, first_line, list_names, nearest
from transfer_meta.features.curves.event_files import read_scalars
from transfer_meta.readers.delimited import open_delimited
from transfer_meta.readers.jsonl import open_jsonl
from transfer_meta.readers.opening import find_encoding, text_lines
from transfer_meta.records import CurveLog

# Column names in order of preference; slashes are read as underscores.
_STEPS = ("step", "steps", "global_step", "iter", "iteration", "iterations")
_LOSSES = ("loss", "train_loss", "training_loss")
_DEV_PREFIXES = ("dev_", "eval_", "val_", "valid_", "validation_")
_DEV_LOSSES = tuple(f"{prefix}loss" for prefix in _DEV_PREFIXES)
# Values that trainers log under the same prefixes.
_NOT_SCORES = (
    "runtime", "samples_per_second", "steps_per_second", "jit_compilation_time",
    "model_preparation_time", "epoch", "step", "loss",
)  # fmt: skip


class _Record(NamedTuple):
    """One line, or one step, of a log file."""

    place: str
    values: Mapping[str, Any]


def read_curves(path: Path | str, *, dev_score: str | None = None) -> dict[str, CurveLog]:
    """Read the training logs in a file, by task; a file without a column ``task`` has one, named ``""``.

    Parameters
    ----------
    path : path
        Recognised by name: ``.csv``, ``.tsv``, ``.jsonl`` (each also compressed), ``trainer_state.json`` or any
        ``.json`` with a ``log_history``, a TensorBoard event file (``…tfevents…``) or a folder of them. A
        record has a step (``step``, ``iter``, …) and a training loss (``loss``, ``train_loss``, …), a dev loss
        (``eval_loss``, ``dev_loss``, …), a dev score (any other number named ``eval_…``, ``dev_…``, ``val_…``), or
        several of them; empty cells are unknown.
    dev_score : str or None
        Column of the dev score, required if there are several.

    Raises
    ------
    InputError
        The file does not exist or has none of these formats, has no column for step or loss or several dev
        scores, or a cell is not a number.
    """
    path = Path(path)
    records = [
        _Record(place, {_plain(key): value for key, value in values.items()})
        for place, values in _records(path)
    ]
    keys = dict.fromkeys(key for record in records for key in record.values)
    step = _find(keys, _STEPS)
    if step is None:
        raise InputError(
            f"{path}: no column with the step (one of: {', '.join(_STEPS)}; got: {list_names(keys)})"
        )
    loss, dev_loss = _find(keys, _LOSSES), _find(keys, _DEV_LOSSES)
    if loss is None:
        raise InputError(
            f"{path}: no column with the training loss (one of: {', '.join(_LOSSES)}; got: {list_names(keys)})"
        )
    score = _find_score(path, keys, dev_score)
    by_task: dict[str, list[_Record]] = {}
    for record in records:
        by_task.setdefault(str(record.values.get("task", "")), []).append(record)
    return {task: _curve_log(path, some, step, loss, dev_loss, score) for task, some in by_task.items()}


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if "tfevents" in file.name)
        if not files:
            raise InputError(f"{path}: the folder holds no event file of TensorBoard (…tfevents…)")
        for file in files:
            yield from _records(file)
        return
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if "tfevents" in path.name:
        yield from _steps(path)
    elif name.endswith((".csv", ".tsv")):
        yield from ((f"{path}:{line}", values) for line, values in open_delimited(path))
    elif name.endswith((".jsonl", ".ndjson")):
        yield from ((f"{path}:{line}", values) for line, values in open_jsonl(path))
    elif name.endswith(".json"):
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


def _steps(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the scalars of an event file, those logged together as one record."""
    values: dict[str, Any] = {}
    for step, tag, value in read_scalars(path):
        if values and (values["step"] != step or _plain(tag) in values):
            yield f"{path} step {values['step']}", values
            values = {}
        values |= {"step": step, _plain(tag): value}
    if values:
        yield f"{path} step {values['step']}", values


def _log_history(path: Path) -> list[Any]:
    text = "".join(text_lines(path, find_encoding(path, None)))
    try:
        history = json.loads(text)["log_history"]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {first_line(error)}") from None
    except (KeyError, TypeError):
        history = None
    if not isinstance(history, list):
        raise InputError(f"{path}: no list log_history in it, as a trainer_state.json has")
    return history


def _plain(name: str) -> str:
    return name.strip().lower().replace("/", "_")


def _find(keys: Iterable[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in keys), None)


def _find_score(path: Path, keys: Iterable[str], wanted: str | None) -> str | None:
    scores = [
        key
        for key in keys
        if key.startswith(_DEV_PREFIXES) and key.partition("_")[2] not in _NOT_SCORES
    ]
    if wanted is not None:
        if _plain(wanted) not in keys:
            raise InputError(f"{path}: no column '{wanted}' for the dev score{nearest(wanted, scores)}")
        return _plain(wanted)
    if len(scores) > 1:
        raise InputError(
            f"{path}: several dev scores ({list_names(scores)}); choose one with --dev-score"
        )
    return scores[0] if scores else None


def _curve_log(
    path: Path,
    records: Sequence[_Record],
    step: str,
    loss: str,
    dev_loss: str | None,
    score: str | None,
) -> CurveLog:
    columns = [
        np.array([_number(record, key) for record in records], dtype=np.float64)
        for key in (step, loss, dev_loss, score)
    ]
    steps, losses, dev_losses, dev_scores = columns
    # A NaN in the file is a loss; an empty cell belongs to a record of other values.
    trained = np.array([_has(record, loss) for record in records], dtype=bool)
    dev = np.isfinite(dev_losses) | np.isfinite(dev_scores)
    missing = np.flatnonzero((trained | dev) & ~np.isfinite(steps))
    if len(missing):
        raise InputError(f"{records[missing[0]].place}: no step")
    if not trained.any():
        raise InputError(f"{path}: no training loss in it")
    return CurveLog(steps[trained], losses[trained], steps[dev], dev_losses[dev], dev_scores[dev])


def _has(record: _Record, key: str) -> bool:
    return record.values.get(key) not in (None, "")


def _number(record: _Record, key: str | None) -> float:
    if key is None or not _has(record, key):
        return math.nan
    value = record.values[key]
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{record.place}: {key} is not a number: {str(value)[:40]!r}") from None
