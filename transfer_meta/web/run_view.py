"""What the page on runs shows: the visitor's choice, the store as it was seen last, and numbers from it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from transfer_meta.errors import InputError
from transfer_meta.runs.open_plan import open_store, store_address

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_list import RunFilter, RunPage, StoreOverview

LOOK_SECONDS = 1.0
"""Least time between two looks whether the store has changed, however many browsers ask."""
WAIT_SECONDS = 3.0
"""Time that a visitor waits for others who read the store."""
MAX_READERS = 4
"""Visitors whose runs are read at a time."""
PAGE_ROWS = 50
MAX_CURVES = 12
"""Runs whose learning curves are drawn together."""
MAX_FILTER = 10_000
"""Characters of a name or text by which runs are filtered."""
MAX_ROWS = 10_000_000


@dataclass(frozen=True)
class View:
    """What a visitor has chosen to see; all of it is in the page's address.

    Parameters
    ----------
    wanted : RunFilter
    number : int
        Of the page of rows, from 1.
    curves : tuple of int
        Runs whose learning curves are shown.
    """

    wanted: RunFilter
    number: int = 1
    curves: tuple[int, ...] = ()

    @classmethod
    def of(cls, query: QueryParams) -> View:
        """Return the view of an address; raises InputError for an unknown status or column."""
        from transfer_meta.runs.store.run_list import RunFilter

        names = [field.name for field in fields(RunFilter)]
        given = {name: query[name][:MAX_FILTER] for name in names if query.get(name)}
        ids = [int(part) for part in query.get("curves", "").split(",")[:MAX_CURVES] if is_id(part)]
        number = query.get("page", "1")
        return cls(RunFilter(**given), int(number) if is_id(number) else 1, tuple(dict.fromkeys(ids)))

    def address(self, path: str = "/runs", **changes: Any) -> str:
        """Return the address of a view that differs from this one.

        Parameters
        ----------
        path : str
        changes
            Fields of the view or of its filter; another filter or order begins at the first page.
        """
        filters = {field.name: getattr(self.wanted, field.name) for field in fields(self.wanted)}
        number = self.number if not changes.keys() & filters.keys() else 1
        given: dict[str, Any] = {
            **filters,
            "page": number,
            "curves": ",".join(map(str, self.curves)),
            **changes,
        }
        default = {"sort": "-finished", "page": 1}
        query = {name: value for name, value in given.items() if value and default.get(name) != value}
        return f"{path}?{urlencode(query, errors='replace')}" if query else path

    def sorted_by(self, column: str) -> str:
        """Return the address of the view sorted by a column, or the other way round if it is already."""
        return self.address(sort=column if self.wanted.sort == f"-{column}" else f"-{column}")

    def with_curve(self, run: int) -> str:
        """Return the address of the view with the curves of a run, or without them."""
        others = [each for each in self.curves if each != run]
        chosen = others if run in self.curves else [*others, run][-MAX_CURVES:]
        return self.address(curves=",".join(map(str, chosen)))


def is_id(text: str) -> bool:
    """Return whether a text is a whole number that a run or a page may have."""
    return text.isascii() and text.isdecimal() and 0 < len(text) < 9 and int(text) > 0


class StoreView:
    """The server's view of a store: looks at most once in `LOOK_SECONDS`, and reads what has changed.

    Parameters
    ----------
    address : str or Path or None
        See `store_address`.

    Attributes
    ----------
    name : str
        The store's address without its password, once it was looked at.
    values : dict of str to list of str
        Methods, sources and targets to choose from.
    """

    def __init__(self, address: str | Path | None) -> None:
        self._given = address
        self._lock = threading.BoundedSemaphore(1)
        self._readers = threading.BoundedSemaphore(MAX_READERS)
        self._looked = -math.inf
        self._overview: StoreOverview | None = None
        self.name = ""
        self.values: dict[str, list[str]] = {}

    def overview(self) -> StoreOverview:
        """Return the numbers of the store, as they were at most `LOOK_SECONDS` ago.

        Raises
        ------
        InputError
            There is no store, or it cannot be read, or does not answer.
        """
        from transfer_meta.runs.store.run_list import list_values, store_digest, store_overview

        with _held(self._lock):
            if self._overview is not None and time.monotonic() - self._looked < LOOK_SECONDS:
                return self._overview
            # Opened each time: a store that was replaced is seen, and no file of a deleted one is kept.
            store = open_store(self._given)
            try:
                self.name = store.name
                if self._overview is None or store_digest(store) != self._overview.digest:
                    self._overview = store_overview(store)
                    self.values = {n: list_values(store, n) for n in ("method", "source", "target")}
            finally:
                store.close()
            self._looked = time.monotonic()
            return self._overview

    def rows(self, view: View) -> tuple[RunPage, list[Mapping[str, Any]]]:
        """Return the runs of a view, and those whose curves are shown."""
        from transfer_meta.runs.store.run_list import RunFilter, list_runs

        first = min((view.number - 1) * PAGE_ROWS, MAX_ROWS)
        with _held(self._readers):
            store = open_store(self._given)
            try:
                found = list_runs(store, view.wanted, first=first, count=PAGE_ROWS)
                drawn = list_runs(store, RunFilter(), ids=view.curves).rows if view.curves else []
            finally:
                store.close()
        return found, list(drawn)

    def absolute(self) -> str:
        """Return the address of the store for a process in another folder."""
        from transfer_meta.runs.store.connection import parse_url

        address = store_address(self._given)
        url = parse_url(address)
        return str(Path(str(url.database)).absolute()) if url.drivername == "sqlite" else address

    def is_missing(self) -> bool:
        """Return whether the store is a file that is not there."""
        from transfer_meta.runs.store.connection import parse_url

        url = parse_url(store_address(self._given))
        return url.drivername == "sqlite" and not Path(str(url.database)).exists()


@contextlib.contextmanager
def _held(semaphore: threading.BoundedSemaphore) -> Iterator[None]:
    """Hold a semaphore; raises an InputError where it is not free in time.

    A database that hangs would otherwise take one thread of the server after the other.
    """
    if not semaphore.acquire(timeout=WAIT_SECONDS):
        raise InputError("the run store does not answer: try again later")
    try:
        yield
    finally:
        semaphore.release()


def totals(overview: StoreOverview) -> dict[str, int]:
    """Return the numbers of runs by status."""
    from transfer_meta.runs.store.schema import STATUSES

    counts = overview.counts.items()
    return {status: sum(n for (_, s), n in counts if s == status) for status in STATUSES}


def method_rows(overview: StoreOverview) -> list[dict[str, Any]]:
    """Return for each method the numbers of runs by status, and the median time of a run."""
    from transfer_meta.runs.store.schema import STATUSES

    rates = _medians(overview)
    return [
        {
            "method": method,
            **{status: overview.counts.get((method, status), 0) for status in STATUSES},
            "median": rates.get(method),
        }
        for method in sorted({method for method, _ in overview.counts})
    ]


def time_left(overview: StoreOverview) -> float | None:
    """Return the seconds until all runs are done at the present number of workers (at least one).

    A run takes the median time of finished runs of its method, or of all where there are too few.  None if none is
    left, or none is finished.
    """
    rates = _medians(overview)
    left = totals(overview)
    if not rates or not left["pending"] + left["running"]:
        return None
    usual = rates[""]
    seconds = sum(
        n * rates.get(method, usual)
        for (method, status), n in overview.counts.items()
        if status == "pending"
    )
    n_lost = 0
    for run in overview.running:
        started = overview.now if run["started"] is None or run["is_lost"] else run["started"]
        seconds += max(rates.get(run["method"], usual) - (overview.now - started), 0.0)
        n_lost += run["is_lost"]
    return seconds / max(left["running"] - n_lost, 1)


def _medians(overview: StoreOverview) -> dict[str, float]:
    from transfer_meta.runs.cost import median_rates

    return median_rates(overview.seconds) if overview.seconds else {}


def run_label(row: Mapping[str, Any]) -> str:
    """Return a run in a few words.

    Examples
    --------
    >>> run_label({"id": 3, "method": "intermediate", "source": "a", "target": "b", "seed": 0})
    '3: intermediate, a → b, seed 0'
    """
    tasks = [_shorten(row[name]) for name in ("source", "target") if row[name]]
    return f"{row['id']}: {row['method']}, {' → '.join(tasks)}, seed {row['seed']}"


def _shorten(name: str, most: int = 40) -> str:
    """Return a name with at most so many characters, the last of which says that there are more."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
