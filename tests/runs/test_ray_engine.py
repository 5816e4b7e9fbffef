"""The Ray engine on a real cluster: two nodes of one CPU each on this machine."""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_training import GB, fake_facts, fake_finetune, make_tasks, on_a_card

ray = pytest.importorskip("ray", reason="the extra ray is not installed")

import postgresql_server  # noqa: E402
import ray_cluster  # noqa: E402
from sqlalchemy import make_url  # noqa: E402

from transfer_meta.cli.app import main  # noqa: E402
from transfer_meta.errors import InputError  # noqa: E402
from transfer_meta.runs.card_memory import CardMemory  # noqa: E402
from transfer_meta.runs.checkpoints.checkpoint_base import PROBE  # noqa: E402
from transfer_meta.runs.checkpoints.folder import CheckpointFolder  # noqa: E402
from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints  # noqa: E402
from transfer_meta.runs.driver import PlanDriver, Summary  # noqa: E402
from transfer_meta.runs.local_engine import LocalEngine  # noqa: E402
from transfer_meta.runs.plan import Plan, load_plan  # noqa: E402
from transfer_meta.runs.ray_engine import RayEngine  # noqa: E402
from transfer_meta.runs.ray_nodes import Expected, Share, connect_ray  # noqa: E402
from transfer_meta.runs.store.run_store import Store  # noqa: E402

PLAN = """
tasks_folder = "tasks"
tasks = {tasks}
grid = "all"
methods = {methods}
regimes = ["16-8"]
encoder = "{encoder}"
[training]
epochs = 1
batch_size = 8
dev_examples = 8
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster.running_cluster(nodes=1) as cluster:
        yield cluster


class Bench:
    """A plan, a store and a folder; `work` works on them with the cluster."""

    def __init__(self, folder: Path, tasks: str, address: str, methods: str = "intermediate") -> None:
        make_tasks(folder / "tasks", tasks)
        plan = PLAN.format(tasks=tasks.split(), methods=methods.split(), encoder="tiny")
        (folder / "plan.toml").write_text(plan)
        self.plan: Plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
        self.store = Store(str(folder / "runs.sqlite"), create=True)
        self.store.add(self.plan.runs)
        self.checkpoints = CheckpointFolder(folder / "checkpoints")
        self.lines: list[str] = []
        self.address = address

    def engine(self, step_seconds: float = 0.0, **options: Any) -> RayEngine:
        connect_ray(self.address)
        finetune = functools.partial(fake_finetune, step_seconds=step_seconds)
        return RayEngine(
            self.plan.task_sources, self.checkpoints, share=Share(gpus=0), finetune=finetune, **options
        )

    def work(self, step_seconds: float = 0.0, **options: Any) -> Summary:
        tell = options.pop("tell", self.lines.append)
        engine = self.engine(step_seconds)
        return PlanDriver(
            self.store, self.plan.stages, self.checkpoints, engine, tell=tell, **options
        ).run()

    def scores(self) -> dict[str, float | None]:
        return {run.key: run.score for run in self.store.runs()}

    @property
    def files(self) -> list[str]:
        return sorted(f.name for f in self.checkpoints.path.iterdir())


@pytest.fixture
def bench(tmp_path: Path, cluster: Any) -> Bench:
    return Bench(tmp_path, "a b", cluster.address, "intermediate multitask")


def test_a_grid_gives_what_local_processes_give(bench, tmp_path):
    summary = bench.work(step_seconds=0.05)
    assert summary == Summary(done=len(bench.plan.runs), failed=0, skipped=0, left=0)
    runs = bench.store.runs()
    assert {run.attempts for run in runs} == {1}
    assert {run.notes["node"] for run in runs} == {socket.gethostname()}
    assert bench.files == [PROBE]
    there = tmp_path / "local"
    there.mkdir()
    store = Store(str(there / "runs.sqlite"), create=True)
    store.add(bench.plan.runs)
    engine = LocalEngine(["cpu"], bench.plan.task_sources, finetune=fake_finetune)
    PlanDriver(store, bench.plan.stages, CheckpointFolder(there / "checkpoints"), engine).run()
    assert {run.key: run.score for run in store.runs()} == bench.scores()


def test_failures_end_a_run_and_not_the_grid(tmp_path, cluster):
    bench = Bench(tmp_path, "a bad crash", cluster.address)
    summary = bench.work()
    runs = {(r.method, r.source, r.target, r.regime): r for r in bench.store.runs()}
    assert summary.failed > 0
    assert summary.left == 0
    assert runs["single", "", "a", "8"].status == "done"
    assert runs["single", "", "bad", "16"].reason == "NaN loss at step 3"
    assert runs["single", "", "crash", "16"].reason == "ValueError: something"
    assert runs["intermediate", "bad", "a", "16-8"].status == "skipped"


def test_a_run_that_ends_its_process_is_given_up(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr("transfer_meta.runs.ray_engine.RETRIES", 1)
    bench = Bench(tmp_path, "a die", cluster.address, "single")
    bench.work()
    runs = {(r.method, r.source, r.target, r.regime): r for r in bench.store.runs()}
    dead = runs["single", "", "die", "8"]
    assert dead.status == "failed"
    assert dead.reason.startswith("WorkerCrashedError")
    assert dead.reason.endswith("(after 1 retries)")
    assert runs["single", "", "a", "8"].status == "done"


def test_a_signal_stops_after_the_current_step_and_saves_the_state(bench):
    def tell(line: str) -> None:
        bench.lines.append(line)
        if line.startswith("[1/"):
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    summary = bench.work(step_seconds=0.3, tell=tell)
    assert summary.signal == signal.SIGINT
    assert summary.left > 0
    assert "running" not in bench.store.statuses().values()
    assert any(len(name) == 64 for name in bench.files), "no state was saved"
    assert bench.work().left == 0
    assert max(run.notes["resumed_at"] for run in bench.store.runs()) > 0
    assert bench.files == [PROBE]


def test_every_run_gets_a_graphics_card_of_its_share(bench, cluster):
    """The cards are made up; what is tested is that two processes, used again, are told the right one."""
    node = ray_cluster.add_node(
        cluster, num_cpus=4, num_gpus=2, env_vars={"CUDA_VISIBLE_DEVICES": "5,7"}
    )
    try:
        connect_ray(bench.address)
        engine = RayEngine(
            bench.plan.task_sources, bench.checkpoints, share=Share(gpus=0.5), finetune=fake_finetune
        )
        assert (engine.machines, str(engine)) == (
            1,
            "1 node with room for 4 runs of 1 CPU, 0.5 GPU",
        )
        PlanDriver(bench.store, bench.plan.stages, bench.checkpoints, engine).run()
        devices = [run.device for run in bench.store.runs()]
        assert set(devices) == {"cuda:0", "cuda:1"}
    finally:
        cluster.remove_node(node)


def test_checkpoints_behind_a_url(bench, tmp_path):
    bench.checkpoints = open_checkpoints(f"file://{tmp_path}/bucket")
    assert bench.work().left == 0
    # The stand-in's result depends on the bytes of the file that it starts from.
    assert {run.status for run in bench.store.runs()} == {"done"}
    assert [file.name for file in (tmp_path / "bucket").iterdir()] == [PROBE]


def test_shares_of_a_card_grow_to_what_a_run_holds(bench, cluster):
    node = ray_cluster.add_node(cluster, num_cpus=4, num_gpus=1)
    try:
        connect_ray(bench.address)
        cards = CardMemory(4)
        engine = RayEngine(
            bench.plan.task_sources,
            bench.checkpoints,
            share=Share(gpus=0.25),
            cards=cards,
            finetune=functools.partial(on_a_card, of=35 * GB),
        )
        assert engine.share.gpus == 1, "the first run is alone on its card"
        assert str(engine).startswith("1 node with room for 4 runs")
        PlanDriver(bench.store, bench.plan.stages, bench.checkpoints, engine).run()
        assert (cards.allowed, engine.share.gpus) == (2, 0.5)
    finally:
        cluster.remove_node(node)


def test_memory_is_planned_from_the_runs_that_ended(bench):
    engine = bench.engine()
    assert engine.share.memory_bytes is None
    PlanDriver(bench.store, bench.plan.stages, bench.checkpoints, engine).run()
    assert engine.share.memory_bytes == 1  # what the stand-in says it held


def test_what_a_node_has_room_for():
    node = {"Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 10e9}}
    assert Share(cpus=1, gpus=0.25).fits(node) == 8
    assert Share(cpus=1, gpus=0.5).fits(node) == 4
    assert Share(cpus=1, gpus=0.25, memory_bytes=3_000_000_000).fits(node) == 3
    assert Share(cpus=1, gpus=1).fits({"Resources": {"CPU": 8.0}}) == 0


# --- what is refused ---------------------------------------------------------------------------------


def test_an_address_that_does_not_answer(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    for address, message in (
        (f"127.0.0.1:{port}", f"no Ray cluster answers at 127.0.0.1:{port}: "),
        ("somewhere", "--address 'somewhere' (expected auto, local, or HOST:PORT of the head node)"),
        ("ray://127.0.0.1:10001", "--address 'ray://127.0.0.1:10001' (expected auto, local"),
        ("127.0.0.1:99999", "no Ray cluster answers at 127.0.0.1:99999"),
    ):
        with pytest.raises(InputError) as error:
            connect_ray(address)
        assert str(error.value).startswith(message)
    assert main(["run", "plan.toml", "--engine", "ray", "--address", f"127.0.0.1:{port}"]) == 2
    assert "no Ray cluster answers" in capsys.readouterr().err
    assert time.monotonic() - began < 20
    assert not list(tmp_path.iterdir())


def test_a_cluster_without_room(bench):
    connect_ray(bench.address)
    with pytest.raises(InputError, match=r"no node .* has room for a run of 1 CPU, 1 GPU"):
        RayEngine(bench.plan.task_sources, bench.checkpoints, share=Share(gpus=1))
    assert not ray.is_initialized()


def test_workers_with_other_package_versions(bench, cluster, tmp_path):
    other = tmp_path / "packages" / "transformers-0.0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 0.0.1\n")
    path = ray_cluster.python_path(other.parent)
    node = ray_cluster.add_node(cluster, env_vars={"PYTHONPATH": path})
    try:
        from importlib.metadata import version

        with pytest.raises(InputError) as error:
            bench.engine()
        assert f"transformers 0.0.1 (expected {version('transformers')}" in str(error.value)
        assert str(error.value).count("node ") == 1
    finally:
        cluster.remove_node(node)


def test_a_folder_that_is_not_shared(bench, cluster, tmp_path, monkeypatch):
    """The folder's name means another place on the new node: that of its processes."""
    for name in ("here", "there"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "there")
    node = ray_cluster.add_node(cluster, num_cpus=4)
    monkeypatch.chdir(tmp_path / "here")
    bench.checkpoints = CheckpointFolder(Path("/proc/self/cwd/checkpoints"))
    try:
        with pytest.raises(InputError, match="'/proc/self/cwd/checkpoints' is not shared with it"):
            bench.engine()
    finally:
        cluster.remove_node(node)


def test_what_a_node_must_have(tmp_path):
    (tmp_path / PROBE).write_text("mark")
    good = Expected((), str(tmp_path), "mark", (str(tmp_path),))
    assert good.faults() == []
    bad = Expected((("numpy", "0"),), str(tmp_path), "other", (str(tmp_path / "a.jsonl"),))
    versions, folder, file = bad.faults()
    assert versions.startswith("numpy ")
    assert "(expected 0, " in versions
    assert "is not shared" in folder
    assert file == f"it does not see '{tmp_path / 'a.jsonl'}'"
    elsewhere = Expected((), str(tmp_path), "mark", encoder=("random:1x16", "0" * 64))
    (encoder,) = elsewhere.faults()
    assert "encoder 'random:1x16' is of revision" in encoder


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with a plan of real training, made the working one; gives the plan's name."""
    make_tasks(tmp_path / "tasks", "a b")
    monkeypatch.chdir(tmp_path)
    plan = PLAN.format(tasks=["a", "b"], methods=["intermediate"], encoder="random:1x16")
    (tmp_path / "plan.toml").write_text(plan)
    return "plan.toml"


def test_sqlite_is_refused_for_several_nodes(real, cluster, capsys):
    command = ["run", real, "--engine", "ray", "--address", cluster.address]
    assert main([*command, "--store", "other.sqlite"]) == 2
    message = capsys.readouterr().err
    assert "the store 'other.sqlite' is a SQLite file" in message
    assert "the cluster has 2" in message
    assert not ray.is_initialized()


def test_the_command_trains_on_the_cluster(real, cluster, postgresql, capsys, monkeypatch):
    store = postgresql_server.new_database(postgresql)
    monkeypatch.setenv("TRANSFER_META_STORE", store)
    command = ["run", real, "--engine", "ray", "--address", cluster.address, "--max-runs", "3"]
    assert main(command) == 0
    log = capsys.readouterr().err
    assert "on 2 nodes with room for 2 runs of 1 CPU, 0 GPU" in log
    assert "3 done, 0 failed, 0 skipped" in log
    done = Store(store).runs(statuses=("done",))
    assert all(run.score is not None and run.device.startswith("cpu") for run in done)
    # The password is nowhere but in the environment.
    password = make_url(store).password
    rows = [
        str(getattr(run, column.name))
        for run in Store(store).runs()
        for column in run.__table__.columns
    ]
    assert password not in log + "".join(rows)
    sessions = Path("/tmp/ray") / Path(cluster.head_node.get_session_dir_path()).name
    logs = [file for file in sessions.rglob("*") if file.is_file()]
    assert logs
    assert not [file for file in logs if password.encode() in file.read_bytes()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "rya"], "unknown engine 'rya'"),
        (["--engine", "ray", "--workers", "2"], "--workers is an option of --engine local"),
        (["--gpus-per-run", "0.5"], "--gpus-per-run is an option of --engine ray"),
        (["--engine", "ray", "--gpus-per-run", "-1"], "--gpus-per-run -1.0"),
        (["--engine", "ray", "--cpus-per-run", "0"], "--cpus-per-run 0.0"),
    ],
)
def test_bad_options(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "plan.toml", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_password_on_the_command_line_is_refused(tmp_path, monkeypatch, capsys):
    """Ray keeps a driver's command line, and shows it to whoever reaches the cluster."""
    monkeypatch.chdir(tmp_path)
    store = "postgresql://me:s3cr3t@127.0.0.1:9/runs"
    assert main(["run", "plan.toml", "--engine", "ray", "--store", store]) == 2
    message = capsys.readouterr().err
    assert "--store holds a password" in message
    assert "s3cr3t" not in message
