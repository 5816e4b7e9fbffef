"""Stores, disks and servers that fail while runs are in hand: one line or a recovery, and nothing lost."""

from __future__ import annotations

import errno
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_training import fake_facts, fake_finetune, make_tasks

from transfer_meta.errors import InputError, StartUnusable, Stopped
from transfer_meta.runs import driver
from transfer_meta.runs.checkpoints.folder import CheckpointFolder
from transfer_meta.runs.driver import Limits, PlanDriver, Summary
from transfer_meta.runs.export import ExportSettings
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.plan import Plan, load_plan
from transfer_meta.runs.run_plan import RunSettings
from transfer_meta.runs.store import database
from transfer_meta.runs.store.connection import StoreError, parse_url
from transfer_meta.runs.store.run_store import Store

PLAN = """
tasks_folder = "tasks"
tasks = ["a", "b"]
grid = "all"
methods = ["intermediate", "multitask"]
regimes = ["16-8"]
encoder = "tiny"
[training]
dev_examples = 8
"""
TESTS = Path(__file__).parents[1]


class Bench:
    """A plan, a store and a folder; `work` works on them."""

    def __init__(self, folder: Path, address: str) -> None:
        make_tasks(folder / "tasks", "a b")
        (folder / "plan.toml").write_text(PLAN)
        self.plan: Plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
        self.address = address
        self.store = Store(address, create=True)
        self.store.add(self.plan.runs)
        self.checkpoints = CheckpointFolder(folder / "checkpoints")
        self.lines: list[str] = []

    def work(
        self,
        finetune: Callable[..., Any] = fake_finetune,
        *,
        step_seconds: float = 0.0,
        **options: Any,
    ) -> Summary:
        made = functools.partial(finetune, step_seconds=step_seconds)
        engine = LocalEngine(["cpu"], self.plan.task_sources, finetune=made)
        tell = options.pop("tell", self.lines.append)
        store = Store(self.address)
        return PlanDriver(store, self.plan.stages, self.checkpoints, engine, tell=tell, **options).run()

    def after_first_run(self, act: Callable[[], object]) -> Callable[[str], None]:
        def tell(line: str) -> None:
            self.lines.append(line)
            if line.startswith("[1/"):
                act()

        return tell


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, str(tmp_path / "runs.sqlite"))


# --- disks ---------------------------------------------------------------------------------------------


def on_a_full_disk(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "encoder.safetensors")


def unsaved(*arguments: Any, should_stop: Callable[[], bool], **options: Any) -> Any:
    def stop() -> bool:
        if should_stop():
            raise Stopped(unsaved="I/O error: No space left on device (os error 28)")
        return False

    return fake_finetune(*arguments, should_stop=stop, **options)


def test_a_full_disk_stops_the_plan_in_one_line_and_fails_no_run(bench: Bench) -> None:
    with pytest.raises(
        InputError, match=r"No space left on device.*free some space and repeat"
    ) as caught:
        bench.work(on_a_full_disk)
    assert "\n" not in str(caught.value)
    assert set(bench.store.statuses().values()) == {"pending"}
    assert sum(run.attempts for run in bench.store.runs()) == 1
    assert bench.work().left == 0


def test_a_run_whose_state_cannot_be_saved_becomes_pending(bench: Bench) -> None:
    summary = bench.work(unsaved, step_seconds=1.0, limits=Limits(seconds=3.0))
    assert summary.failed == 0
    assert summary.left > 0
    assert any("its state could not be saved: I/O error: No space left" in line for line in bench.lines)
    assert set(bench.store.statuses().values()) <= {"pending", "done"}
    assert bench.work().left == 0


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can mount a disk")
def test_a_real_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        bench = Bench(tmp_path, str(tmp_path / "runs.sqlite"))
        bench.checkpoints = CheckpointFolder(disk / "checkpoints")
        fill = bytes(64 * 1024)
        with pytest.raises(OSError, match="No space"), (disk / "fill").open("wb", buffering=0) as file:
            while file.write(fill):
                pass
        with pytest.raises(InputError, match="No space left on device|cannot write to the checkpoint"):
            bench.work()
        assert set(bench.store.statuses().values()) <= {"pending", "done"}
        (disk / "fill").unlink()
        assert bench.work().left == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_checkpoints_that_become_read_only_stop_the_plan(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckpointFolder, "is_writable", lambda _: False)
    with pytest.raises(InputError, match="cannot write to the checkpoint folder '.*checkpoints'"):
        bench.work(failing)
    assert set(bench.store.statuses().values()) == {"pending"}


def failing(*arguments: Any, **options: Any) -> Any:
    raise InputError("cannot write 'encoder': Permission denied")


# --- checkpoints -----------------------------------------------------------------------------------------


def test_a_truncated_encoder_is_made_again(bench: Bench) -> None:
    bench.work(limits=Limits(runs=2), keep=True)
    for row in bench.store.checkpoints().values():
        file = bench.checkpoints.path / row.file
        file.write_bytes(file.read_bytes()[:-7])
    assert bench.work().left == 0
    assert max(run.attempts for run in bench.store.runs()) > 1


def without_start(*arguments: Any, start: Path | None, **options: Any) -> Any:
    if start is not None and not start.read_bytes().startswith(b"ok"):
        mark = start.parents[1] / "seen"
        if not mark.exists():
            mark.touch()
            raise StartUnusable(f"the encoder to start from, '{start}', is another run's")
    return fake_finetune(*arguments, start=start, **options)


def test_an_encoder_of_another_run_is_made_again(bench: Bench) -> None:
    assert bench.work(without_start).left == 0
    (line,) = [line for line in bench.lines if "that encoder is made again" in line]
    assert "is another run's" in line
    assert {run.status for run in bench.store.runs()} == {"done"}
    assert sum(run.attempts for run in bench.store.runs()) == len(bench.plan.runs) + 2


def never_usable(*arguments: Any, start: Path | None, **options: Any) -> Any:
    if start is not None:
        raise StartUnusable("the encoder to start from is damaged")
    return fake_finetune(*arguments, start=start, **options)


def test_a_start_that_is_never_usable_fails_in_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "MAX_DEATHS", 2)
    assert bench.work(never_usable).failed == 2
    reasons = {run.reason for run in bench.store.runs(statuses=("failed",))}
    assert reasons == {"the encoder to start from is damaged"}


def test_a_truncated_model_is_made_again(bench: Bench) -> None:
    key = next(run.key for run in bench.plan.runs if run.method == "multitask")
    assert bench.work(models=[key]).left == 0
    file = bench.checkpoints.path / bench.checkpoints.model(key)
    for content in (file.read_bytes()[:-5], b"", b"text" * 100):
        file.write_bytes(content)
        assert bench.work(models=[key]).left == 0
        assert bench.checkpoints.is_whole(bench.checkpoints.model(key))
    assert bench.store.run(key).attempts == 4


def test_a_model_exchanged_for_that_of_another_run_is_made_again(bench: Bench) -> None:
    keys = [run.key for run in bench.plan.runs if run.method == "multitask"][:2]
    assert bench.work(models=keys).left == 0
    files = [bench.checkpoints.path / bench.checkpoints.model(key) for key in keys]
    before = [file.read_bytes() for file in files]
    assert len(before[0]) == len(before[1])
    files[0].write_bytes(before[1])
    assert bench.work(models=keys).left == 0
    assert [file.read_bytes() for file in files] == before
    assert [bench.store.run(key).attempts for key in keys] == [2, 1]


# --- stores ----------------------------------------------------------------------------------------------


def test_a_store_deleted_in_use_is_rescued_and_the_states_are_saved(
    bench: Bench, tmp_path: Path
) -> None:
    def delete() -> None:
        for file in tmp_path.glob("runs.sqlite*"):
            file.unlink()

    with pytest.raises(
        StoreError, match="was deleted or replaced while it was in use; its content is in"
    ):
        bench.work(tell=bench.after_first_run(delete))
    bench.store.close()
    (rescued,) = tmp_path.glob("runs.rescued-*.sqlite")
    rescued.rename(tmp_path / "runs.sqlite")
    bench.store = Store(bench.address)
    done = [run for run in bench.store.runs() if run.status == "done"]
    assert done
    assert bench.work().left == 0
    assert all(bench.store.run(run.key).attempts == 1 for run in done)


def test_runs_of_a_lost_machine_are_taken_over_when_nothing_else_is_left(bench: Bench) -> None:
    held = bench.store.claim(bench.plan.stages, worker="another machine|1", lease_seconds=8.0)
    assert held is not None
    assert bench.work().left == 0
    assert bench.store.run(held.key).attempts == 2


def drive(plan: str, address: str, checkpoints: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TRANSFER_META_STORE": address, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(TESTS / "faults" / "kill.py"), "--work", plan, "--workers", "1",
         "--checkpoints", checkpoints],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_two_drivers_on_one_store_do_each_run_once(tmp_path: Path, store_address: str) -> None:
    bench = Bench(tmp_path, store_address)
    arguments = (str(tmp_path / "plan.toml"), store_address, str(tmp_path / "checkpoints"))
    drivers = [drive(*arguments) for _ in range(2)]
    outputs = [driver.communicate(timeout=120)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    runs = bench.store.runs()
    assert {run.status for run in runs} == {"done"}
    assert {run.attempts for run in runs} == {1}
    assert all(bench.store.curves(run.id) for run in runs)
    assert [entry.name for entry in bench.checkpoints.path.iterdir()] == []


# --- PostgreSQL ------------------------------------------------------------------------------------------


def test_a_server_that_crashes_and_starts_again_loses_nothing(tmp_path: Path, postgresql: str) -> None:
    import postgresql_server

    bench = Bench(tmp_path, postgresql_server.new_database(postgresql))
    restart = functools.partial(postgresql_server.restart, postgresql)
    assert bench.work(tell=bench.after_first_run(restart)).left == 0
    assert {run.attempts for run in bench.store.runs()} == {1}


@pytest.mark.skipif(sys.platform != "linux", reason="the server's processes are found in /proc")
def test_a_server_killed_during_a_run_and_started_again_loses_nothing(
    tmp_path: Path, postgresql: str
) -> None:
    import postgresql_server

    bench = Bench(tmp_path, postgresql_server.new_database(postgresql))
    # Beside the driver, which meets a server that is not there.
    killer = threading.Thread(
        target=postgresql_server.restart, args=(postgresql,), kwargs={"kill": True}
    )
    tell = bench.after_first_run(killer.start)
    assert bench.work(tell=tell, step_seconds=0.05).left == 0
    killer.join()
    runs = bench.store.runs()
    assert {(run.status, run.attempts) for run in runs} == {("done", 1)}
    assert all(bench.store.curves(run.id) for run in runs)
    assert bench.work().left == 0


@pytest.fixture
def limited(postgresql: str) -> str:
    """A database and a role that may have one connection, with a password of special characters."""
    import postgresql_server
    import psycopg

    url = postgresql_server.new_database(postgresql)
    name = "limited_" + url.rpartition("_")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1 PASSWORD 's3/cr@t%w'")
        connection.execute(f"GRANT ALL ON SCHEMA public TO {name}")
    return f"postgresql://{name}:s3%2Fcr%40t%25w@{url.partition('@')[2]}"


def test_the_limit_of_connections(limited: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    store = Store(limited, create=True)
    store.read(lambda _: None)
    with pytest.raises(InputError, match="too many connections") as caught:
        Store(limited)
    assert "\n" not in str(caught.value)
    store.close()
    blocker = psycopg.connect(limited)
    threading.Timer(1.0, blocker.close).start()
    assert store.statuses() == {}  # waits
    blocker = psycopg.connect(limited) if not store.close() else None
    monkeypatch.setattr(database, "RETRY_WAITS_SECONDS", (0.01,))
    with pytest.raises(StoreError, match="too many connections"):
        store.statuses()
    assert blocker is not None
    blocker.close()


SECRETS = ("s3/cr@t", "s3%2Fcr%40t", "s3%2fcr", "cr@t", "cr%40t", "wr0ng")


def shown(url: str) -> str:
    """Everything that is shown about a store which cannot be opened."""
    with pytest.raises(InputError) as caught:
        Store(url)
    message = str(caught.value)
    assert "\n" not in message
    return message + repr(caught.value)


@pytest.mark.parametrize(
    "password",
    ["wr0ng", "s3/cr@t", "s3%2Fcr%40t%25wr0ng", "12/s3cr@t", "?s3/cr@t", "#wr0ng", "a:wr0ng"],
)
@pytest.mark.parametrize(
    "form", ["postgresql://limited:{0}@{1}", "postgresql://{1}?user=limited&password={0}"]
)
def test_a_wrong_password_is_never_shown(postgresql: str, password: str, form: str) -> None:
    url = form.format(password, postgresql.partition("@")[2])
    text = shown(url)
    for secret in (*SECRETS, password):
        assert secret not in text


def test_a_password_is_not_shown_by_reprs_and_json(
    limited: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from transfer_meta.runs.run_status import run_status

    store = Store(limited, create=True)
    texts = [repr(store), str(vars(store)), store.name, repr(parse_url(limited))]
    store.close()
    status = run_status(limited)
    texts += [repr(status), str(status), json.dumps(status.to_dict()), status.caption]
    texts += [repr(RunSettings(store=limited)), repr(ExportSettings(store=limited))]
    for secret in SECRETS:
        assert not [text for text in texts if secret in text]


def test_a_password_is_not_among_the_arguments_of_any_process(limited: str, tmp_path: Path) -> None:
    Bench(tmp_path, limited).store.close()
    process = drive(str(tmp_path / "plan.toml"), limited, str(tmp_path / "checkpoints"))
    seen, found = 0, []
    while process.poll() is None:
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = file.read_bytes().decode(errors="replace")
            except OSError:
                continue
            seen += str(tmp_path) in arguments
            found += [
                arguments for secret in SECRETS if secret in arguments and "/proc" not in arguments
            ]
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert seen
    assert not found
    assert not [secret for secret in SECRETS if secret in output]
