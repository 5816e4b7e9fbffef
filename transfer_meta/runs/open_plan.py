"""Opening a plan and a run store for the public functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.errors import InputError, require
from transfer_meta.runs import DEFAULT_STORE, STORE_VARIABLE

if TYPE_CHECKING:
    from transfer_meta.records import Tell
    from transfer_meta.runs.plan import Plan
    from transfer_meta.runs.plan_file import PlanSource
    from transfer_meta.runs.store.run_store import Store


def store_address(store: str | Path | None) -> str:
    """Return the address of a store: the given one, ``$TRANSFER_META_STORE``, or `DEFAULT_STORE`."""
    return str(store or os.environ.get(STORE_VARIABLE) or DEFAULT_STORE)


def open_store(store: str | Path | None) -> Store:
    """Open a store that exists, see `store_address`."""
    require("sqlalchemy")
    from transfer_meta.runs.store.run_store import Store

    return Store(store_address(store))


def open_plan(
    plan: PlanSource, store: str | Path | None, *, create: bool, tell: Tell
) -> tuple[Plan, Store | None]:
    """Open a plan and its store; the problems of both are reported together.

    Parameters
    ----------
    plan : path or mapping
    store : str, Path or None
        See `store_address`.
    create : bool
        Make a store that is not there.  Without it, the store is None if it is a SQLite file that does not exist.
    tell : callable
        Called with one line for each note on how the tasks were read.
    """
    require("sqlalchemy", "torch")
    from transfer_meta.runs.plan import load_plan
    from transfer_meta.runs.plan_sets import with_stored_mixtures
    from transfer_meta.runs.store.connection import parse_url
    from transfer_meta.runs.store.run_store import Store

    address = store_address(store)
    problems: list[str] = []
    opened = None
    made = False
    try:
        url = parse_url(address)
        is_new = url.drivername == "sqlite" and not Path(str(url.database)).exists()
        if create or not is_new:
            made = is_new
            opened = Store(address, create=create)
    except InputError as error:
        problems.append(str(error))
    try:
        loaded = load_plan(plan, problems=problems)
    except InputError:
        if opened is not None:
            opened.close()
        if made:
            Path(str(url.database)).unlink(missing_ok=True)
        raise
    if opened is not None:
        loaded = with_stored_mixtures(loaded, opened)
    for note in loaded.notes:
        tell(note)
    return loaded, opened
