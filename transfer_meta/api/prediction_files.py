"""Files of predictions: CSV with a row per text, entity or word, and JSONL with an object per text."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file, guard_cell, unguard_cell
from transfer_meta.records import TaskType
from transfer_meta.training.text_predictions import TextPredictions, flat_columns, flat_rows

if TYPE_CHECKING:
    import pandas as pd

PREDICTION_SUFFIXES = (".csv", ".jsonl")
Write = Callable[[int, Mapping[str, Any]], None]
"""Called with the number of a text and its prediction."""


@contextmanager
def prediction_file(
    path: Path, type: TaskType, labels: tuple[str, ...], *, probabilities: bool
) -> Iterator[Write]:
    """Yield a function that writes a prediction to a file, which is there when the block ends without an error.

    Parameters
    ----------
    path : Path
        A name in .csv or .jsonl.
    type : TaskType
    labels : tuple of str
        Classes or tags that the model knows.
    probabilities : bool
        Classification: whether to write the probability of every class.
    """
    with atomic_file(path) as temporary:
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                if path.suffix.lower() == ".jsonl":
                    drops = type is TaskType.CLASSIFICATION and not probabilities
                    yield _jsonl_writer(file, without=("probabilities",) if drops else ())
                else:
                    yield csv_writer(file, type, labels, probabilities=probabilities, guard=True)
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror or error}") from error


def csv_writer(
    stream: TextIO,
    type: TaskType,
    labels: tuple[str, ...],
    *,
    probabilities: bool,
    guard: bool = False,
) -> Write:
    """Write the names of the columns and return a function that writes a prediction; see `flat_rows`.

    `guard` is for files that a spreadsheet may open, see `files.guard_cell`; not for a pipe into a program.
    """
    columns = flat_columns(type, labels, probabilities=probabilities)
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()

    def write(number: int, found: Mapping[str, Any]) -> None:
        for row in flat_rows(type, number, found, probabilities=probabilities):
            writer.writerow({k: guard_cell(v) for k, v in row.items()} if guard else row)

    return write


def _jsonl_writer(stream: TextIO, *, without: tuple[str, ...]) -> Write:
    def write(number: int, found: Mapping[str, Any]) -> None:
        values = {name: value for name, value in found.items() if name not in without}
        stream.write(json.dumps({"row": number, **values}, ensure_ascii=False) + "\n")

    return write


def read_predictions(path: Path, type: TaskType, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return the table of a file of predictions."""
    import pandas as pd

    try:
        if path.suffix.lower() == ".jsonl":
            with path.open(encoding="utf-8") as file:
                found = [json.loads(line) for line in file]
            rows = tuple(values.pop("row") for values in found)
            return TextPredictions(type, labels, tuple(found), rows).to_frame()
        # Names of classes and texts as they stand: "NA" is one.
        texts = dict.fromkeys(("label", "text", "token"), str)
        numbers: Any = {"start": "Int64", "end": "Int64"}
        missing = {name: [""] for name in ("start", "end", "probability")}
        frame = pd.read_csv(path, dtype={**texts, **numbers}, keep_default_na=False, na_values=missing)
        return frame.assign(**{name: frame[name].map(unguard_cell) for name in texts if name in frame})
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"'{path}' cannot be read: {error}") from error
