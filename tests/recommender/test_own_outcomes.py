"""Recommendations learned from own outcomes together with those that ship."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_tasks import FILM, FIRST_ENCODER, NAMES, RAIN, make_task, task_named, true_gain, write_csv

import transfer_meta as tm
from transfer_meta.errors import InputError
from transfer_meta.outcomes.tables import load_outcomes
from transfer_meta.recommender.inputs import DESCRIPTION, OUTCOMES
from transfer_meta.recommender.library import Library, open_library
from transfer_meta.recommender.own_folder import FOLDER_FORMAT
from transfer_meta.recommender.own_outcomes import add_outcomes
from transfer_meta.recommender.own_recommender import (
    MIN_OWN_TARGETS,
    borrowed_settings,
    load_own_recommender,
    own_recommender,
)
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.recommend import RecommendSettings, recommend
from transfer_meta.recommender.recommendation import Recommendation
from transfer_meta.tasks import Task

ONLY = "toy-mini, 40 examples"
OWN = ("my_film", "my_rain", "my_film_2", "my_rain_2")
OWN_SETTING = "bert-tiny, own outcomes"


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all tests: most ask with the same outcomes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFER_META_CACHE", str(tmp_path_factory.mktemp("cache")))
        # Without an encoder, which would embed every task.
        patch.setattr("transfer_meta.recommender.own_recommender.best_mode", lambda _: "text")
        yield


def own_task(name: str) -> Task:
    return make_task(name, FILM if "film" in name else RAIN, seed=70 + OWN.index(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of four own tasks."""
    made = tmp_path_factory.mktemp("tasks")
    for name in OWN:
        write_csv(made / f"{name}.csv", own_task(name))
    return made


def outcomes(
    targets: tuple[str, ...] = OWN, sources: tuple[str, ...] = (*OWN, *NAMES), **columns: Any
) -> pd.DataFrame:
    """Outcomes of two seeds: gains as in the shipped table, but ``my_rain`` helps most."""
    rows = []
    for target in targets:
        for source in (s for s in sources if s != target):
            gain = 0.15 if source == "my_rain" else true_gain(source, target.removeprefix("my_"))
            for seed in (0, 1):
                score = 0.5 * (1 + gain + 0.002 * seed)
                rows.append(
                    {"source": source, "target": target, "seed": seed, "baseline": 0.5, "score": score}
                )
    return pd.DataFrame(rows).assign(**columns)


def write(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


def ask(frame: Any, folder: Path | None, **settings: Any) -> tuple[Recommendation, list[str]]:
    told: list[str] = []
    given = {"mode": "text", "top": 20, "checkpoints": 0, "outcomes": (frame,), "tasks_folder": folder}
    target = make_task("cinema", FILM, seed=50)
    return recommend(target, RecommendSettings(**{**given, **settings}), tell=told.append), told


def line(lines: Any, part: str) -> str:
    found = [one for one in lines if part in one]
    assert len(found) == 1, (part, list(lines))
    return str(found[0])


def test_rows_of_the_shipped_encoder_pool_with_the_shipped_ones(data: Path, folder: Path) -> None:
    plain = recommend(make_task("cinema", FILM, seed=50), RecommendSettings(mode="text", top=20))
    found, told = ask(outcomes(), folder)
    assert "my_rain" not in [s.source for s in plain.sources]
    assert found.sources[0].source == "my_rain"
    assert found.sources[0].is_own
    assert found.sources[0].facts is None
    assert found.sources[0].expected_gain > 0.05
    assert found.sources[0].n_outcomes == 6
    assert found.model["setting"] == ONLY
    assert found.model["n_outcomes"] == plain.model["n_outcomes"] + 2 * 4 * 11
    assert found.model["n_targets"] == 12
    assert found.model["tables"][-1] == "outcomes"
    assert found.model["figures"] != plain.model["figures"]
    assert "4 of yours among them" in line(found.notes, "your outcomes")
    line(told, f"taken for outcomes of {FIRST_ENCODER}")
    line(told, "taken for the known tasks of their names: film_a")


def test_an_export_of_runs_and_other_tables_are_read_alike(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    exported = outcomes(
        method="intermediate", regime="100-40", encoder=FIRST_ENCODER, metric="accuracy",
        settings=json.dumps({"epochs": 1}),
    )  # fmt: skip
    exported["gain"] = exported["score"] / exported["baseline"] - 1
    more = exported.iloc[:3].assign(method="multitask")
    chain = exported.iloc[:2].assign(source="film_a>film_b")
    file = write(pd.concat([exported, more, chain]), tmp_path / "runs.csv")
    found, told = ask(file, folder)
    expected, _ = ask(outcomes(), folder)
    assert [s.source for s in found.sources] == [s.source for s in expected.sources]
    # The chain is among the runs that weights are told from.
    assert found.sources[0].expected_gain == pytest.approx(expected.sources[0].expected_gain, rel=1e-4)
    assert "3 of 93 outcomes left out: of another method" in line(told, "method")
    assert "2 of 90 outcomes left out" in line(told, "film_a>film_b")
    gains = exported[["source", "target", "seed", "gain"]]
    for table in (gains, load_outcomes(file)):
        again, _ = ask(table, folder)
        assert again.sources[0].expected_gain == pytest.approx(
            expected.sources[0].expected_gain, rel=1e-4
        )


def test_outcomes_of_shipped_pairs_are_averaged_with_them(data: Path, library: Library) -> None:
    frame = outcomes(targets=("film_a",), sources=("film_b",)).assign(score=0.75)
    extended, tasks = add_outcomes(library, [frame], mode="text")
    assert tasks == {}
    pairs, before = (
        lib.pairs.set_index(["setting", "source", "target"]) for lib in (extended, library)
    )
    key = (ONLY, "film_b", "film_a")
    assert pairs.loc[key, "runs"] == 4
    assert pairs.loc[key, "gain"] == pytest.approx((before.loc[key, "gain"] + 0.5) / 2)
    rest = before.drop(index=key)
    pd.testing.assert_frame_equal(
        pairs.loc[rest.index], rest, check_dtype=False, check_index_type=False
    )


@pytest.mark.parametrize("how", ["column", "option", "setting"])
def test_another_encoder_is_a_setting_of_its_own(data: Path, folder: Path, how: str) -> None:
    frame = outcomes()
    if how == "column":
        found, _ = ask(frame.assign(encoder="acme/bert-tiny"), folder)
    elif how == "option":
        found, _ = ask(frame, folder, encoder="acme/bert-tiny")
    else:
        other = frame.assign(score=frame["score"] - 0.1, setting="b")
        both = pd.concat([frame.assign(setting="a"), other.iloc[:-2]])
        found, _ = ask(both.assign(model="bert-tiny"), folder)
    assert found.model["setting"] == OWN_SETTING
    assert found.sources[0].source == "my_rain"
    assert "bert-tiny" in found.model["encoders"]
    # Gains of sources with outcomes are measured there, not those of the shipped setting.
    assert line(found.notes, "expected gains are those of").startswith(
        f"expected gains are those of {OWN_SETTING}"
    )
    assert set(found.model["figures"]) >= {"spearman", "coverage", "spearman_description"}


@pytest.mark.parametrize("n_targets", [1, MIN_OWN_TARGETS - 1])
@pytest.mark.parametrize("sources", [("film_a",), ("my_rain", *NAMES)])
def test_with_few_targets_the_shipped_calibration_is_kept(
    data: Path, library: Library, folder: Path, n_targets: int, sources: tuple[str, ...]
) -> None:
    frame = outcomes(targets=OWN[::-1][:n_targets], sources=sources)
    base = shipped_recommender(library, "text")
    own, _ = ask(frame, folder, encoder="bert-tiny")
    assert own.model["figures"] == base.figures(None)
    assert own.model["setting"] == "another encoder"
    note = line(own.notes, "your outcomes")
    assert f"fewer than {MIN_OWN_TARGETS}" in note
    assert "probabilities" in note
    pooled, _ = ask(frame, folder)
    assert pooled.model["figures"] == base.figures(ONLY)
    assert pooled.model["setting"] == ONLY
    assert "those of the shipped tables" in line(pooled.notes, "your outcomes")


def test_targets_that_share_all_examples_are_held_out_together(data: Path, tmp_path: Path) -> None:
    for name in OWN:
        write_csv(tmp_path / f"{name}.csv", make_task(name, RAIN, seed=70))
    found, _ = ask(outcomes(sources=NAMES), tmp_path, encoder="bert-tiny")
    assert found.model["setting"] == OWN_SETTING
    assert np.isfinite(found.model["figures"]["spearman"])


def test_a_target_with_own_outcomes_is_left_out_and_they_are_told(data: Path, folder: Path) -> None:
    settings = RecommendSettings(
        mode="text",
        outcomes=(outcomes(targets=OWN[:1]),),
        tasks_folder=folder,
        encoder="bert-tiny",
        top=20,
    )
    found = recommend(own_task("my_film"), settings)
    assert "my_film" not in [s.source for s in found.sources]
    assert "my_rain +15.1 %" in line(found.notes, "measured on this target already")
    # Without its own target the setting has no outcome: all is as for an unknown encoder.
    plain = recommend(own_task("my_film"), RecommendSettings(mode="text", encoder="bert-tiny", top=20))
    assert found.model["figures"] == plain.model["figures"]
    assert {s.source for s in found.sources if s.basis == DESCRIPTION} == set(OWN[1:])
    tried = [s for s in found.sources if s.basis == OUTCOMES]
    assert [s.source for s in tried] == [s.source for s in plain.sources]
    gains = [s.expected_gain for s in plain.sources]
    assert [s.expected_gain for s in tried] == pytest.approx(gains)


def test_tasks_that_ship_are_recognised_by_content(
    data: Path, library: Library, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_csv(folder / "renamed.csv", task_named("film_c"))
    # Another task under the name of one that ships.
    write_csv(folder / "rain_a.csv", make_task("rain_a", RAIN, seed=99))
    frame = outcomes(targets=("film_a", "film_b"), sources=("renamed", "rain_a", "ghost"))
    told: list[str] = []
    extended, tasks = add_outcomes(library, [frame], folder, mode="text", tell=told.append)
    assert extended.own is not None
    assert set(extended.own.pairs["source"]) == {"film_c", "rain_a (own)"}
    assert list(tasks) == ["rain_a (own)"] == list(extended.own.tasks)
    assert set(extended.profiles) - set(library.profiles) == {"rain_a (own)"}
    line(told, "renamed is the known task film_c")
    assert "4 of 12 outcomes left out" in line(told, "ghost")


def test_tasks_of_the_catalogue_need_no_file(atlas_library: Library) -> None:
    frame = outcomes(targets=NAMES, sources=("studio", "harbour-alias"))
    extended, tasks = add_outcomes(atlas_library, [frame], mode="text")
    assert tasks == {}
    assert {"studio", "harbour"} <= set(extended.sources)
    found = own_recommender(extended, "text")
    assert np.isfinite(found.gain_model.ridge.coef_).all()
    settings = RecommendSettings(mode="text", outcomes=(frame,), top=40)
    answer = recommend(make_task("cinema", FILM, seed=50), settings)
    assert [s.source for s in answer.sources].count("studio") == 1
    assert next(s for s in answer.sources if s.source == "studio").n_outcomes == 16


def test_what_was_computed_once_is_not_computed_again(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path))
    first, told = ask(outcomes(), folder)
    assert [one for one in told if one.startswith("describing")] == [
        f"describing {n}" for n in sorted(OWN)
    ]
    again, told = ask(outcomes(), folder)
    assert again.to_dict() == first.to_dict()
    assert not [one for one in told if one.startswith(("describing", "fitting"))]


def test_own_sources_are_chosen_by_name_or_file(data: Path, folder: Path) -> None:
    settings = RecommendSettings(mode="text", outcomes=(outcomes(),), tasks_folder=folder)
    target = make_task("cinema", FILM, seed=50)
    for given in (["my_rain", "film_a"], [str(folder / "my_rain.csv"), "film_a"]):
        found = recommend(target, settings, sources=given)
        assert [s.source for s in found.sources] == ["my_rain", "film_a"]
        assert found.sources[0].n_outcomes == 6


def test_a_folder_gives_the_same_answer(data: Path, folder: Path, tmp_path: Path) -> None:
    expected, _ = ask(outcomes(), folder)
    made = tm.fit_own_recommender(outcomes(), tm.OwnRecommenderSettings(tasks_folder=folder))
    made.save(tmp_path / "model")
    made.save(tmp_path / "model")
    found, told = ask(None, None, outcomes=(), model=tmp_path / "model")
    assert found.to_dict() == expected.to_dict()
    assert told == []
    frame = made.to_frame()
    assert frame["figures of"].eq(ONLY).all()
    assert frame["targets"].eq(4).all()
    assert made.to_dict()[0]["mode"] == "text"
    assert "88 own outcomes" in made.caption
    assert made.plot().get_ylabel()
    assert load_own_recommender(tmp_path / "model").library.digest == made.library.digest


@pytest.fixture(scope="module")
def fitted(data: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recommender of outcomes on one own target."""
    made = tm.fit_own_recommender(
        outcomes(targets=OWN[:1], sources=NAMES), tm.OwnRecommenderSettings(tasks_folder=folder)
    )
    place = tmp_path_factory.mktemp("fitted") / "model"
    made.save(place)
    return place


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "card.json").unlink(), "expected a folder written by"),
        (lambda folder: (folder / "outcomes.csv").write_text("x"), "outcomes.csv has changed"),
        (lambda folder: (folder / "vectors.npz").write_text("x"), "vectors.npz has changed"),
        (lambda folder: _edit(folder / "card.json", format=f"{FOLDER_FORMAT[:-1]}1"), "older version"),
        (
            lambda folder: (folder / "card.json").write_text("{}"),
            "not of a recommender with own outcomes",
        ),
        (lambda folder: (folder / "card.json").write_text("["), "corrupt"),
        (lambda folder: _edit(folder / "card.json", shipped_digest="0"), "fit it again"),
        (lambda folder: _edit(folder / "card.json", settings=[{}]), "corrupt"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    data: Path, fitted: Path, tmp_path: Path, change: Any, message: str
) -> None:
    shutil.copytree(fitted, tmp_path / "model")
    change(tmp_path / "model")
    with pytest.raises(InputError, match=message):
        ask(None, None, outcomes=(), model=tmp_path / "model")


def _edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks_folder": "x"}, "tasks_folder has no effect"),
        ({"model": "x", "outcomes": ("y",)}, "has its own outcomes"),
        ({"model": "x"}, "cannot read the model"),
        ({"outcomes": ("nowhere.csv",)}, "no such file"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    data: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recommend(make_task("cinema", FILM), RecommendSettings(mode="text", **settings))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (outcomes().drop(columns="baseline"), "no gains"),
        (outcomes().assign(gain=np.nan).drop(columns="baseline"), "no gains"),
        (outcomes(targets=("ghost",), sources=("spirit",)), "no outcome is of two known tasks"),
        (outcomes().assign(method="multitask"), "no outcome is of two known tasks"),
    ],
)
def test_a_table_of_nothing_to_learn_from_is_one_line(
    data: Path, folder: Path, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        ask(frame, folder)
    assert "\n" not in str(error.value)


def test_rows_without_a_gain_are_counted(data: Path, folder: Path) -> None:
    frame = outcomes()
    frame.loc[:2, "score"] = np.nan
    _, told = ask(frame, folder)
    line(told, "3 of 88 rows left out")


def test_borrowed_are_own_settings_with_few_targets(data: Path, folder: Path) -> None:
    library = open_library()
    assert borrowed_settings(library) == set()
    few = outcomes(targets=OWN[:1])
    for encoder, expected in (("bert-tiny", {OWN_SETTING}), (None, set())):
        extended, _ = add_outcomes(library, [few], folder, mode="text", encoder=encoder)
        assert borrowed_settings(extended) == expected
    extended, _ = add_outcomes(library, [outcomes()], folder, mode="text", encoder="bert-tiny")
    assert borrowed_settings(extended) == set()
