from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_tasks import (
    ALL_NAMES,
    DATA_FOLDER,
    ENCODER,
    FIRST_ENCODER,
    MORE_NAMES,
    NAMES,
    SECOND_ENCODER,
)

from transfer_meta.errors import InputError
from transfer_meta.recommender.library import (
    SCORES_FILE,
    Evidence,
    Library,
    Setting,
    methods_of,
    open_library,
    size_distance,
)


def test_other_methods_are_read_from_the_file_beside_the_outcomes(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "minilm_grid"
    shutil.copytree(data / "minilm_grid", folder)
    rows = pd.read_csv(folder / "outcomes.csv")
    beside = rows[rows["source"].str.startswith("film") & (rows["seed"] == 0)].assign(
        method="multitask"
    )
    chains = rows.head(40).assign(method="chain", source="film_a>film_b")
    pd.concat([beside, chains]).to_csv(folder / "others.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATA_FOLDER, lambda: tmp_path)
        assert methods_of("minilm-grid") == ("intermediate", "multitask")
        library = open_library(method="multitask")
        usual = open_library()
    assert library.sources == ("film_a", "film_b", "film_c", "film_d")
    assert library.n_outcomes == len(beside)
    assert usual.n_outcomes == len(rows)


def test_no_model_for_a_method_without_outcomes(data: Path) -> None:
    for name in ("atlas", "minilm-grid"):
        with pytest.raises(
            InputError, match=r"no outcomes of method 'multitask' .*\(it has: intermediate\)"
        ) as error:
            open_library(name, method="multitask")
        assert "\n" not in str(error.value)


def test_a_table_without_profiles_cannot_recommend(data: Path) -> None:
    folder = data / "bare"
    shutil.copytree(data / "minilm_grid", folder)
    (folder / "profiles" / "film_a.json").unlink()
    try:
        with pytest.raises(InputError, match="no profile of its task 'film_a'"):
            open_library("bare")
    finally:
        shutil.rmtree(folder)


def test_library_names(library: Library) -> None:
    assert library.sources == library.targets == NAMES
    assert library.trained.examples == (100, 40)
    assert library.encoder == ENCODER
    assert library.behind("film_a") == Evidence(14, 7, (FIRST_ENCODER,))
    assert library.behind("film_a", without=["film_b"]) == Evidence(12, 6, (FIRST_ENCODER,))
    assert library.behind("nothing") == Evidence()


def test_settings_of_several_tables(atlas_library: Library) -> None:
    first, adapter, second = atlas_library.settings
    assert first == Setting(
        name="toy-mini, 40 examples",
        table="minilm-grid",
        encoder=FIRST_ENCODER,
        adaptation="finetune",
        regime="100-40",
        n_outcomes=8 * 7 * 2,
    )
    assert (adapter.name, adapter.adaptation) == ("toy-encoder adapter, 400 examples", "adapter")
    assert (second.name, second.adaptation) == ("toy-encoder, 400 examples", "finetune")
    for setting in (adapter, second):
        assert (setting.table, setting.encoder) == ("taskweb", SECOND_ENCODER)
        assert setting.examples == (None, 400)
        assert setting.n_outcomes == 8 * 7 * 4
    assert atlas_library.trained is first
    assert atlas_library.n_outcomes == sum(s.n_outcomes for s in atlas_library.settings)


def test_tasks_of_several_tables_are_joined(atlas_library: Library) -> None:
    assert atlas_library.sources == tuple(sorted(ALL_NAMES))
    assert set(atlas_library.profiles) == set(atlas_library.vectors) == set(ALL_NAMES)
    assert atlas_library.tried_in(None) == set(ALL_NAMES)
    assert atlas_library.tried_in("toy-mini, 40 examples") == set(NAMES)
    assert atlas_library.tried_in("toy-encoder, 400 examples") == set(MORE_NAMES)
    # What can be repeated here is the first table's: its baselines, plan and encoder.
    assert list(atlas_library.baselines.index) == list(NAMES)
    assert (atlas_library.encoder, atlas_library.training["epochs"]) == (ENCODER, 1)
    kinds = {kind for vectors in atlas_library.vectors.values() for kind in vectors}
    assert kinds == {"tfidf", "textemb", "taskemb.layer.0", "desctext"}


def test_what_is_behind_a_source_in_several_tables(atlas_library: Library) -> None:
    both = (FIRST_ENCODER, SECOND_ENCODER)
    assert atlas_library.behind("film_a") == Evidence(14, 7, (FIRST_ENCODER,))
    assert atlas_library.behind("film_e") == Evidence(7 * 2 * 4, 7, (SECOND_ENCODER,))
    # Seven targets in each table, three of them in both.
    assert atlas_library.behind("film_c") == Evidence(14 + 56, 11, both)
    assert atlas_library.behind("film_c", without=["film_d"]) == Evidence(12 + 48, 10, both)


@pytest.mark.parametrize(
    ("encoder", "n_examples", "name"),
    [
        (None, None, "toy-mini, 40 examples"),
        ("offline", 400, "toy-mini, 40 examples"),
        ("toy-mini", 10_000, "toy-mini, 40 examples"),
        ("toy-encoder", None, "toy-encoder, 400 examples"),
        ("somebody/Toy-Encoder", 50, "toy-encoder, 400 examples"),
        ("somebody/toy-encoder/", None, "toy-encoder, 400 examples"),
        ("toy-encodr", None, None),
        ("somebody", None, None),
    ],
)
def test_the_setting_of_an_encoder(
    atlas_library: Library, encoder: str | None, n_examples: int | None, name: str | None
) -> None:
    found = atlas_library.find_setting(encoder, n_examples)
    assert (None if found is None else found.name) == name


def test_the_nearest_size_counts_and_then_finetuning(atlas_library: Library) -> None:
    small = replace(atlas_library.settings[1], name="small adapter", regime="full-100")
    library = replace(atlas_library, settings=(*atlas_library.settings, small))
    names = {n: library.find_setting(SECOND_ENCODER, n) for n in (20, 150, 250, 400, 9000, None)}
    assert {n: None if s is None else s.name for n, s in names.items()} == {
        20: "small adapter",
        150: "small adapter",
        250: "toy-encoder, 400 examples",
        400: "toy-encoder, 400 examples",
        9000: "toy-encoder, 400 examples",
        None: "toy-encoder, 400 examples",
    }
    whole = replace(small, regime="full-full")
    assert size_distance(whole, 100) == size_distance(small, None) == 0.0
    assert size_distance(small, 200) == pytest.approx(np.log(2))


def test_runs_of_a_setting_in_two_tables_are_pooled(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "minilm_grid", tmp_path / "minilm_31"
    for folder in (first, second):
        shutil.copytree(data / "minilm_grid", folder)
    rows = pd.read_csv(first / "outcomes.csv")
    rows[rows["source"] != "film_a"].to_csv(first / "outcomes.csv", index=False)
    # A baseline that is lower by chance: all gains of the second table are higher.
    rows.assign(
        baseline=rows["baseline"] * 0.8, gain=rows["score"] / (rows["baseline"] * 0.8) - 1
    ).to_csv(second / "outcomes.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DATA_FOLDER, lambda: tmp_path)
        library, alone = open_library(), open_library("minilm-31")
    (setting,) = library.settings
    assert (setting.table, setting.more_tables) == ("minilm-grid", ("minilm-31",))
    assert library.tables == ("minilm-grid", "minilm-31")
    assert setting.n_outcomes == library.n_outcomes == len(rows) + (rows["source"] != "film_a").sum()
    assert dict(zip(library.pairs["source"], library.pairs["runs"], strict=True))["film_a"] == 2
    # Of its gains no more is above the others' than in the second table alone.
    above = []
    for found in (library, alone):
        gain = found.pairs.set_index(["target", "source"])["gain"].unstack()
        others = gain.drop(columns="film_a").mean(axis=1)
        above.append(float((gain["film_a"] - others).mean()))
    assert above[0] == pytest.approx(above[1], abs=0.03)


def test_a_table_without_the_method_is_left_out_and_so_is_one_that_is_not_there(
    atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in ("minilm_grid", "taskweb"):
        shutil.copytree(atlas / table, tmp_path / table)
    file = tmp_path / "taskweb" / "outcomes.csv"
    file.write_text(file.read_text().replace("intermediate", "multitask"))
    monkeypatch.setattr(DATA_FOLDER, lambda: tmp_path)
    assert {s.table for s in open_library().settings} == {"minilm-grid"}
    assert open_library().sources == NAMES
    multitask = open_library(method="multitask")
    assert {s.table for s in multitask.settings} == {"taskweb"}
    assert multitask.sources == MORE_NAMES
    shutil.rmtree(tmp_path / "taskweb")
    assert {s.table for s in open_library().settings} == {"minilm-grid"}
    with pytest.raises(InputError, match="unknown dataset 'taskweb'"):
        open_library("taskweb")


def test_scores_are_of_pairs_of_known_tasks(
    atlas: Path, scored_library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scored_library.scores is not None
    assert len(scored_library.scores) == len(ALL_NAMES) * (len(ALL_NAMES) - 1)
    scores = scored_library.scores_on("film_a", "toy-mini, 40 examples")
    assert scores is not None
    assert set(scores.index) == {*ALL_NAMES} - {"film_a"}
    for setting in scored_library.settings[1:]:
        assert setting.encoder == SECOND_ENCODER
        assert scored_library.scores_on("film_a", setting.name) is None
    assert scored_library.scores_on("cinema", "toy-mini, 40 examples") is None
    alone = open_library("minilm-grid").scores
    assert alone is not None
    for role in ("target", "source"):
        assert set(alone.index.get_level_values(role)) == set(NAMES)
    # Those of other tasks are of no use: it is as if there were none.
    (tmp_path / "atlas").mkdir()
    monkeypatch.setattr("transfer_meta.recommender.library.data_folder", lambda: tmp_path)
    assert open_library().scores is None
    renamed = scored_library.scores.rename(index="other_{}".format)
    renamed.to_csv(tmp_path / "atlas" / SCORES_FILE)
    assert open_library().scores is None


def test_one_table_of_several(atlas: Path, atlas_library: Library) -> None:
    alone = open_library("taskweb")
    assert alone.settings == atlas_library.settings[1:]
    assert alone.sources == MORE_NAMES
    assert alone.digest != atlas_library.digest
    assert open_library().digest == atlas_library.digest
