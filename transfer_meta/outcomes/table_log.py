"""Rows of a table of outcomes that are left out, counted by reason."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.tasks.reading_log import MAX_LOST_SHARE

_ROWS_SHOWN = 3


class TableLog:
    """Notes on a table and its rows; numbers of rows count from 1 without the header.

    Parameters
    ----------
    name : str
        Name of the table.
    strict : bool
        Whether a row that cannot be used is an error.
    verbose : bool
        Whether notes list all rows.
    """

    def __init__(self, name: str, *, strict: bool = False, verbose: bool = False) -> None:
        self.name, self.strict, self.verbose = name, strict, verbose
        self.notes: list[str] = []
        self._lost: list[tuple[str, list[int], str]] = []

    def note(self, text: str, rows: Iterable[int] = ()) -> None:
        """Add a note, with the rows that it is about."""
        rows = list(rows)
        self.notes.append(f"{text}{self._list(rows)}" if rows else text)

    def leave_out(
        self, frame: pd.DataFrame, mask: pd.Series, reason: str, message: str | None = None
    ) -> pd.DataFrame:
        """Return the frame without the marked rows, which count as lost.

        Parameters
        ----------
        frame : DataFrame
            Its index numbers the rows of the file from 0.
        mask : Series of bool
        reason : str
            Words that follow the number of rows: "without score".
        message : str, optional
            Text of the error for the first row; default: the reason.

        Raises
        ------
        InputError
            A row is marked, and the log is strict.
        """
        if not mask.any():
            return frame
        rows = row_numbers(mask)
        message = message or f"{reason} in row {rows[0]}"
        if self.strict:
            raise InputError(message)
        self._lost.append((reason, rows, message))
        return frame[~mask]

    def check(self, total: int) -> None:
        """Write a note for each reason; raise InputError if more than half of `total` rows are lost."""
        lost = sum(len(rows) for _, rows, _ in self._lost)
        if lost > MAX_LOST_SHARE * total:
            why = "; ".join(f"{len(rows)} {reason} ({message})" for reason, rows, message in self._lost)
            raise InputError(f"{lost} of {total} rows of '{self.name}' cannot be used: {why}")
        found = [
            f"{len(rows)} of {total} rows left out: {reason}{self._list(rows)}"
            for reason, rows, _ in self._lost
        ]
        self.notes[:0] = found

    def _list(self, rows: list[int]) -> str:
        shown = rows if self.verbose else rows[:_ROWS_SHOWN]
        more = ", …" if len(shown) < len(rows) else ""
        return f" (row{'s' if len(rows) > 1 else ''} {', '.join(map(str, shown))}{more})"


def row_numbers(mask: pd.Series) -> list[int]:
    """Return the numbers of the marked rows, counted from 1 without the header."""
    return [int(row) + 1 for row in mask.index[mask.to_numpy(dtype=bool)]]


def first_row(mask: pd.Series) -> int:
    """Return the number of the first marked row."""
    return int(mask.index[int(np.argmax(mask.to_numpy(dtype=bool)))]) + 1
