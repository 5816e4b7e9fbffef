from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from fake_training import fake_facts, fake_finetune, make_tasks

from transfer_meta.errors import InputError
from transfer_meta.provenance import host, is_alive
from transfer_meta.runs import driver
from transfer_meta.runs.checkpoints.checkpoint_base import MODEL
from transfer_meta.runs.checkpoints.folder import CheckpointFolder
from transfer_meta.runs.driver import Limits, PlanDriver, Summary
from transfer_meta.runs.export import export_curves, export_outcomes
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.plan import Plan, load_plan
from transfer_meta.runs.store.run_store import Store

PLAN = """
tasks_folder = "tasks"
tasks = {tasks}
grid = "all"
methods = ["intermediate", "multitask"]
regimes = ["16-8"]
encoder = "tiny"
[training]
dev_examples = 8
"""


class Bench:
    """A plan, a store and a folder; `work` works on them."""

    def __init__(self, folder: Path, tasks: str) -> None:
        make_tasks(folder / "tasks", tasks)
        (folder / "plan.toml").write_text(PLAN.format(tasks=tasks.split()))
        self.plan: Plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
        self.address = str(folder / "runs.sqlite")
        self.store = Store(self.address, create=True)
        self.store.add(self.plan.runs)
        self.checkpoints = CheckpointFolder(folder / "checkpoints")
        self.lines: list[str] = []

    def work(self, workers: int = 1, step_seconds: float = 0.0, **options: object) -> Summary:
        finetune = functools.partial(fake_finetune, step_seconds=step_seconds)
        engine = LocalEngine(["cpu"] * workers, self.plan.task_sources, finetune=finetune)
        tell = options.pop("tell", self.lines.append)
        store = Store(self.address)
        return PlanDriver(store, self.plan.stages, self.checkpoints, engine, tell=tell, **options).run()

    @property
    def files(self) -> list[str]:
        return sorted(f.name for f in self.checkpoints.path.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "a b")


def test_a_grid_from_beginning_to_end(bench):
    summary = bench.work(workers=2)
    assert summary == Summary(done=len(bench.plan.runs), failed=0, skipped=0, left=0)
    runs = bench.store.runs()
    assert all(run.attempts == 1 for run in runs)
    assert all(run.versions["transfer-meta"] and run.device == "cpu" for run in runs)
    assert all(bench.store.curves(run.id) for run in runs)
    assert bench.files == []
    assert bench.store.checkpoints() == {}
    assert len(bench.lines) == len(runs)
    assert "accuracy" in bench.lines[0]
    # Nothing is left for a second time.
    assert bench.work().done == len(runs)
    assert [run.attempts for run in bench.store.runs()] == [1] * len(runs)


def test_a_source_is_trained_once_and_serves_every_target(tmp_path):
    bench = Bench(tmp_path, "a b c")
    bench.work()
    starts = [run.start_key for run in bench.store.runs() if run.method == "intermediate"]
    assert sorted(starts.count(key) for key in set(starts)) == [2, 2, 2]
    # The stand-in's result depends on the bytes of the file that it starts from.
    sources = {run.key: run for run in bench.store.runs() if run.method == "single"}
    assert all(sources[key].status == "done" for key in starts)


def test_outcomes_come_out_as_the_benchmark_reads_them(bench, tmp_path):
    from transfer_meta.outcomes.tables import load_outcomes

    bench.work()
    exported = export_outcomes(bench.store)
    assert (exported.without_baseline, exported.zero_baseline) == (0, 0)
    by_name = {(r.method, r.source, r.target, r.regime): r for r in bench.store.runs()}
    assert len(exported.table) == 4
    for row in exported.table.itertuples():
        assert row.score == by_name[row.method, row.source, row.target, "16-8"].score
        assert row.baseline == by_name["single", "", row.target, "8"].score
        assert row.gain == pytest.approx((row.score - row.baseline) / row.baseline)
    exported.table.to_csv(tmp_path / "o.csv", index=False)
    assert len(load_outcomes(tmp_path / "o.csv").pairs) == 4
    assert load_outcomes(tmp_path / "o.csv").pair_features == ()
    other = export_outcomes(bench.store, metrics={"a": "macro_f1"}).table
    of_a = other[other["target"] == "a"]
    assert set(of_a["metric"]) == {"macro_f1"}
    assert set(other[other["target"] == "b"]["metric"]) == {"accuracy"}
    with pytest.raises(InputError, match="unknown metric of task a 'f2'"):
        export_outcomes(bench.store, metrics={"a": "f2"})
    curves = export_curves(bench.store)
    assert set(curves["run"]) == {run.id for run in bench.store.runs()}
    mixed = curves[curves["method"] == "multitask"]
    assert set(mixed.groupby("run")["task"].nunique()) == {2}


def test_soft_sharing_and_learned_weights_are_exported_with_their_settings(bench, tmp_path):
    from transfer_meta.outcomes.tables import load_outcomes

    text = (
        (tmp_path / "plan.toml")
        .read_text()
        .replace('"intermediate", "multitask"', '"soft", "multitask"')
    )
    text = text.replace('grid = "all"', 'sources = ["a", ["a", "b"]]\ntargets = ["c"]')
    text += '[soft]\nstrength = 0.5\n[mixing]\nweighting = "uncertainty"\n'
    make_tasks(tmp_path / "tasks", "c")
    (tmp_path / "plan.toml").write_text(text.replace("['a', 'b']", "['a', 'b', 'c']"))
    bench.plan = load_plan(tmp_path / "plan.toml", encoder_facts=fake_facts)
    bench.store.add(bench.plan.runs)
    bench.work()
    table = export_outcomes(bench.store, keys=bench.plan.stages.keys()).table
    assert sorted(zip(table["method"], table["source"], strict=True)) == [
        ("multitask", "a"),
        ("multitask", "a+b"),
        ("soft", "a"),
        ("soft", "a+b"),
    ]
    settings = {row.method: json.loads(row.settings) for row in table.itertuples()}
    assert settings["soft"]["soft"] == {"tie": "l2", "strength": 0.5}
    assert "mixing" not in settings["soft"]
    assert settings["multitask"]["mixing"]["weighting"] == "uncertainty"
    table.to_csv(tmp_path / "o.csv", index=False)
    pairs = load_outcomes(tmp_path / "o.csv").pairs
    assert pairs["setting"].str.split(" / ").str[0].tolist() == table["method"].tolist()


def test_failures_end_a_run_and_not_the_grid(tmp_path):
    bench = Bench(tmp_path, "a bad crash")
    summary = bench.work()
    runs = {(r.method, r.source, r.target, r.regime): r for r in bench.store.runs()}
    assert summary.failed > 0
    assert summary.left == 0
    assert runs["single", "", "a", "8"].status == "done"
    assert runs["multitask", "bad", "a", "16-8"].status == "done"
    assert runs["single", "", "bad", "16"].reason == "NaN loss at step 3"
    assert runs["single", "", "crash", "16"].reason == "ValueError: something"
    skipped = runs["intermediate", "bad", "a", "16-8"]
    assert skipped.status == "skipped"
    assert skipped.reason.endswith("failed: NaN loss at step 3")
    assert bench.files == []
    assert bench.store.retry() == summary.failed + summary.skipped


def test_a_run_that_ends_its_process_is_given_up_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "MAX_DEATHS", 2)
    bench = Bench(tmp_path, "a die")
    bench.work()
    run = next(r for r in bench.store.runs() if r.target == "die" and r.method == "single")
    assert run.status == "failed"
    assert run.reason == "its process ended with exit code 7, 2 times"
    assert run.attempts == 2


def test_max_runs(bench):
    assert bench.work(limits=Limits(runs=2)).left == len(bench.plan.runs) - 2
    assert bench.work(limits=Limits(runs=1)).left == len(bench.plan.runs) - 3
    assert bench.work().left == 0


def test_a_time_limit_stops_the_run_in_hand_and_it_goes_on_where_it_was(bench):
    summary = bench.work(step_seconds=1.0, limits=Limits(seconds=3.0))
    assert summary.signal is None
    assert summary.left == len(bench.plan.runs) - summary.done
    assert any("the time is up" in line for line in bench.lines)
    assert list(bench.checkpoints.path.glob("*/state"))
    assert set(bench.store.statuses().values()) <= {"pending", "done"}
    bench.work()
    resumed = [run.notes["resumed_at"] for run in bench.store.runs()]
    assert max(resumed) > 0
    assert bench.files == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_current_step_and_saves_the_state(bench, number):
    def tell(line: str) -> None:
        bench.lines.append(line)
        if line.startswith("[1/"):
            threading.Timer(1.0, os.kill, (os.getpid(), number)).start()

    summary = bench.work(step_seconds=0.3, tell=tell)
    assert summary.signal == number
    assert summary.left > 0
    assert "stopping after the current step (once more: at once)" in bench.lines
    assert "running" not in bench.store.statuses().values()
    assert bench.work().left == 0
    assert bench.files == []


def test_a_second_signal_stops_at_once(bench):
    def tell(line: str) -> None:
        if line.startswith("stopping"):
            os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bench.work(step_seconds=100.0, tell=tell)
    assert time.monotonic() - began < 30
    assert "running" not in bench.store.statuses().values()


def test_two_processes_on_one_store_share_the_work(tmp_path):
    bench = Bench(tmp_path, "a b c")
    other = threading.Thread(target=bench.work, kwargs={"step_seconds": 0.02})
    other.start()
    bench.work(step_seconds=0.02)
    other.join()
    runs = bench.store.runs()
    assert {run.status for run in runs} == {"done"}
    assert {run.attempts for run in runs} == {1}
    assert bench.files == []


def test_a_killed_process_loses_its_run_to_the_next(bench):
    dead = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(dead, 0)
    assert not is_alive(dead)
    assert is_alive(os.getpid())
    claim = bench.store.claim(bench.plan.stages, worker=f"{host()}|{dead}", lease_seconds=9999)
    assert claim is not None
    assert bench.work().left == 0
    assert bench.store.run(str(claim.run_id)).attempts == 2


def test_a_checkpoint_that_is_gone_is_made_again(bench):
    bench.work(limits=Limits(runs=2), keep=True)
    kept = bench.store.checkpoints()
    assert len(kept) == 2
    for name in bench.files:
        shutil.rmtree(bench.checkpoints.path / name)
    assert bench.work().left == 0


def test_keep_checkpoints_keeps_those_of_single_runs(bench):
    bench.work(keep=True)
    singles = [run.key for run in bench.store.runs() if run.method == "single"]
    assert sorted(bench.store.checkpoints()) == sorted(singles)
    assert len(bench.files) == len(singles)
    assert bench.checkpoints.sweep(bench.store) == 0
    assert bench.checkpoints.remove(bench.store.drop_checkpoints(kept=True)) > 0
    assert bench.files == []


def models_of(bench: Bench) -> dict[str, str]:
    files = bench.checkpoints.path.glob(f"*/{MODEL}")
    return {file.parent.name: file.read_text() for file in files}


def test_models_that_are_wanted_stay_and_nothing_else(bench):
    keys = {run.key for run in bench.plan.runs if run.method != "multitask"}
    assert bench.work(models=keys).left == 0
    assert models_of(bench).keys() == keys
    assert bench.files == sorted(keys)
    assert {f.name for key in keys for f in (bench.checkpoints.path / key).iterdir()} == {MODEL}
    assert bench.checkpoints.sweep(bench.store) == 0
    assert bench.work().done == len(bench.plan.runs)  # without models: those that are there stay
    assert models_of(bench).keys() == keys
    assert bench.checkpoints.sweep(bench.store, models=True) > 0
    assert bench.files == []


def test_a_finished_run_without_its_model_is_done_again(bench):
    bench.work()
    run = next(run for run in bench.store.runs() if run.method == "intermediate")
    wanted = PlanDriver(bench.store, bench.plan.stages, bench.checkpoints, None, models=[run.key])
    assert wanted.missing_models() == [run.key]
    assert bench.work(models=[run.key]).left == 0
    assert wanted.missing_models() == []
    assert list(models_of(bench)) == [run.key]
    again = bench.store.run(run.key)
    assert (again.attempts, again.score) == (run.attempts + 1, run.score)
    assert bench.work(models=[run.key]).left == 0
    assert bench.store.run(run.key).attempts == again.attempts


def test_a_run_that_leaves_no_model_fails(bench):
    key = bench.plan.runs[0].key
    engine = LocalEngine(["cpu"], bench.plan.task_sources, finetune=finetune_without_model)
    PlanDriver(bench.store, bench.plan.stages, bench.checkpoints, engine, models=[key]).run()
    run = bench.store.run(key)
    assert run.status == "failed"
    assert run.reason.startswith(f"it left no model '{key}/{MODEL}' in '")


def finetune_without_model(*arguments: object, save_model: Path | None = None, **options: object):
    return fake_finetune(*arguments, **options)


def test_sweeping_removes_the_models_of_runs_that_are_not_done(bench):
    claim = bench.store.claim(bench.plan.stages, worker="here|1", lease_seconds=60)
    pending = next(run.key for run in bench.store.runs(statuses=("pending",)))
    models = [
        bench.checkpoints.file(bench.checkpoints.model(key)) for key in (claim.key, pending, "f" * 64)
    ]
    for file in models:
        file.parent.mkdir()
        file.write_text("x")
    assert bench.checkpoints.sweep(bench.store) == 2
    assert [file.exists() for file in models] == [True, False, False]
    bench.store.release(claim)


def test_sweeping_removes_orphans_and_nothing_else(bench):
    claim = bench.store.claim(bench.plan.stages, worker="here|1", lease_seconds=60)
    pending = next(run.key for run in bench.store.runs(statuses=("pending",)))
    mine = bench.checkpoints.file(bench.checkpoints.encoder(claim))
    orphan = bench.checkpoints.path / f"{'0' * 16}-{'1' * 32}" / "encoder.safetensors"

    def state(key: str) -> Path:
        return bench.checkpoints.file(bench.checkpoints.state(key))

    # What a library calls a file that it has not finished.
    unfinished = [file.with_name(".tmpAbC123") for file in (orphan, state(pending))]
    states = [state(key) for key in (claim.key, pending, "f" * 64)]
    foreign = [bench.checkpoints.path / "notes.txt", bench.checkpoints.path / "tokens" / "a"]
    for file in (mine, orphan, *unfinished, *states, *foreign):
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    assert bench.checkpoints.sweep(bench.store) == 4
    left = {f for f in bench.checkpoints.path.rglob("*") if f.is_file()}
    assert left == {mine, *states[:2], *foreign}


def test_a_task_that_changed_since_the_plan_fails_its_runs(bench, tmp_path):
    with (tmp_path / "tasks" / "a.train.jsonl").open("a") as file:
        file.write('{"text": "more", "label": "yes"}\n')
    bench.work()
    reasons = {run.reason for run in bench.store.runs() if run.status == "failed"}
    assert reasons
    assert all("task 'a' has changed since the plan was read" in reason for reason in reasons)


def test_a_worker_that_cannot_start_is_an_error(bench, tmp_path, monkeypatch):
    engine = LocalEngine(["cpu"], bench.plan.task_sources, finetune=_Unloadable())
    with pytest.raises(
        InputError, match="the worker does not start: its process ended with exit code 1"
    ):
        PlanDriver(bench.store, bench.plan.stages, bench.checkpoints, engine).run()


class _Unloadable:
    """Pickles here and cannot be unpickled there."""

    def __reduce__(self) -> tuple[object, ...]:
        return (int, ("no number",))
