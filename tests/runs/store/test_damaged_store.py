"""SQLite stores that are damaged, another program's, deleted in use, or used while the clock jumps."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from store_values import RESULT, new

from transfer_meta.errors import InputError
from transfer_meta.runs.export import export_curves, export_outcomes
from transfer_meta.runs.run_status import run_table
from transfer_meta.runs.store import run_store
from transfer_meta.runs.store.connection import StoreError, migrate_database, parse_url
from transfer_meta.runs.store.run_store import Store
from transfer_meta.runs.store.schema import SCHEMA_VERSION, VERSION_TABLE


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 40 finished runs with their curves and checkpoints, in one file."""
    path = tmp_path_factory.mktemp("whole") / "runs.sqlite"
    store = Store(str(path), create=True)
    store.add([new(f"k{i}", baseline_key="k0" if i else None, source="s") for i in range(40)])
    while held := store.claim({f"k{i}" for i in range(40)}, worker="here|1", lease_seconds=60):
        store.finish(held, RESULT, checkpoint=(f"f{held.key}", 1))
    store.close()
    assert not path.with_name("runs.sqlite-wal").exists()
    return path


def use(path: Path) -> str:
    """Open a store as `run` does, and read and write everything; returns the error, or an empty string."""
    try:
        store = Store(str(path), create=True)
        try:
            run_table(store)
            export_outcomes(store)
            export_curves(store)
            store.checkpoints()
            store.add([new("new")])
            store.claim({"new"}, worker="here|1", lease_seconds=60)
            store.release_dead("here", lambda _: False)
            store.drop_checkpoints()
        finally:
            store.close()
    except InputError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def damages() -> list[tuple[str, Callable[[bytearray, random.Random], None]]]:
    def header(content: bytearray, draw: random.Random) -> None:
        content[draw.randrange(100)] ^= 1 << draw.randrange(8)

    def page(content: bytearray, draw: random.Random) -> None:
        begin = draw.randrange(1, len(content) // 4096) * 4096
        content[begin : begin + 4096] = draw.randbytes(4096)

    def bits(content: bytearray, draw: random.Random) -> None:
        for _ in range(20):
            content[draw.randrange(100, len(content))] ^= 1 << draw.randrange(8)

    def end(content: bytearray, draw: random.Random) -> None:
        del content[draw.randrange(1, len(content)) :]

    def zeros(content: bytearray, draw: random.Random) -> None:
        begin = draw.randrange(100, len(content) - 512)
        content[begin : begin + 512] = bytes(512)

    return [(f.__name__, f) for f in (header, page, bits, end, zeros)]


@pytest.mark.parametrize(("name", "damage"), damages())
def test_a_damaged_file_ends_in_one_line_or_is_read(
    whole: Path, tmp_path: Path, name: str, damage: Callable[[bytearray, random.Random], None]
) -> None:
    assert use(shutil.copy(whole, tmp_path / "copy.sqlite")) == ""
    draw = random.Random(name)
    errors = []
    for number in range(25):
        content = bytearray(whole.read_bytes())
        damage(content, draw)
        path = tmp_path / f"{number}.sqlite"
        path.write_bytes(content)
        errors.append(use(path))
    assert any(errors)
    assert all(str(tmp_path) in error for error in errors if error)
    if name in ("page", "end"):
        assert sum(map(bool, errors)) > 20
        assert any(".recover`" in error for error in errors)


def test_a_page_that_is_damaged_is_noticed_before_the_first_run(whole: Path, tmp_path: Path) -> None:
    content = bytearray(whole.read_bytes())
    with closing(sqlite3.connect(whole)) as database:
        (root,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'curves'"
        ).fetchone()
    content[(root - 1) * 4096 : (root - 1) * 4096 + 200] = b"x" * 200
    (tmp_path / "copy.sqlite").write_bytes(content)
    with pytest.raises(InputError, match=r"copy.sqlite' .*\.recover"):
        Store(str(tmp_path / "copy.sqlite"), create=True)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET score = 'high' WHERE id = 3",
        "UPDATE runs SET settings = 'no json' WHERE id = 3",
        "UPDATE runs SET settings = '[1]' WHERE id = 3",
        "UPDATE runs SET worker = x'ff' WHERE id = 3",
        "UPDATE runs SET started = 'yesterday' WHERE id = 3",
    ],
)
def test_values_of_another_type_are_named(whole: Path, tmp_path: Path, change: str) -> None:
    path = shutil.copy(whole, tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(change)
    assert "run 3 has " in (error := use(path)) or "a row that cannot be read" in error


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE places (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="the database of another program"):
        Store(str(path), create=True)
    for attempt in (lambda: Store(str(path)), lambda: migrate_database(parse_url(str(path)))):
        with pytest.raises(InputError, match="no store in the database"):
            attempt()
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master").fetchall()
    assert names == [("places",)]
    assert len(path.read_bytes()) == len(before)


def test_a_store_that_lacks_a_table(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE {VERSION_TABLE} (version_num TEXT)")
        database.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('{SCHEMA_VERSION}')")
    with pytest.raises(StoreError, match="is damaged: no table 'checkpoints'"):
        Store(str(path))


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_store_that_is_deleted_or_replaced_in_use_is_rescued(
    tmp_path: Path, is_replaced: bool
) -> None:
    path = tmp_path / "runs.sqlite"
    store = Store(str(path), create=True)
    store.add([new("a"), new("b")])
    held = store.claim({"a"}, worker="here|1", lease_seconds=60)
    assert held is not None
    assert store.finish(held, RESULT)
    for file in tmp_path.iterdir():
        file.unlink()
    if is_replaced:
        Store(str(tmp_path / "other.sqlite"), create=True).close()
        (tmp_path / "other.sqlite").replace(path)
    for _ in range(2):
        with pytest.raises(
            StoreError, match="was deleted or replaced while it was in use; its content"
        ):
            store.add([new("c")])
    (rescued,) = tmp_path.glob("runs.rescued-*.sqlite")
    assert path.exists() == is_replaced
    store.close()
    again = Store(str(rescued))
    assert again.statuses() == {"a": "done", "b": "pending"}
    assert list(again.curves(1)) == ["a", "b"]


# --- clocks that jump ------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_does_not_keep_the_runs_of_lost_workers(
    store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(store_address, create=True)
    store.add([new("a")])
    monkeypatch.setattr(run_store, "database_time", lambda _: 1_000_000.0)
    assert store.claim({"a"}, worker="there|1", lease_seconds=0.2) is not None
    monkeypatch.setattr(run_store, "database_time", lambda _: 1_000.0)
    assert store.release_dead("here", lambda _: True, lease_seconds=0.2) == 0
    time.sleep(0.3)
    assert store.release_dead("here", lambda _: True, lease_seconds=0.2) == 1
    assert store.statuses() == {"a": "pending"}


def test_a_clock_that_jumps_back_leaves_the_runs_of_live_workers(
    store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(store_address, create=True)
    store.add([new("a")])
    held = store.claim({"a"}, worker="there|1", lease_seconds=60)
    assert held is not None
    for now in (5_000.0, 4_000.0, 3_000.0):
        monkeypatch.setattr(run_store, "database_time", lambda _, now=now: now)
        assert store.renew([held], lease_seconds=60) == []
        time.sleep(0.15)
        assert store.release_dead("here", lambda _: True, lease_seconds=0.2) == 0
    assert store.finish(held, RESULT)


def test_a_clock_that_jumps_on_gives_a_run_to_two_and_counts_one(
    store_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(store_address, create=True)
    store.add([new("a")])
    first = store.claim({"a"}, worker="there|1", lease_seconds=60)
    monkeypatch.setattr(run_store, "database_time", lambda _: time.time() + 3600)
    second = store.claim({"a"}, worker="here|1", lease_seconds=60)
    assert first is not None
    assert second is not None
    assert not store.finish(first, RESULT)
    assert store.finish(second, RESULT)
