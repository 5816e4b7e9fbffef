"""One contract for the folders of all predictors: edited, they answer as before or are refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from model_mutations import edit_text, edit_value, predict_with, run_edits

import transfer_meta.model
from transfer_meta.errors import InputError
from transfer_meta.model import FitSettings, fit, load_model
from transfer_meta.outcomes.tables import OutcomeTable, build_table
from transfer_meta.predictors import PREDICTORS, make_predictor, tree_process
from transfer_meta.predictors.registry import SIMILARITIES

CHEAP = {
    "n_trials": 2,
    "n_splits": 2,
    "n_repeats": 1,
    "n_estimators": 20,
    "predictor__n_estimators": 20,
}
"""Settings of the slow predictors here."""
N_EDITS = 90
N_EDITS_OF_SIMILARITIES = 30
N_TREE_EDITS = 240
WITH_TREES = ("lightgbm", "lightgbm-regressor", "lightgbm-tuned", "lambdarank", "lambdarank-langrank")


def small_table() -> OutcomeTable:
    """30 pairs of 6 tasks with features of tasks and, for the similarities, of pairs."""
    random = np.random.default_rng(0)
    tasks = pd.DataFrame(
        random.normal(size=(6, 3)).round(4),
        columns=["size", "grad_30", "slope_30"],
        index=list("abcdef"),
    ).rename_axis("task")
    pairs = pd.DataFrame(
        [(s, t) for t in tasks.index for s in tasks.index if s != t], columns=["source", "target"]
    )
    for feature, *_ in SIMILARITIES.values():
        pairs[feature] = random.normal(size=len(pairs)).round(4)
    size = tasks["size"]
    pairs["gain"] = (
        size[pairs["target"]].to_numpy() - size[pairs["source"]].to_numpy() + 0.1 * pairs["logme"]
    )
    return build_table(pairs, tasks=tasks.reset_index())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each predictor."""
    folder, table = tmp_path_factory.mktemp("models"), small_table()
    with pytest.MonkeyPatch.context() as patch:

        def cheap(name: str, *, random_state: int | None = None):
            made = make_predictor(name, random_state=random_state)
            return made.set_params(**{k: CHEAP[k] for k in CHEAP.keys() & made.get_params()})

        patch.setattr(transfer_meta.model, "make_predictor", cheap)
        for name in PREDICTORS:
            fit(table, FitSettings(predictor=name, judge=False)).save(folder / name)
    some = table.pairs[["source", "target", *table.pair_features]].head(4)
    some.to_csv(folder / "pairs.csv", index=False)
    return folder


@pytest.mark.parametrize("name", PREDICTORS)
def test_an_edited_folder_answers_as_before_or_is_refused_in_one_line(name: str, models: Path) -> None:
    n = N_EDITS_OF_SIMILARITIES if name in SIMILARITIES else N_EDITS
    predict = predict_with(pd.read_csv(models / "pairs.csv"))
    edits = (edit_value, edit_value, edit_text)
    accepted, broken = run_edits(models / name, models / "edited", predict, edits, n, 0)
    assert broken == []
    assert accepted < n / 2


def test_edited_trees_never_end_the_process(models: Path) -> None:
    script = str(Path(__file__).with_name("model_mutations.py"))
    folders = [str(models / name) for name in WITH_TREES]
    found = subprocess.run(
        [sys.executable, script, str(N_TREE_EDITS), str(models / "pairs.csv"), *folders],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    results = [json.loads(line) for line in found.stdout.splitlines()]
    assert [broken for _, broken in results] == [[]] * len(WITH_TREES)
    # Those that pass the check are read by LightGBM, and predict.
    accepted = sum(n for n, _ in results)
    assert 200 <= accepted < len(WITH_TREES) * N_TREE_EDITS / 2


def test_trees_that_end_their_child_process_are_refused_in_one_line(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import os, sys; print('ready', file=sys.stderr); os.abort()"]
    monkeypatch.setattr(tree_process, "_TRIED", set())
    monkeypatch.setattr(tree_process, "_command", lambda: command)
    with pytest.raises(InputError) as refused:
        load_model(models / "lightgbm-tuned")
    assert str(refused.value).endswith("in booster_0.txt ends the process that loads it (SIGABRT)")
    assert str(refused.value).startswith("the model in '")


def test_there_are_at_least_two_thousand_edits() -> None:
    others = len(PREDICTORS) - len(SIMILARITIES)
    of_trees = len(WITH_TREES) * N_TREE_EDITS
    assert len(SIMILARITIES) * N_EDITS_OF_SIMILARITIES + others * N_EDITS + of_trees >= 2_000
