"""Checkpoints behind a URL.  ``file://`` stands for a bucket: other processes see it, too."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
from fake_training import fake_facts, fake_finetune, make_tasks

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError, StartUnusable
from transfer_meta.runs.checkpoints import local_copies as copies_module
from transfer_meta.runs.checkpoints import remote_file
from transfer_meta.runs.checkpoints.bucket import CheckpointBucket
from transfer_meta.runs.checkpoints.checkpoint_base import PROBE
from transfer_meta.runs.checkpoints.folder import CheckpointFolder
from transfer_meta.runs.checkpoints.local_copies import local_copies, local_folder
from transfer_meta.runs.checkpoints.open_checkpoints import faults_of, open_checkpoints
from transfer_meta.runs.checkpoints.remote_file import RemoteFile
from transfer_meta.runs.driver import Limits, PlanDriver, Summary
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.plan import load_plan
from transfer_meta.runs.store.run_store import Store

PLAN = """
tasks_folder = "tasks"
tasks = ["a", "b", "c"]
grid = "all"
methods = ["intermediate"]
regimes = ["16-8"]
encoder = "tiny"
[training]
dev_examples = 8
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's copies go where the test ends."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket/prefix"


class Bench:
    """A plan and a store; `work` works on them with checkpoints behind the URL."""

    def __init__(self, folder: Path, url: str) -> None:
        make_tasks(folder / "tasks", "a b c")
        (folder / "plan.toml").write_text(PLAN)
        self.plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
        self.store = Store(str(folder / "runs.sqlite"), create=True)
        self.store.add(self.plan.runs)
        self.bucket = open_checkpoints(url)
        self.there = folder / "bucket" / "prefix"

    def work(self, step_seconds: float = 0.0, **options: object) -> Summary:
        finetune = functools.partial(fake_finetune, step_seconds=step_seconds)
        engine = LocalEngine(["cpu"] * 2, self.plan.task_sources, finetune=finetune)
        return PlanDriver(self.store, self.plan.stages, self.bucket, engine, **options).run()

    @property
    def files(self) -> list[str]:
        return sorted(
            f.relative_to(self.there).as_posix() for f in self.there.rglob("*") if f.is_file()
        )


@pytest.fixture
def bench(tmp_path: Path, url: str) -> Bench:
    return Bench(tmp_path, url)


def test_a_grid_gives_what_it_gives_with_a_folder(bench, tmp_path):
    assert bench.work().done == len(bench.plan.runs)
    assert bench.files == []
    store = Store(str(tmp_path / "other.sqlite"), create=True)
    store.add(bench.plan.runs)
    engine = LocalEngine(["cpu"], bench.plan.task_sources, finetune=fake_finetune)
    PlanDriver(store, bench.plan.stages, CheckpointFolder(tmp_path / "checkpoints"), engine).run()
    # The stand-in's result depends on the bytes of the file that it starts from.
    assert {r.key: r.score for r in store.runs()} == {r.key: r.score for r in bench.store.runs()}
    assert not list(local_folder().glob("run-*"))
    assert len(list((local_folder() / "encoders").iterdir())) == 3


def test_a_stopped_run_goes_on_where_it_was(bench):
    def tell(line: str) -> None:
        if line.startswith("[1/"):
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    assert bench.work(step_seconds=0.4, tell=tell).signal == signal.SIGINT
    assert [name for name in bench.files if name.endswith("/state")]
    assert bench.work().left == 0
    assert max(run.notes["resumed_at"] for run in bench.store.runs()) > 0
    assert bench.files == []


def test_a_checkpoint_that_is_gone_is_made_again(bench):
    import shutil

    bench.work(limits=Limits(runs=3), keep=True)
    kept = [run.file for run in bench.store.checkpoints().values()]
    assert sorted(kept) == bench.files
    shutil.rmtree(bench.there)
    assert bench.work().left == 0


def test_models_that_are_wanted_stay(bench):
    keys = sorted(run.key for run in bench.plan.runs if run.method == "intermediate")
    assert bench.work(models=keys).left == 0
    assert bench.files == [f"{key}/model.safetensors" for key in keys]
    assert bench.work(models=keys).left == 0
    assert {run.attempts for run in bench.store.runs(keys=keys)} == {1}
    assert bench.bucket.sweep(bench.store, models=True) > 0
    assert bench.files == []


def test_gc_removes_what_nobody_needs(bench, url, tmp_path, monkeypatch, capsys):
    bench.work(keep=True)
    assert len(bench.files) == 6  # three single-task runs, three sources
    half = bench.there / f"{'0' * 16}-{'1' * 32}" / "encoder.safetensors.part"
    half.parent.mkdir()
    half.write_text("half")
    (bench.there / "notes.txt").write_text("somebody's")
    monkeypatch.setenv("TRANSFER_META_STORE", str(tmp_path / "runs.sqlite"))
    assert main(["runs", "gc", "--checkpoints", url]) == 0
    assert len(bench.files) == 7
    assert main(["runs", "gc", "--checkpoints", url, "--kept"]) == 0
    assert bench.files == ["notes.txt"]
    assert f"in {url}" in capsys.readouterr().err


def test_folder_and_bucket_agree(url, tmp_path):
    for place in (open_checkpoints(url), open_checkpoints(tmp_path / "folder")):
        assert (place.size("a/b"), place.read("a")) == (None, "")
        place.write("a", "text")
        assert (place.size("a"), place.read("a")) == (4, "text")
        assert place.mark() == place.mark() == place.read(PROBE)
        assert place.is_writable()
        assert open_checkpoints(place.address, create=False).read("a") == "text"


# --- what travels ------------------------------------------------------------------------------------


def test_an_encoder_is_downloaded_once(url, tmp_path):
    there = RemoteFile(f"{open_checkpoints(url).address}/key-token/encoder.safetensors")
    (tmp_path / "encoder").write_text("weights")
    there.upload(tmp_path / "encoder")
    state = RemoteFile(f"{url}/key/state")
    with local_copies(there, None, state) as (start, save, _, _):
        assert save is None
        assert start.read_text() == "weights"
    Path(there.url.removeprefix("file://")).unlink()
    with local_copies(there, None, state) as (start, _, _, _):
        assert start.read_text() == "weights"


def test_only_the_encoders_used_last_stay(url, tmp_path, monkeypatch):
    monkeypatch.setattr(copies_module, "MAX_CACHED_ENCODERS", 2)
    (tmp_path / "encoder").write_text("weights")
    for number in range(4):
        there = RemoteFile(f"{url}/{number}/encoder.safetensors")
        there.upload(tmp_path / "encoder")
        with local_copies(there, None, RemoteFile(f"{url}/key/state")) as (start, _, _, _):
            # The run's own name for the file holds, whatever the cache does meanwhile.
            for entry in (local_folder() / "encoders").iterdir():
                entry.unlink()
            assert start.read_text() == "weights"
    for number in range(4):
        with local_copies(
            RemoteFile(f"{url}/{number}/encoder.safetensors"), None, RemoteFile(f"{url}/key/state")
        ):
            pass
    assert len(list((local_folder() / "encoders").iterdir())) == 2


def test_an_encoder_is_there_when_the_run_has_ended_and_a_failed_one_leaves_none(url):
    place = open_checkpoints(url)
    save, state = place.file("a/encoder.safetensors"), place.file("b/state")
    with local_copies(None, save, state) as (_, own, _, _):
        own.write_text("weights")
        assert place.size("a/encoder.safetensors") is None
    assert place.size("a/encoder.safetensors") == 7
    with (
        pytest.raises(ZeroDivisionError),
        local_copies(None, place.file("c/e"), state) as (_, own, _, _),
    ):
        own.write_text("half")
        raise ZeroDivisionError
    assert place.size("c/e") is None
    with (
        pytest.raises(StartUnusable, match=r"the checkpoint 'file://.*gone' is gone"),
        local_copies(place.file("gone"), None, state),
    ):
        pass


def test_what_a_killed_process_left_is_removed(url):
    dead = multiprocessing.Process(target=int)
    dead.start()
    dead.join()
    left, mine = (local_folder() / f"run-{pid}-abc" for pid in (dead.pid, os.getpid()))
    for folder in (left, mine):
        folder.mkdir()
    with local_copies(None, None, RemoteFile(f"{url}/key/state")):
        assert not left.exists()
        assert mine.exists()


def test_somebody_elses_temporary_folder_is_not_used(monkeypatch):
    local_folder()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    path = Path(os.environ["TMPDIR"]) / "transfer-meta-12345"
    path.mkdir()
    os.chown(path, 54321, 54321) if os.geteuid() == 0 else pytest.skip(
        "only root can give a folder away"
    )
    with pytest.raises(InputError, match="belongs to another user"):
        local_folder()


# --- what is refused ---------------------------------------------------------------------------------


def test_a_bucket_that_is_not_shared(url, tmp_path):
    place = open_checkpoints(url)
    assert faults_of(place.address, place.mark()) == []
    assert faults_of(place.address, "another") == [
        f"the checkpoint folder '{url}' is not shared with it"
    ]
    assert faults_of(str(tmp_path / "nowhere"), place.mark()) == [
        f"the checkpoint folder '{tmp_path / 'nowhere'}' is not shared with it"
    ]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s4://bucket/x", "unknown protocol 's4://' of --checkpoints (expected a folder, or s3://"),
        ("smb://user:s3cr3t@host/x", "--checkpoints holds a password"),
        ("memory://x", "--checkpoints memory:// is in one process's memory"),
        ("file:///proc/nothing/x", "the checkpoint folder 'file:///proc/nothing/x' cannot be used: "),
        ("adl://bucket/x", "--checkpoints adl:// needs a package that is not installed: "),
    ],
)
def test_bad_urls(url, message, capsys, monkeypatch, tmp_path):
    with pytest.raises(InputError) as error:
        CheckpointBucket(url)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert "s3cr3t" not in str(error.value)
    Store(str(tmp_path / "runs.sqlite"), create=True)
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "gc", "--checkpoints", url]) == 2
    assert capsys.readouterr().err == f"error: {error.value}\n"


def test_a_protocol_whose_package_is_missing_names_it(monkeypatch):
    import fsspec

    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    remote_file._check_protocol.cache_clear()
    for protocol, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        with pytest.raises(
            InputError, match=f"{protocol}:// needs a package .*: pip install {package}"
        ):
            CheckpointBucket(f"{protocol}://bucket/x")
    remote_file._check_protocol.cache_clear()
