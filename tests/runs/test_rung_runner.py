from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fake_training import fake_facts, fake_finetune, make_tasks

from transfer_meta.errors import InputError
from transfer_meta.runs.checkpoints.folder import CheckpointFolder
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.plan import Plan
from transfer_meta.runs.rung_runner import RungRunner, plan_of_search, shortened
from transfer_meta.runs.search import Rung, search_sources
from transfer_meta.runs.store.run_store import Store
from transfer_meta.tasks.source_sets import SourceSet

EPOCHS = (1, 2, 4)
RUNGS = [Rung(n / 4, n / 4) for n in EPOCHS]


class Bench:
    """A target with its sources, a store, and a stand-in for training."""

    def __init__(self, folder: Path, names: str, sets: Sequence[SourceSet] | None = None) -> None:
        make_tasks(folder / "tasks", names)
        tasks = {name: str(folder / "tasks" / f"{name}.train.jsonl") for name in names.split()}
        self.sources = [name for name in tasks if name != "t"]
        self.plan: Plan = plan_of_search(
            target="t",
            tasks=tasks,
            sources=sets,
            regime="16-8",
            epochs=4,
            encoder="tiny",
            encoder_facts=fake_facts,
        )
        self.address = str(folder / "runs.sqlite")
        self.checkpoints = CheckpointFolder(folder / "checkpoints")
        self.lines: list[str] = []

    def runner(self, **options: object) -> RungRunner:
        finetune = functools.partial(fake_finetune, step_seconds=0.0)
        engine = LocalEngine(["cpu"], self.plan.task_sources, finetune=finetune)
        store = Store(self.address, create=True)
        return RungRunner(
            self.plan, EPOCHS, store, self.checkpoints, engine, tell=self.lines.append, **options
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "t a b c")


def test_the_plan_of_a_search(bench):
    full = [(r.method, r.source, r.target, r.regime) for r in bench.plan.runs]
    transfers = [("intermediate", s, "t", "16-8") for s in "abc"]
    alone = [("single", "", s, "16") for s in "abc"] + [("single", "", "t", "8")]
    assert sorted(full) == sorted(transfers + alone)


def test_a_shorter_plan_has_the_same_shape_and_other_keys(bench):
    short = shortened(bench.plan, 1)
    assert {s.training.epochs for s in short.stages.values()} == {1}
    assert {s.start.training.epochs for s in short.stages.values() if s.start} == {1}
    keys = [run.key for run in short.runs]
    assert not set(keys) & {run.key for run in bench.plan.runs}
    for ours, theirs in zip(short.runs, bench.plan.runs, strict=True):
        assert (ours.method, ours.source, ours.target) == (theirs.method, theirs.source, theirs.target)
        for name in ("start_key", "baseline_key"):
            place = getattr(ours, name) and keys.index(getattr(ours, name))
            expected = getattr(theirs, name)
            assert place == (expected and [r.key for r in bench.plan.runs].index(expected))
        assert ours.settings == short.stages[ours.key].to_dict()
    again = shortened(short, 4)
    assert [run.key for run in again.runs] == [run.key for run in bench.plan.runs]


def test_a_search_by_the_store_and_the_same_search_again(bench):
    runner = bench.runner()
    assert runner.alone()
    found = search_sources(dict.fromkeys(bench.sources, 0.0), runner, rungs=RUNGS, budget_runs=3)
    runner.close()
    store = Store(bench.address)
    runs = store.runs(statuses=("done",))
    assert 0 < found.spent <= 3
    # Every gain is that of the rows: after the source, against the target alone of that length.
    scores = {(r.source, r.settings["training"]["epochs"]): r.score for r in runs if r.target == "t"}
    for candidate in found.candidates:
        for n, gain in zip(EPOCHS, candidate.gains, strict=False):
            expected = (scores[candidate.source, n] - scores["", n]) / scores["", 4]
            assert gain == pytest.approx(expected)
    best = found.best.source
    if found.best.state == "finished":
        assert bench.runner().test_scores(best) == (scores[best, 4], scores["", 4])
    assert store.checkpoints() == {}

    attempts = {run.key: run.attempts for run in store.runs()}
    again = bench.runner()
    assert again.alone()
    same = search_sources(dict.fromkeys(bench.sources, 0.0), again, rungs=RUNGS, budget_runs=3)
    again.close()
    assert same == found
    assert {run.key: run.attempts for run in store.runs()} == attempts


def test_a_source_that_fails_is_left_behind(tmp_path):
    bench = Bench(tmp_path, "t a bad")
    runner = bench.runner()
    assert runner.alone()
    found = search_sources({"a": 0.0, "bad": 1.0}, runner, rungs=RUNGS)
    runner.close()
    assert [c.state for c in found.candidates] == ["finished", "failed"]
    assert any("NaN loss" in line for line in bench.lines)
    assert runner.test_scores("bad")[0] is None


def test_a_target_that_fails_ends_the_search(tmp_path):
    make_tasks(tmp_path / "tasks", "bad a")
    tasks = {n: str(tmp_path / "tasks" / f"{n}.train.jsonl") for n in ("bad", "a")}
    bench = Bench(tmp_path / "other", "t a")
    bench.plan = plan_of_search(
        target="bad", tasks=tasks, regime="16-8", epochs=4, encoder="tiny", encoder_facts=fake_facts
    )
    runner = bench.runner()
    with pytest.raises(InputError, match="the run of 'bad' alone failed: NaN loss"):
        runner.alone()
    runner.close()


def test_a_mixture_that_the_store_has_in_another_order_is_not_run_again(tmp_path: Path) -> None:
    sets = [SourceSet(("b", "a")), SourceSet(("b", "a"), ordered=True)]
    bench = Bench(tmp_path, "t a b", sets)
    assert {run.source for run in bench.plan.runs if run.method == "multitask"} == {"a+b"}
    # As earlier versions stored it: in the order that was given.
    earlier = [shortened(bench.plan, n) for n in EPOCHS]
    store = Store(bench.address, create=True)
    for plan in earlier:
        for run in plan.runs:
            if run.method == "multitask":
                stage = replace(plan.stages[run.key], sources=("b", "a"))
                key = stage.key(run.task_digests, run.encoder_revision)
                store.add([replace(run, key=key, source="b+a", settings=stage.to_dict())])
    runner = bench.runner()
    assert runner.alone()
    for name in ("b+a", "a+b"):
        assert not any(math.isnan(gain) for gain in runner([(name, 0), (name, 2)]))
    assert runner.test_scores("b>a") == (None, runner.test_scores("a+b")[1])
    runner.close()
    assert [r.source for r in store.runs() if r.method == "multitask"] == ["b+a"] * len(EPOCHS)
    assert store.mixtures().keys() == {r.key for r in store.runs() if r.method == "multitask"}


def test_without_time_nothing_is_run_and_later_it_goes_on(bench):
    runner = bench.runner(seconds=0.0)
    assert not runner.alone()
    runner.close()
    assert not Store(bench.address).runs(statuses=("done",))
    runner = bench.runner()
    assert runner.alone()
    runner.close()
    late = bench.runner(seconds=0.0)
    assert late.alone()
    found = search_sources(dict.fromkeys(bench.sources, 0.0), late, rungs=RUNGS)
    late.close()
    assert found.spent == 0
    assert {c.state for c in found.candidates} == {"not tried"}


def test_after_a_signal_no_further_run_is_begun(bench):
    runner = bench.runner()
    assert runner.alone()
    runner.signal = 2
    before = len(Store(bench.address).runs(statuses=("done",)))
    assert runner([("a", 0), ("b", 0)]) == [None, None]
    runner.close()
    assert len(Store(bench.address).runs(statuses=("done",))) == before


def test_a_plan_that_cannot_be(bench, tmp_path):
    tasks = {"t": str(tmp_path / "tasks" / "t.train.jsonl"), "a": str(tmp_path / "absent.jsonl")}
    with pytest.raises(InputError, match="task 'a'"):
        plan_of_search(
            target="t", tasks=tasks, regime="16-8", epochs=4, encoder="tiny", encoder_facts=fake_facts
        )
    del tasks["a"]
    with pytest.raises(InputError, match="no sources|no pair"):
        plan_of_search(
            target="t", tasks=tasks, regime="16-8", epochs=4, encoder="tiny", encoder_facts=fake_facts
        )
