from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from store_values import CURVE, RESULT, new

from transfer_meta.encoding.vector_store import VectorKey
from transfer_meta.errors import InputError
from transfer_meta.records import LearningCurve
from transfer_meta.runs.store.connection import migrate_database, parse_url
from transfer_meta.runs.store.run_store import Claim, Store
from transfer_meta.runs.store.schema import SCHEMA_VERSION, VERSION_TABLE, Base
from transfer_meta.training.stage import Stage


@pytest.fixture
def store(store_address):
    store = Store(store_address, create=True)
    yield store
    store.close()


def claim(store: Store, keys=("a", "b", "c"), lease=60.0) -> Claim | None:
    return store.claim(set(keys), worker="here|1", lease_seconds=lease)


def must_claim(store: Store, keys=("a", "b", "c"), lease=60.0) -> Claim:
    found = claim(store, keys, lease)
    assert found is not None
    return found


def test_add_twice_adds_once(store):
    assert store.add([new("a"), new("b"), new("a")]) == 2
    assert store.add([new("b"), new("c")]) == 1
    assert [r.key for r in store.runs()] == ["a", "b", "c"]
    assert store.statuses() == dict.fromkeys("abc", "pending")


def test_result_comes_back_whole(store):
    store.add([new("a")])
    held = must_claim(store)
    assert store.finish(held, RESULT, checkpoint=("f", 3_000_000_000))
    run = store.run("1")
    assert (run.status, run.score, run.device, run.attempts) == ("done", 0.75, "cpu", 1)
    assert run.peak_memory_bytes == 5_000_000_000
    assert run.scores == {"accuracy": 0.75, "odd": None}
    assert run.settings == {"target": "a"}
    assert run.created <= run.started <= run.finished
    assert list(store.curves(run.id)) == ["a", "b"]
    curve = store.curves(run.id)["a"]
    for name in ("steps", "losses", "dev_steps", "dev_losses", "dev_scores"):
        np.testing.assert_array_equal(getattr(curve, name), getattr(CURVE, name))
    assert store.checkpoints()["a"].size_bytes == 3_000_000_000


def test_times_are_unix_times(store):
    store.add([new("a")])
    assert abs(store.run("1").created - time.time()) < 60


def test_a_run_is_claimed_once(store):
    store.add([new("a"), new("b")])
    assert {must_claim(store).key, must_claim(store).key} == {"a", "b"}
    assert claim(store) is None


def test_only_the_named_runs_are_claimed(store):
    store.add([new("a"), new("b")])
    assert must_claim(store, ["b"]).key == "b"
    assert claim(store, ["b"]) is None


def test_a_run_waits_for_the_checkpoint_it_starts_from(store):
    store.add([new("a"), new("b", start="a"), new("c", start="b")])
    first = must_claim(store)
    assert first.key == "a"
    assert first.wanted
    assert claim(store) is None
    store.finish(first, RESULT, checkpoint=("file-a", 1))
    second = must_claim(store)
    assert (second.key, second.start_file) == ("b", "file-a")
    store.finish(second, RESULT, checkpoint=("file-b", 1))
    assert store.drop_checkpoints() == ["file-a"]
    third = must_claim(store)
    assert (third.key, third.start_file, third.wanted) == ("c", "file-b", False)
    assert store.drop_checkpoints() == []
    store.finish(third, RESULT)
    assert store.drop_checkpoints() == ["file-b"]


def test_runs_that_free_a_checkpoint_come_first(store):
    store.add([new("a"), new("b"), new("c", start="a")])
    store.finish(must_claim(store), RESULT, checkpoint=("file-a", 1))
    assert must_claim(store).key == "c"


def test_kept_checkpoints_go_only_on_request(store):
    store.add([new("a")])
    store.finish(must_claim(store), RESULT, checkpoint=("f", 1), keep=True)
    assert store.drop_checkpoints() == []
    assert store.drop_checkpoints(kept=True) == ["f"]


def test_a_start_whose_checkpoint_is_gone_is_done_again(store):
    store.add([new("a"), new("b", start="a")])
    store.finish(must_claim(store, "a"), RESULT, checkpoint=("f", 1))
    store.finish(must_claim(store, "b"), RESULT, checkpoint=("g", 1))
    store.drop_checkpoints()
    store.add([new("c", start="b")])
    # Along the chain: c needs b's checkpoint, which needs a's.
    assert must_claim(store).key == "a"
    assert store.statuses() == {"a": "running", "b": "pending", "c": "pending"}


def test_a_failed_start_skips_what_would_start_from_it(store):
    store.add([new("a"), new("b", start="a"), new("c", start="b")])
    assert store.fail(must_claim(store), "NaN loss at step 3")
    assert store.statuses() == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert store.run("1").reason == "NaN loss at step 3"
    assert store.run("2").reason == "the run it starts from, 1, failed: NaN loss at step 3"
    assert claim(store) is None
    assert store.retry() == 3
    assert must_claim(store).key == "a"


def test_an_ended_lease_gives_the_run_to_another_and_fences_off_the_first(store):
    store.add([new("a")])
    slow = must_claim(store, lease=0.0)
    time.sleep(0.05)
    quick = must_claim(store)
    assert quick.key == "a"
    assert store.renew([slow, quick], lease_seconds=60) == [slow]
    assert not store.finish(slow, RESULT)
    assert not store.fail(slow, "too late")
    assert not store.release(slow)
    assert store.run("1").status == "running"
    assert store.finish(quick, RESULT)
    assert store.run("1").attempts == 2
    # Asked again after an answer that got lost on its way.
    assert store.finish(quick, RESULT)


def test_a_dead_worker_of_this_host_loses_its_runs_at_once(store):
    store.add([new("a"), new("b")])
    store.claim({"a"}, worker="here|11", lease_seconds=60)
    store.claim({"b"}, worker="there|12", lease_seconds=60)
    assert store.release_dead("here", lambda _: True) == 0
    assert store.release_dead("here", lambda _: False) == 1
    assert store.statuses() == {"a": "pending", "b": "running"}


def test_a_new_result_replaces_curve_and_checkpoint(store):
    store.add([new("a"), new("b", start="a")])
    store.finish(must_claim(store), RESULT, checkpoint=("f", 1))
    store.forget_checkpoint("f")
    held = must_claim(store)
    assert held.key == "a"
    longer = LearningCurve(np.arange(9.0), np.ones(9))
    store.finish(held, replace(RESULT, curve=longer, source_curves={}), checkpoint=("g", 1))
    assert list(store.curves(1)) == ["a"]
    assert len(store.curves(1)["a"].steps) == 9
    assert store.checkpoints()["a"].file == "g"


def test_checkpoint_files_that_must_stay(store):
    store.add([new("a"), new("b")])
    store.finish(must_claim(store), RESULT, checkpoint=("f", 1))
    held = must_claim(store)
    assert store.checkpoint_files() == ({"f"}, {held.token})


def test_a_run_is_found_by_id_and_by_key(store):
    store.add([new("abcd1"), new("abcd2")])
    assert store.run("2").key == "abcd2"
    assert store.run("abcd1").id == 1
    with pytest.raises(InputError, match="give more letters"):
        store.run("abcd")
    for unknown in ("99", "zzzzz", "", "%", "a_cd"):
        with pytest.raises(InputError, match="no run"):
            store.run(unknown)


def test_vectors_round_trip_and_replace(store):
    key = VectorKey("taskemb", "d" * 64, "tiny", "r", {"examples": 100})
    other = VectorKey("taskemb", "d" * 64, "tiny", "r", {"examples": 200})
    values = {"query": np.array([1.0, 1 / 3]), "key": np.zeros(3)}
    assert store.vectors(key) == {}
    store.save_vectors(key, "sst2", {"old": np.ones(1)})
    store.save_vectors(key, "sst2", values)
    found = store.vectors(key)
    assert found.keys() == values.keys()
    np.testing.assert_array_equal(found["query"], values["query"])
    assert store.vectors(other) == {}


def _claim_all(address: str, count: int, out: multiprocessing.Queue) -> None:
    store = Store(address, create=True)
    store.add([new(f"k{i}") for i in range(count)])
    keys = {f"k{i}" for i in range(count)}
    mine = []
    while (held := store.claim(keys, worker="here|1", lease_seconds=60)) is not None:
        mine.append(held.key)
        store.finish(held, RESULT)
    out.put(mine)


def test_four_processes_make_the_store_and_share_the_runs(store_address):
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    workers = [context.Process(target=_claim_all, args=(store_address, 24, out)) for _ in range(4)]
    for worker in workers:
        worker.start()
    done = [key for _ in workers for key in out.get(timeout=60)]
    for worker in workers:
        worker.join(timeout=60)
    assert sorted(done) == sorted(f"k{i}" for i in range(24))
    store = Store(store_address)
    assert set(store.statuses().values()) == {"done"}
    assert all(store.curves(run.id) for run in store.runs())


def test_writers_of_one_process_take_turns(store):
    store.add([new(f"k{i}") for i in range(40)])
    keys, done = {f"k{i}" for i in range(40)}, []

    def work() -> None:
        while (held := claim(store, keys)) is not None:
            done.append(held.key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(keys)


def test_kill_9_in_the_middle_of_a_transaction_leaves_nothing_behind(store_address):
    Store(store_address, create=True).add([new("a")])
    code = textwrap.dedent(f"""
        import os, signal
        from transfer_meta.runs.store.schema import Run
        from transfer_meta.runs.store.run_store import Store
        def work(session):
            session.get(Run, 1).status = "done"
            session.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        Store({store_address!r}).write(work)
    """)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert Store(store_address).statuses() == {"a": "pending"}


# --- schema --------------------------------------------------------------------------------------------


def test_migrations_make_the_tables_of_the_schema(store_address):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    Store(store_address, create=True).close()
    engine = create_engine(parse_url(store_address))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == SCHEMA_VERSION
    engine.dispose()


def test_the_head_of_the_migrations_is_the_schema_version():
    from alembic.script import ScriptDirectory

    from transfer_meta.runs.store.connection import MIGRATIONS

    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


def test_a_store_that_an_earlier_version_wrote(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "runs.sqlite")) as database:
        database.executescript(Path(__file__).with_name("version_0001.sql").read_text())
    store = Store(str(tmp_path / "runs.sqlite"))
    runs = store.runs(statuses=("done",))
    assert [(run.method, run.source, run.target) for run in runs] == [
        ("single", "", "trec"),
        ("single", "", "mpqa"),
        ("intermediate", "mpqa", "trec"),
        ("multitask", "mpqa", "trec"),
    ]
    for run in runs:
        stage = Stage.from_dict(run.settings)
        assert stage.to_dict() == run.settings
        # The same stage is found under the same key today.
        assert stage.key(run.task_digests, run.encoder_revision) == run.key
        curves = store.curves(run.id)
        assert list(curves) == list(stage.tasks)
        assert len(curves[run.target].steps) > 0
    assert {run.baseline_key for run in runs[2:]} == {runs[0].key}
    assert runs[2].start_key == runs[1].key
    assert store.add([new(run.key) for run in runs]) == 0
    store.close()


def set_version(address: str, version: str) -> None:
    engine = create_engine(parse_url(address))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"))
    engine.dispose()


def test_a_store_of_another_schema_version_is_refused(store_address):
    Store(store_address, create=True).close()
    set_version(store_address, "9999")
    with pytest.raises(InputError, match=r"schema version 9999 \(expected .*newer"):
        Store(store_address)
    with pytest.raises(InputError, match="newer"):
        migrate_database(parse_url(store_address))
    set_version(store_address, "0000")
    with pytest.raises(InputError, match=r"schema version 0000 .*runs migrate"):
        Store(store_address)


def test_migrate_leaves_an_up_to_date_store_as_it_is(store_address):
    Store(store_address, create=True).add([new("a")])
    assert migrate_database(parse_url(store_address)) == (SCHEMA_VERSION, SCHEMA_VERSION)
    assert Store(store_address).statuses() == {"a": "pending"}


# --- addresses that cannot be used -----------------------------------------------------------------------


def test_sqlite_is_in_wal_mode(tmp_path):
    store = Store(str(tmp_path / "runs.sqlite"), create=True)
    assert store.read(lambda s: s.execute(text("PRAGMA journal_mode")).scalar()) == "wal"
    assert store.checkpoint_folder == tmp_path / "runs.checkpoints"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://host/db", "unknown kind of store 'mysql'"),
        ("sqlite://", "in memory"),
        ("postgresql://me:se%cret@ho st:port/db", "URL cannot be read"),
        ("/nowhere/at/all/runs.sqlite", "folder does not exist"),
    ],
)
def test_bad_addresses(address, message):
    with pytest.raises(InputError, match=message) as caught:
        Store(address, create=True)
    assert "se%cret" not in str(caught.value)


def test_files_that_are_no_store(tmp_path):
    with pytest.raises(InputError, match="no store at"):
        Store(str(tmp_path / "runs.sqlite"))
    with pytest.raises(InputError, match="is a folder"):
        Store(str(tmp_path), create=True)
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one " * 50)
    with pytest.raises(InputError, match="not a database"):
        Store(str(tmp_path / "text"), create=True)
    engine = create_engine(f"sqlite:///{tmp_path / 'other.sqlite'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER)"))
    engine.dispose()
    with pytest.raises(InputError, match="no run store"):
        Store(str(tmp_path / "other.sqlite"), create=True)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be used"):
        Store(str(tmp_path / "runs.sqlite"), create=True)


def test_an_unreachable_server_is_one_line_without_the_password():
    with pytest.raises(InputError) as caught:
        Store("postgresql://me:s3cr3t@127.0.0.1:9/runs", create=True)
    message = str(caught.value)
    assert "cannot be used" in message
    assert "s3cr3t" not in message
    assert "\n" not in message


def test_a_wrong_password_is_not_shown(postgresql):
    wrong = postgresql.replace(postgresql.split(":")[2].split("@")[0], "wr0ngw0rd")
    with pytest.raises(InputError) as caught:
        Store(wrong)
    assert "wr0ngw0rd" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_password_is_neither_in_the_name_nor_in_the_folder(postgresql):
    import postgresql_server

    url = postgresql_server.new_database(postgresql)
    store = Store(url, create=True)
    password = url.split(":")[2].split("@")[0]
    assert password not in store.name
    assert password not in str(store.checkpoint_folder)
    assert store.checkpoint_folder.parent == Path.cwd()
