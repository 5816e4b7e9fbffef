"""The tables that ship, and that what lies beside them fits together."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pandas as pd
import pytest

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.metadataset import build_metadataset, similarity_table
from transfer_meta.outcomes.shipped import find_shipped, shipped_tables
from transfer_meta.outcomes.tables import load_outcomes

GRID = find_shipped("minilm-grid")
TABLE = load_outcomes("minilm-grid")
PLAN = tomllib.loads((GRID.folder / "plan.toml").read_text(encoding="utf-8"))
TASKS = set(PLAN["tasks"])
HELD_OUT = {"mpqa", "wnut17", "stsb"}


def test_all_tables_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outcomes", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(shipped_tables())
    assert {"bingel-soegaard-2017", "minilm-grid", "talmor-berant-2019"} <= {
        row["name"] for row in rows
    }


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'minilm-grid'"):
        find_shipped("minilm_grid")


def test_a_table_without_profiles_has_none() -> None:
    plain = find_shipped("bingel-soegaard-2017")
    assert (plain.pairs, plain.profiles, plain.vectors, plain.models) == (None, {}, {}, {})


def test_the_grid_is_within_its_plan() -> None:
    runs = TABLE.runs
    assert set(runs["source"]) | set(runs["target"]) == TASKS
    assert not HELD_OUT & TASKS
    assert set(runs["seed"]) <= set(PLAN["seeds"])
    assert set(runs["method"]) == set(PLAN["methods"])
    assert set(runs["regime"]) == set(PLAN["regimes"])
    assert not runs.duplicated(["source", "target", "seed"]).any()
    for names in PLAN["exclude"]:
        assert not (runs["source"].isin(names) & runs["target"].isin(names)).any()
    assert runs["score"].between(0, 1).all()
    np.testing.assert_allclose(runs["absolute_gain"], runs["score"] - runs["baseline"], atol=1e-8)


def test_a_baseline_is_one_run() -> None:
    assert (TABLE.runs.groupby(["target", "seed"])["baseline"].nunique() == 1).all()


def test_every_task_has_a_profile_vectors_and_a_row() -> None:
    assert set(GRID.profiles) == set(GRID.vectors) == set(TABLE.tasks.index) == TASKS
    for task, path in GRID.profiles.items():
        profile = load_profile(path)
        assert profile.name == task
        assert len(profile.sketches["examples"]) >= 200
        known = TABLE.tasks.loc[task].dropna()
        np.testing.assert_allclose([profile.features[f] for f in known.index], known, rtol=1e-8)


@pytest.mark.parametrize("name", ["minilm-grid", "minilm-31"])
def test_it_is_small_enough_to_ship(name: str) -> None:
    files = [path for path in find_shipped(name).folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6


def test_the_larger_table_has_all_tasks_of_the_grid_and_none_that_is_held_out() -> None:
    shipped, table = find_shipped("minilm-31"), load_outcomes("minilm-31")
    tasks = set(table.tasks.index)
    assert len(tasks) == 31
    assert tasks > TASKS
    assert set(shipped.profiles) == set(shipped.vectors) == tasks
    assert set(table.pairs["source"]) == set(table.pairs["target"]) == tasks
    sizes = pd.read_csv(shipped.folder / "sizes.csv")
    assert set(sizes["target"]) < tasks
    assert not sizes.duplicated(["target", "size", "seed"]).any()
    assert shipped.others is not None
    others = pd.read_csv(shipped.others)
    assert {t for s in others["source"] for t in s.replace("+", ">").split(">")} <= tasks


def test_the_pair_features_are_those_of_the_profiles_and_vectors() -> None:
    pairs = pd.read_csv(GRID.folder / "pairs.csv")
    target = "trec"
    rows = pairs[pairs["target"] == target].set_index("source")
    profiles = {task: load_profile(path) for task, path in GRID.profiles.items()}
    content = compare_profiles(sources=[profiles[s] for s in rows.index], target=profiles[target])
    np.testing.assert_allclose(rows["jsd"], content["pair.jsd"], rtol=1e-7)
    vectors = {task: load_vectors(path)[0][task] for task, path in GRID.vectors.items()}
    of_target = pairs.loc[pairs["target"] == target, ["source", "target"]]
    similarities = similarity_table(of_target, vectors).set_index("source").loc[rows.index]
    for column in ("mean_textemb", "centred_taskemb", "rrf_text_task"):
        np.testing.assert_allclose(rows[column], similarities[column], rtol=1e-6, atol=1e-8)


def test_shared_text_is_no_feature() -> None:
    shared = TABLE.pairs.set_index(["source", "target"])["shared_text"]
    assert shared["sick_relatedness", "sick_entailment"] > 0.9
    assert shared["ewt_upos", "ewt_deprel"] > 0.5
    assert shared["trec", "copa"] < 0.01
    described = build_metadataset(TABLE).features
    assert "shared_text" not in set(described["feature"])
    assert {"jsd", "mean_textemb", "centred_taskemb"} <= set(described["feature"])
