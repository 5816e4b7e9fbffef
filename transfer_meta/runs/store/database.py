"""Transactions on a run store: one writer at a time, repeated while a server restarts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from transfer_meta.runs.store.connection import (
    connect_database,
    lock_writers,
    parse_url,
    readable_errors,
    show_address,
)

T = TypeVar("T")

RETRY_WAITS_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 20, 30)
"""Waits between attempts to reach a database server, long enough for a restart; runs continue meanwhile."""


class Database:
    """A database with the tables of a run store.

    Parameters
    ----------
    address : str
        A path (SQLite), a ``sqlite://`` or a ``postgresql://`` URL.
    create : bool
        Make the store if there is none.

    Raises
    ------
    InputError
        The database cannot be reached, is no run store, or has another schema version.
    """

    def __init__(self, address: str, *, create: bool = False) -> None:
        self._url = parse_url(address)
        self._engine = connect_database(self._url, create=create)
        self._writer = sessionmaker(self._engine, expire_on_commit=False)
        reads = self._engine.execution_options(reads=True)
        self._reader = sessionmaker(reads, expire_on_commit=False)

    @property
    def name(self) -> str:
        """The store's address without its password."""
        return show_address(self._url)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is an SQLite file, which only processes of one machine can share."""
        return self._url.drivername == "sqlite"

    @property
    def checkpoint_folder(self) -> Path:
        """The default folder for this store's checkpoints."""
        database = Path(str(self._url.database))
        if self.is_sqlite:
            return database.with_suffix(".checkpoints").absolute()
        return Path(f"{database.name}.checkpoints").absolute()

    def close(self) -> None:
        """Close the database connections."""
        self._engine.dispose()

    def read(self, work: Callable[[Session], T]) -> T:
        """Return the result of `work` in a read-only transaction."""
        return self._transact(self._reader, work)

    def write(self, work: Callable[[Session], T]) -> T:
        """Return the result of `work` in a transaction that excludes other writers."""

        def locked(session: Session) -> T:
            lock_writers(session.connection())
            return work(session)

        return self._transact(self._writer, locked)

    def _transact(self, sessions: sessionmaker[Session], work: Callable[[Session], T]) -> T:
        """Execute a transaction; repeat it while the database server cannot be reached."""
        waits = RETRY_WAITS_SECONDS if self._engine.dialect.name == "postgresql" else ()
        with readable_errors(self._url):
            for wait in waits:
                try:
                    with sessions.begin() as session:
                        return work(session)
                except OperationalError:
                    time.sleep(wait)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    time.sleep(wait)
            with sessions.begin() as session:
                return work(session)


def database_time(session: Session) -> float:
    """Return the seconds since 1970 by the database's clock."""
    if session.get_bind().dialect.name == "sqlite":
        return float(
            session.execute(select((func.julianday("now") - 2440587.5) * 86400.0)).scalar_one()
        )
    return float(session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
