"""SIGKILL in the middle of runs of every way to share and every order: what goes on equals an undisturbed run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import toy_task

from transfer_meta.errors import Stopped
from transfer_meta.records import TaskType
from transfer_meta.runs.methods import stage_of
from transfer_meta.training.finetune import finetune
from transfer_meta.training.method_settings import ORDERS, Curriculum, Mixing, SoftSharing
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

# Of a process with several threads, as Python 3.12 and later say of those of libraries.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

SETTINGS = TrainingSettings(
    epochs=2, batch_size=8, learning_rate=0.03, max_length=32, stride=8, dev_examples=10, evaluations=4
)
ALONE = Stage("toy", seed=0, encoder="random:1x8", training=SETTINGS)
TASKS = {
    name: toy_task(TaskType.CLASSIFICATION, name=name, train=50, seed=seed)
    for name, seed in (("toy", 0), ("src", 3))
}


def together(method: str, **settings: Any) -> Stage:
    return stage_of(method, ALONE, sources=["src"], **settings)


WAYS = {
    "soft, l2": together("soft", soft=SoftSharing("l2", 0.05)),
    "soft, kl": together("soft", soft=SoftSharing("kl", 0.05)),
    "learned weights": together("multitask", mixing=Mixing(weighting="uncertainty")),
    "moving weights": together("multitask", mixing=Mixing(weighting="to-target")),
    **{f"{order} order": replace(ALONE, curriculum=Curriculum(order)) for order in ORDERS},
    "order by an earlier run": replace(ALONE, curriculum=Curriculum("naive", "run-loss")),
    "order in a mixture": replace(together("multitask"), curriculum=Curriculum("combined", "loss")),
}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """A forked process has one thread, and sums of several threads differ in their last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def killed(run: Callable[[], object]) -> None:
    """Call a function in a process of its own, which it must end by SIGKILL."""
    process = os.fork()
    if not process:
        signal.alarm(120)  # a process that hangs fails the test
        try:
            run()
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_run_goes_on_to_the_bit(way: str, tmp_path: Path) -> None:
    stage, state, names = WAYS[way], tmp_path / "state", ("expected", "found")
    options: dict[str, Any] = {"resume": state, "save": tmp_path / "found"}
    if stage.prerequisite is not None:
        options["start"] = tmp_path / "start"
        finetune(stage.prerequisite, TASKS, save=options["start"])
    expected = finetune(stage, TASKS, **options | {"resume": None, "save": tmp_path / "expected"})
    steps = expected.notes["steps"]

    def stop_at(limit: int) -> dict[str, Any]:
        seen = [0]
        return {
            "should_stop": lambda: seen[-1] == limit,
            "on_progress": lambda done, _: seen.append(done),
        }

    def kill_at(limit: int) -> dict[str, Any]:
        return {"on_progress": lambda done, _: kill() if done == limit else None}

    def kill_while_saving(limit: int) -> None:
        os.replace = kill
        finetune(stage, TASKS, **options, **stop_at(limit))

    # Before there is a state: nothing is left, the run begins anew.
    killed(lambda: finetune(stage, TASKS, **options, **kill_at(steps // 4)))
    assert not state.exists()
    with pytest.raises(Stopped) as stopped:
        finetune(stage, TASKS, **options, **stop_at(steps // 3))
    assert not stopped.value.unsaved
    before = state.read_bytes()
    # After it: it goes on from the state, as often as it is killed, in a step or while a later state is saved.
    killed(lambda: finetune(stage, TASKS, **options, **kill_at(steps // 2)))
    killed(lambda: kill_while_saving(steps - 2))
    assert state.read_bytes() == before
    assert not options["save"].exists()
    found = finetune(stage, TASKS, **options)

    assert "discarded_state" not in found.notes
    assert found.scores == expected.scores
    for name in vars(expected.curve):
        np.testing.assert_array_equal(getattr(found.curve, name), getattr(expected.curve, name))
    for key in ("weights", "encoder_distance", "steps", "best_step"):
        assert found.notes.get(key) == expected.notes.get(key)
    weights = [load_file(tmp_path / name) for name in names]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
