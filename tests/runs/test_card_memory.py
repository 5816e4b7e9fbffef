"""Runs side by side on a card; the cards are simulated."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_training import GB, fake_facts, make_tasks, on_a_card

from transfer_meta.encoding.devices import card_bytes
from transfer_meta.runs.card_memory import CONTEXT_BYTES, CardMemory, runs_that_fit
from transfer_meta.runs.checkpoints.folder import CheckpointFolder
from transfer_meta.runs.driver import PlanDriver
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.plan import load_plan
from transfer_meta.runs.store.run_store import Store


@dataclass(frozen=True)
class Held:
    """A finished run."""

    peak_memory_bytes: int
    notes: dict[str, Any] = field(default_factory=lambda: {"card_bytes": 80 * GB})


@pytest.mark.parametrize(("card", "peak"), [(80, 14), (24, 1), (141, 0.3), (8, 7), (8, 20)])
def test_what_fits_fits_and_one_more_does_not(card, peak):
    count = runs_that_fit(card * GB, int(peak * GB))
    each = 1.1 * peak * GB + CONTEXT_BYTES
    assert count == 1 or count * each <= card * GB
    assert (count + 1) * each > card * GB


def test_one_run_until_one_has_ended_then_what_fits_by_the_largest():
    lines: list[str] = []
    cards = CardMemory(8, tell=lines.append)
    assert cards.allowed == 1
    assert cards.learn(Held(5 * GB))
    assert (cards.allowed, lines) == (8, [])
    assert cards.learn(Held(14 * GB))
    assert cards.allowed == 5
    assert lines == ["5 of the requested 8 runs side by side fit on a card of 80 GB at 14.0 GB a run"]
    assert not cards.learn(Held(2 * GB)), "a smaller run changes nothing"
    assert cards.learn(Held(70 * GB))
    assert cards.allowed == 1
    assert len(lines) == 2
    # The smallest card decides.
    cards = CardMemory(8)
    cards.learn(Held(5 * GB))
    cards.learn(Held(1 * GB, {"card_bytes": 24 * GB}))
    assert cards.allowed == 4


def test_a_card_of_unknown_size_holds_what_was_asked_for():
    cards = CardMemory(3)
    assert cards.learn(Held(5, {}))
    assert cards.allowed == 3


def test_a_cpu_is_no_card():
    assert card_bytes("cpu") is None


PLAN = """
tasks_folder = "tasks"
tasks = ["a", "b", "c", "d", "e", "f"]
targets = ["a", "b", "c", "d", "e", "f"]
methods = ["single"]
regimes = ["8-8"]
encoder = "tiny"
seeds = [0, 1]
"""


class Watched(LocalEngine):
    """Notes how many runs are in hand at a time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.in_hand: list[int] = []
        self.processes: list[int] = []

    def submit(self, job: Any) -> None:
        super().submit(job)
        self.in_hand.append(sum(worker.job is not None for worker in self._workers))
        self.processes.append(len(self._workers))


def work(folder: Path, slots: list[str], cards: CardMemory, of: int) -> tuple[Watched, Store]:
    make_tasks(folder / "tasks", "a b c d e f")
    (folder / "plan.toml").write_text(PLAN)
    plan = load_plan(folder / "plan.toml", encoder_facts=fake_facts)
    store = Store(str(folder / "runs.sqlite"), create=True)
    store.add(plan.runs)
    finetune = functools.partial(on_a_card, of=of, step_seconds=0.1)
    engine = Watched(slots, plan.task_sources, cards=cards, finetune=finetune)
    summary = PlanDriver(store, plan.stages, CheckpointFolder(folder / "checkpoints"), engine).run()
    assert summary.left == summary.failed == 0
    return engine, store


def test_the_first_run_goes_alone_and_tells_how_many_go_side_by_side(tmp_path):
    cards = CardMemory(3)
    engine, store = work(tmp_path, ["cuda:0"] * 3, cards, of=35 * GB)
    assert cards.allowed == 2
    assert max(engine.in_hand) == 2
    assert max(engine.processes) == 2
    runs = sorted(store.runs(), key=lambda run: run.started)
    assert runs[1].started >= runs[0].finished
    assert runs[0].notes["card_bytes"] == 35 * GB


def test_idle_processes_give_their_memory_back_where_fewer_fit(tmp_path):
    cards = CardMemory(3)
    cards.learn(Held(1 * GB))
    engine, _ = work(tmp_path, ["cuda:0"] * 3, cards, of=20 * GB)
    assert cards.allowed == 1
    assert engine.processes[-1] == 1


def test_every_card_has_its_own_first_run(tmp_path):
    engine, _ = work(tmp_path, ["cuda:0", "cuda:1"] * 2, CardMemory(2), of=80 * GB)
    assert max(engine.in_hand) == 4
