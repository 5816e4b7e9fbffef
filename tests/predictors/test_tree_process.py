"""The child process that loads a LightGBM model's text first."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from transfer_meta.outcomes import shipped
from transfer_meta.predictors import tree_process
from transfer_meta.predictors.state_kinds import StateError
from transfer_meta.predictors.tree_text import check_trees, load_trees
from transfer_meta.predictors.trees import REPRODUCIBLE, train_trees

X = np.random.default_rng(0).normal(size=(60, 3))
TEXT = train_trees(X, X[:, 0], REPRODUCIBLE | {"objective": "regression"}, 3).model_to_string()
READY = (
    "import sys; print('ERROR: ld.so', file=sys.stderr); print('ready', file=sys.stderr, flush=True); "
)


@pytest.fixture(autouse=True)
def nothing_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_process, "_TRIED", set())


def child(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_a_good_text_is_loaded_by_one_child_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []
    run = subprocess.run

    def counted(*arguments: Any, **named: Any) -> Any:
        ended.append(run(*arguments, **named))
        return ended[-1]

    monkeypatch.setattr(subprocess, "run", counted)
    for _ in range(2):
        assert load_trees(TEXT, 3).num_trees() == 3
    (one,) = ended
    assert (one.returncode, one.stderr) == (0, "ready\n[[3, 3]]\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", r"^ends the process that loads it \(SIGSEGV\)$"),
        ("sys.exit(5)", r"^ends the process that loads it \(5\)$"),
        ("import os; os.abort()", r"^ends the process that loads it \(SIGABRT\)$"),
        ("import time; time.sleep(60)", "^takes LightGBM more than 1 seconds to load$"),
        (
            "print([[3, 4]], file=sys.stderr)",
            r"^says 3 trees of 3 features, LightGBM finds \[\[3, 4\]\]$",
        ),
        ("sys.exit('Unknown\\x1b model')", "^is no LightGBM model: Unknown[^\x1b\n]* model$"),
    ],
)
def test_a_text_that_a_child_does_not_survive_is_refused_in_one_line(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_process, "_command", lambda: child(READY + code))
    if "sleep" in code:
        monkeypatch.setattr(tree_process, "MAX_SECONDS", 1.0)
    with pytest.raises(StateError, match=message):
        load_trees(TEXT, 3)


def test_what_the_check_would_refuse_ends_the_child_alone() -> None:
    circle = check_trees(TEXT, 3).replace("split_feature=", "split_feature=999999999 ", 1)
    with pytest.raises(StateError, match="ends the process that loads it"):
        tree_process.try_in_child(circle, n_trees=3, n_features=3)
    with pytest.raises(StateError, match="no LightGBM model: .*number of classes"):
        tree_process.try_in_child("tree\n", n_trees=3, n_features=3)


@pytest.mark.parametrize(
    "command", [None, ["/no/interpreter"], child("raise SystemExit(2)"), child("print('ready')")]
)
def test_without_an_interpreter_the_checked_text_is_loaded_at_once(
    command: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_process, "_command", lambda: command)
    assert load_trees(TEXT, 3).num_trees() == 3


@pytest.mark.parametrize(("name", "value"), [("executable", ""), ("frozen", True)])
def test_an_executable_that_is_no_interpreter_is_not_started(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tree_process._command() is not None
    monkeypatch.setattr(sys, name, value, raising=False)
    assert tree_process._command() is None


def test_no_model_that_ships_has_trees() -> None:
    assert not list(shipped.data_folder().rglob("booster_*.txt"))
