"""Connect to a run store's database and check its schema: SQLite by path, PostgreSQL by URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from transfer_meta.errors import InputError, first_line
from transfer_meta.runs.store.schema import SCHEMA_VERSION, VERSION_TABLE, Base

BUSY_SECONDS = 60
MIGRATIONS = Path(__file__).parent / "migrations"
WRITER_LOCK = 7_203_145_117
"""Number of the advisory lock that all writers of a PostgreSQL store share."""
DAMAGE = ("not a database", "malformed", "unsupported file format")
"""Parts of SQLite's messages on a damaged file."""


class StoreError(InputError):
    """A store that cannot be used, or not any more."""


def parse_url(address: str) -> URL:
    """Return the URL of a path (SQLite) or of a ``sqlite://`` or ``postgresql://`` address.

    Examples
    --------
    >>> str(parse_url("runs.sqlite"))
    'sqlite:///runs.sqlite'
    >>> parse_url("postgresql://me:secret@host/runs").render_as_string()
    'postgresql+psycopg://me:***@host/runs'
    """
    if "://" not in address:
        return URL.create("sqlite", database=address)
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # The error's own text may quote the password.
        raise InputError(
            "the store's URL cannot be read (expected postgresql://USER@HOST:PORT/DATABASE)"
        ) from None
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:":
            raise InputError("a store in memory cannot be shared (expected a file: runs.sqlite)")
        return url
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        # A part of a password that holds @ or / and is not encoded would be shown as the host or the database.
        if any("@" in part for part in (url.host or "", url.database or "", *url.query)):
            raise InputError(
                "the store's URL has more than one '@' (expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE "
                "with special characters of the password as %XX)"
            )
        return url.set(drivername="postgresql+psycopg")
    raise InputError(
        f"unknown kind of store '{url.drivername}' (expected a path, sqlite:// or postgresql://)"
    )


def connect_database(url: URL, *, create: bool) -> Engine:
    """Return an engine on a store of this package's schema; a new store gets its tables.

    Raises
    ------
    InputError
        The database cannot be reached, is no store, or has another schema version.
    """
    if url.drivername == "sqlite":
        engine = _sqlite_engine(url, create=create)
    else:
        try:
            engine = create_engine(
                url,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": 10,
                    # A client that hangs in a transaction must not block the others.
                    "options": "-c idle_in_transaction_session_timeout=60000",
                },
            )
        except ModuleNotFoundError:
            raise InputError(
                "a PostgreSQL store needs the extra: pip install 'transfer-meta[postgresql]'"
            ) from None
    try:
        with readable_errors(url):
            _check_schema(engine, url, create=create)
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate_database(url: URL) -> tuple[str, str]:
    """Migrate a store to this package's schema; return the version before and after."""
    is_sqlite = url.drivername == "sqlite"
    engine = _sqlite_engine(url, create=False) if is_sqlite else create_engine(url)
    try:
        with readable_errors(url), engine.begin() as connection:
            lock_writers(connection)
            before = _version(connection)
            if before is None:
                raise _no_store(url)
            if before > SCHEMA_VERSION:
                raise _other_version(url, before)
            _upgrade(connection)
    finally:
        engine.dispose()
    return before, SCHEMA_VERSION


def lock_writers(connection: Connection) -> None:
    """Exclude other writers until this transaction ends, on PostgreSQL as on SQLite."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITER_LOCK})


def show_address(url: URL) -> str:
    """Return a store's address without the password and the parameters, which may hold one."""
    if url.drivername == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string()


def holds_password(url: URL) -> bool:
    """Return whether a store's address holds a password."""
    return bool(url.password) or any("password" in name.lower() for name in url.query)


@contextmanager
def readable_errors(url: URL) -> Iterator[None]:
    """Turn database errors into a `StoreError` of one line without the password."""
    try:
        yield
    except DBAPIError as error:
        reason = _without_password(first_line(str(error.orig)), url)
        if url.drivername == "sqlite" and any(part in reason for part in DAMAGE):
            reason += "; `sqlite3 FILE .recover` saves what can be read of a damaged store"
        raise StoreError(f"the store '{show_address(url)}' cannot be used: {reason}") from None
    except (SQLAlchemyError, json.JSONDecodeError, UnicodeDecodeError) as error:
        reason = _without_password(first_line(error), url)
        raise StoreError(
            f"the store '{show_address(url)}' has a row that cannot be read: {reason}"
        ) from None


def _without_password(reason: str, url: URL) -> str:
    """Return a server's message, or a note in place of one that holds the password in any form."""
    values = [url.password, *(v for name, v in url.query.items() if "password" in name.lower())]
    secrets = [str(value) for value in values if value]
    forms = {
        form for secret in secrets for form in (secret, quote(secret, safe=""), quote_plus(secret))
    }
    if any(form in reason for form in forms):
        return "(the server's message holds the password, or looks like it, and is not shown)"
    return reason


def _sqlite_engine(url: URL, *, create: bool) -> Engine:
    # SQLite's own messages do not say what is wrong with the path.
    path = Path(str(url.database))
    if path.is_dir():
        raise InputError(f"the store '{path}' is a folder (expected a file)")
    if not path.exists() and not create:
        raise InputError(f"no store at '{path}' (`transfer-meta run` makes one)")
    if not path.parent.is_dir():
        raise InputError(f"cannot make the store '{path}': its folder does not exist")
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_schema(engine: Engine, url: URL, *, create: bool) -> None:
    with engine.connect() as connection:
        # In this order: another process may be making the tables and the version, in one transaction.
        tables = set(inspect(connection).get_table_names())
        version = _version(connection)
        is_sqlite = url.drivername == "sqlite"
        if version is not None and create and is_sqlite:
            # Better now than after hours of training; about a second for a gigabyte.
            found = str(connection.execute(text("PRAGMA quick_check(1)")).scalar())
            if found != "ok":
                raise _damaged(url, first_line(found.removeprefix("*** in database main ***")))
    if version is None:
        if "runs" in tables:
            raise InputError(
                f"the database '{show_address(url)}' has a table 'runs' that is no run store"
            )
        if not create:
            raise _no_store(url)
        if tables and is_sqlite:
            raise InputError(
                f"'{show_address(url)}' is the database of another program (expected a run store or a new file)"
            )
        with engine.begin() as connection:
            lock_writers(connection)
            _upgrade(connection)
    elif version != SCHEMA_VERSION:
        raise _other_version(url, version)
    elif lacking := sorted(Base.metadata.tables.keys() - tables):
        raise _damaged(url, f"no table '{lacking[0]}'")


def _no_store(url: URL) -> InputError:
    return InputError(f"no store in the database '{show_address(url)}' (`transfer-meta run` makes one)")


def _damaged(url: URL, reason: str) -> StoreError:
    return StoreError(
        f"the store '{show_address(url)}' is damaged: {reason}"
        + (
            "; `sqlite3 FILE .recover` saves what can be read of it"
            if url.drivername == "sqlite"
            else ""
        )
    )


def _version(connection: Connection) -> str | None:
    """Return the schema version of a database, or None if it is no store."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if version is None else str(version)


def _other_version(url: URL, version: str) -> InputError:
    advice = (
        "`transfer-meta runs migrate` brings it up to date"
        if version < SCHEMA_VERSION
        else "a newer transfer-meta wrote it"
    )
    return InputError(
        f"the store '{show_address(url)}' has schema version {version} (expected {SCHEMA_VERSION}): {advice}"
    )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions itself: a read transaction that becomes a write can only fail.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
