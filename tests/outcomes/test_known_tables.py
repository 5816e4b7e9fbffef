"""Tables made of public corpora: what their READMEs promise; means over seeds keep their spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.ceiling import noise_ceiling
from transfer_meta.evaluation.pair_values import seed_weights
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.source_set_features import RULE_FEATURES, SET_FEATURES
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS, apply_gain_definition
from transfer_meta.outcomes.importers import import_taskweb
from transfer_meta.outcomes.shipped import find_shipped
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, build_table, load_outcomes
from transfer_meta.tasks.source_sets import parse_sources

TASKSHOP = GAIN_DEFINITIONS["taskshop"]
MEANS = {
    "source": ["a", "b"],
    "target": ["t", "t"],
    "n_seeds": [8, 1],
    "baseline": [0.5, 0.5],
    "score": [0.6, 0.4],
    "gain": [0.23, -0.2],
    "gain_std": [0.1, 0.2],
}


@pytest.fixture(scope="module")
def taskweb() -> OutcomeTable:
    return load_outcomes("taskweb")


@pytest.fixture(scope="module")
def recycled() -> OutcomeTable:
    return load_outcomes("model-recycling")


def test_a_table_of_means_keeps_gains_spread_and_seeds() -> None:
    pairs = build_table(pd.DataFrame(MEANS)).pairs.set_index("source")
    # The mean of relative gains is not the gain of the means.
    assert pairs.loc["a", ["gain", "gain_std", "n_seeds"]].tolist() == [0.23, 0.1, 8]
    assert pairs.loc["b", "n_seeds"] == 1


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ([0.23, 0.04, -0.23], [0.23, 0.04, -0.23]),
        ([23.0, 4.0, -23.0], [0.23, 0.04, -0.23]),
        ([0.1, 0.02, -0.1], [0.2, 0.04, -0.2]),
        ([0.23, np.nan, -0.23], [0.23, 0.04, -0.23]),
    ],
    ids=["fractions", "percent", "differences of scores", "one missing"],
)
def test_gains_of_means_are_fractions(gain: list[float], expected: list[float]) -> None:
    frame = pd.DataFrame(
        {
            "source": ["a", "b", "c"],
            "target": "t",
            "n_seeds": 3,
            "baseline": 0.5,
            "score": [0.6, 0.52, 0.4],
            "gain": gain,
        }
    )
    assert build_table(frame).pairs["gain"].tolist() == pytest.approx(expected)


def test_a_number_of_seeds_that_is_none_counts_as_one() -> None:
    frame = pd.DataFrame({**MEANS, "n_seeds": [np.nan, 0], "gain": [0.2, -0.2]})
    assert build_table(frame).pairs["n_seeds"].tolist() == [1, 1]


def test_a_gain_of_one_run_still_has_to_agree() -> None:
    table = build_table(pd.DataFrame({**MEANS, "gain": [0.23, 0.5]}))
    assert table.pairs["source"].tolist() == ["a"]
    assert "contradicts" in table.notes[0]


def test_repeated_runs_are_averaged_whatever_they_state() -> None:
    runs = pd.DataFrame({**MEANS, "source": "a", "seed": [1, 2], "n_seeds": 1, "gain": [0.2, -0.2]})
    pairs = build_table(runs).pairs
    assert pairs["n_seeds"].tolist() == [2]
    assert pairs["gain_std"][0] == pytest.approx(np.std([0.2, -0.2], ddof=1))


def test_taskshop_needs_the_share_of_improved_runs() -> None:
    with pytest.raises(InputError, match="the column 'improved'"):
        apply_gain_definition(build_table(pd.DataFrame(MEANS)), TASKSHOP)
    table = build_table(pd.DataFrame({**MEANS, "improved": [0.75, 0.0]}))
    mixed = apply_gain_definition(table, TASKSHOP).pairs
    assert mixed["gain"].tolist() == pytest.approx([(0.23 + 0.05) / 2, (-0.2 - 0.1) / 2])


def test_taskweb_has_every_pair_in_every_setting(taskweb: OutcomeTable) -> None:
    assert taskweb.notes == ()
    assert (taskweb.pairs.groupby("setting").size() == 21 * 21).all()
    assert taskweb.pairs["n_seeds"].isin([7, 8]).all()
    assert seed_weights(taskweb.pairs, taskweb.pairs["target"]) is not None
    assert not {"improved", "n_seeds", "gain_std"} & set(taskweb.pair_features)


def test_taskweb_brings_the_ceiling_of_its_runs(taskweb: OutcomeTable) -> None:
    ceiling = noise_ceiling(taskweb, ["spearman"])
    assert ceiling["metric"].unique().tolist() == ["spearman"]
    assert ceiling["value"].is_monotonic_increasing
    assert not len(apply_gain_definition(taskweb, TASKSHOP).ceiling)


def test_taskweb_is_what_the_runs_say(taskweb: OutcomeTable, shared: Path) -> None:
    runs = import_taskweb(shared / "taskweb").table
    runs = runs[(runs["model"] == "roberta") & (runs["target"] == "rte") & (runs["source"] == "snli")]
    gains = runs["score"] / runs["baseline"] - 1
    names = ["setting", "target", "source"]
    row = taskweb.pairs.set_index(names).loc[("roberta-base / finetune", "rte", "snli")]
    assert row["gain"] == pytest.approx(gains.mean(), abs=1e-6)
    assert row["gain_std"] == pytest.approx(gains.std(), abs=1e-6)


def test_taskweb_has_profiles_and_vectors_of_the_grid_s_kinds() -> None:
    shipped, grid = find_shipped("taskweb"), find_shipped("minilm-grid")
    assert set(shipped.profiles) == set(shipped.vectors) == set(load_outcomes("taskweb").tasks.index)
    common = sorted(set(shipped.profiles) & set(grid.profiles))
    assert common == ["copa", "mrpc", "qqp", "rotten_tomatoes", "scitail", "snli"]
    for task in common:
        ours, theirs = (load_profile(table.profiles[task]) for table in (shipped, grid))
        assert (ours.type, ours.settings) == (theirs.type, theirs.settings)
        assert ours.sketches["labels"].tolist() == theirs.sketches["labels"].tolist()
        vectors = [load_vectors(table.vectors[task])[0][task] for table in (shipped, grid)]
        for kind in ("tfidf", "textemb", "descemb"):
            a, b = (v[kind] / np.linalg.norm(v[kind]) for v in vectors)
            assert a @ b > 0.9


def test_recycled_scores_stand_under_their_targets(recycled: OutcomeTable) -> None:
    pairs = recycled.pairs
    assert (pairs["score"] >= pairs["baseline"] - 0.3001).all()
    fits = pairs.groupby(["setting", "source"])[["score", "baseline"]].corr().iloc[::2]["baseline"]
    assert fits.min() > 0.84
    assert (pairs.groupby(["setting", "target"])["baseline"].nunique() == 1).all()


def test_every_recycled_source_has_its_facts(recycled: OutcomeTable) -> None:
    facts = pd.read_csv(find_shipped("model-recycling").folder / "sources.csv")
    known = recycled.pairs[["source", "setting"]].drop_duplicates()
    assert set(zip(facts["source"], facts["encoder"], strict=True)) == set(
        known.itertuples(index=False, name=None)
    )
    assert facts["source"].str.count("/").le(1).all()
    assert facts["series_size"].min() == 1


def test_a_win_rate_of_a_half_is_no_gain() -> None:
    pairs = load_outcomes("taskonomy").pairs
    np.testing.assert_allclose(pairs["gain"], 2 * pairs["score"] - 1, atol=1e-9)
    assert sorted(pairs["setting"].unique()) == ["16k", "1k", "paper"]


@pytest.mark.parametrize("name", ["taskweb", "model-recycling", "taskonomy"])
def test_licence_and_readme(name: str) -> None:
    shipped = find_shipped(name)
    assert (shipped.folder / "README.md").is_file()
    assert (shipped.folder / "NOTICE").is_file() == (shipped.licence != "none named")
    assert not [path for path in shipped.folder.rglob("*") if path.suffix in (".jsonl", ".gz")]


SET_TABLES = {"taskweb-sets": "taskweb", "minilm-31-sets": "minilm-31"}


@pytest.mark.parametrize(("name", "singles"), SET_TABLES.items())
def test_sets_are_of_known_sources_and_have_their_features(name: str, singles: str) -> None:
    table, known = load_outcomes(name), set(load_outcomes(singles).tasks.index)
    assert table.notes == ()
    sets = [parse_sources(source) for source in table.pairs["source"]]
    assert all(of.tasks <= known and len(of.tasks) == len(of.members) for of in sets)
    assert set(SET_FEATURES) == set(table.pair_features)
    assert table.pairs["set_size"].tolist() == [len(of.members) for of in sets]
    assert table.pairs[list(RULE_FEATURES)].notna().all(axis=None)


def test_sets_of_taskweb_are_means_over_seeds() -> None:
    table = load_outcomes("taskweb-sets")
    assert (len(table.pairs), table.pairs["target"].nunique(), table.has_gain) == (107, 11, False)
    assert (table.pairs["n_seeds"] == 3).all()
    assert sorted(table.pairs["set_size"].unique()) == [1, 3, 5, 10, 21, 22]
    ceiling = noise_ceiling(table, ["spearman"])
    assert ceiling["value"].iloc[0] == pytest.approx(0.41, abs=0.03)


def test_sets_of_taskweb_are_what_the_runs_say(shared: Path) -> None:
    runs = pd.read_csv(shared / "taskweb" / "sets.csv.gz")
    means = runs.groupby(["source", "target"])["score"].mean()
    pairs = load_outcomes("taskweb-sets").pairs.set_index(["source", "target"])
    np.testing.assert_allclose(pairs["score"], means.loc[pairs.index], atol=1e-6)


def test_sets_of_the_larger_grid_hold_out_what_it_holds_out() -> None:
    pairs = load_outcomes("minilm-31-sets").pairs
    tasks = {t for s in pairs["source"] for t in parse_sources(s).members} | set(pairs["target"])
    assert not tasks & {"mpqa", "wnut17", "stsb"}
    chains = pairs[pairs["method"] == "chain"] if "method" in pairs else pairs
    names = set(chains["source"])
    assert all(">".join(parse_sources(s).members[::-1]) in names for s in names if ">" in s)


def test_of_a_set_every_source_is_described() -> None:
    tasks = pd.DataFrame({"task": ["a", "b", "t", "u"], "size": [1.0, 3.0, 5.0, 7.0]})
    rows = pd.DataFrame(
        {"source": ["a+b", "b>a", "a+x"], "target": ["t", "u", "t"], "gain": [0.1, -0.1, 0.2]}
    )
    table = build_table(rows, tasks=tasks)
    assert table.pairs["source"].tolist() == ["a+b", "b>a"]
    assert "source without a row in the table of tasks: a+x" in "; ".join(table.notes)
    features = build_metadataset(table).X
    assert features["source.size"].tolist() == [2.0, 2.0]
    with pytest.raises(InputError, match="task 'x' .* has no row in the table of tasks"):
        build_table(rows, tasks=tasks, settings=TableSettings(strict=True))
