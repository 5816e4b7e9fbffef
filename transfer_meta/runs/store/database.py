"""Transactions on a run store: one writer at a time, repeated while a server restarts."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

from transfer_meta.runs.store.connection import (
    StoreError,
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
        self._opened = self._file_identity()
        self._lost = ""
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
        self._check_file()
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

    def _file_identity(self) -> tuple[int, int] | None:
        """Return the device and inode of an SQLite store's file, or None if there is no such file."""
        try:
            found = Path(str(self._url.database)).stat() if self.is_sqlite else None
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino)

    def _check_file(self) -> None:
        """Raise a StoreError if an SQLite store's file was deleted or replaced since it was opened.

        SQLite would go on writing into the file that has no name any more.  What is in it is copied beside it.
        """
        if not self._lost:
            if not self.is_sqlite or self._file_identity() == self._opened:
                return
            copied = self._copy_lost_file()
            self._lost = f"the store '{self.name}' was deleted or replaced while it was in use" + (
                f"; its content is in '{copied}'" if copied else ""
            )
        raise StoreError(self._lost)

    def _copy_lost_file(self) -> Path | None:
        """Copy the deleted file through a connection that still has it open; return the copy's path."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool) or not pool.checkedin():
            return None
        database = Path(str(self._url.database))
        path = database.with_name(f"{database.stem}.rescued-{os.getpid()}{database.suffix}")
        connection = self._engine.raw_connection()
        try:
            with closing(sqlite3.connect(path)) as copy:
                assert isinstance(connection.driver_connection, sqlite3.Connection)
                connection.driver_connection.backup(copy)
        except sqlite3.Error:
            return None
        finally:
            connection.close()
        return path


def database_time(session: Session) -> float:
    """Return the seconds since 1970 by the database's clock."""
    if session.get_bind().dialect.name == "sqlite":
        return float(
            session.execute(select((func.julianday("now") - 2440587.5) * 86400.0)).scalar_one()
        )
    return float(session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
