from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_tasks import ALL_NAMES, FILM, NEVER_TRIED, make_task

from transfer_meta.errors import InputError
from transfer_meta.model import load_model
from transfer_meta.recommender.catalogue_facts import VECTORS_FILE, catalogue_vectors
from transfer_meta.recommender.describe_target import describe_target
from transfer_meta.recommender.fitting import fit_recommender
from transfer_meta.recommender.inputs import BASES, DESCRIPTION, OUTCOMES, SCORES, task_features
from transfer_meta.recommender.library import Library, open_library
from transfer_meta.recommender.persistence import (
    load_recommender,
    rebuild,
    save_recommender,
    shipped_models,
    shipped_recommender,
)
from transfer_meta.recommender.recommend import RecommendSettings, recommend_described
from transfer_meta.recommender.training_pairs import TrainingPairs


def test_fitted_again_from_the_same_data_it_is_the_same(data: Path, library: Library) -> None:
    fitted, loaded = fit_recommender(library, "text"), shipped_recommender(library, "text")
    assert loaded.gain_model.to_dict() == fitted.gain_model.to_dict()
    np.testing.assert_array_equal(loaded.gain_model.ridge.coef_, fitted.gain_model.ridge.coef_)
    training = TrainingPairs.from_library(library, "text")
    X = training.X[training.X["target"] == "film_a"].reset_index(drop=True)
    own, every = (
        training.target_features.loc["film_a"].to_numpy(dtype=float),
        np.ones(len(X), dtype=bool),
    )
    np.testing.assert_array_equal(
        loaded.gain_model.expected(X, own, every, "toy-mini, 40 examples"),
        fitted.gain_model.expected(X, own, every, "toy-mini, 40 examples"),
    )
    assert loaded.card["figures"] == fitted.card["figures"]
    assert loaded.conformal == fitted.conformal
    assert list(loaded.conformal) == [OUTCOMES, DESCRIPTION]
    assert loaded.domain == fitted.domain
    assert {p.suffix for p in (data / "atlas/text").iterdir()} == {".json", ".csv"}


def test_a_changed_model_is_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data / "atlas/text", folder)
    (folder / "state.json").write_text((folder / "state.json").read_text().replace("0", "1", 1))
    with pytest.raises(InputError, match="corrupt"):
        load_recommender(folder)


def test_a_model_of_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data / "atlas/text", folder)
    card = json.loads((folder / "card.json").read_text())
    del card["advisor"]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="of a recommender, not of a predictor of pairs"):
        load_model(data / "atlas/text")
    with pytest.raises(InputError, match="not of a recommender"):
        load_recommender(folder)


@pytest.mark.parametrize("encoder", [None, "toy-encoder", "another"])
def test_a_saved_recommender_gives_the_same_answer(
    atlas_library: Library, tmp_path: Path, encoder: str | None
) -> None:
    loaded = shipped_recommender(atlas_library, "text")
    tasks = task_features(list(atlas_library.profiles.values()), "text")
    save_recommender(loaded, tmp_path / "again", tasks)
    again = load_recommender(tmp_path / "again")
    settings = RecommendSettings(mode="text", top=20, encoder=encoder, checkpoints=0)
    target = describe_target(make_task("cinema", FILM, seed=50), atlas_library, "text")
    answers = [recommend_described(target, atlas_library, r, settings) for r in (loaded, again)]
    assert answers[0] == answers[1]
    assert len(answers[0].sources) == 16


def test_a_recommender_of_mode_sources_is_the_same_after_a_round_trip(
    scored_library: Library, tmp_path: Path
) -> None:
    loaded = shipped_recommender(scored_library, "sources")
    tasks = task_features(list(scored_library.profiles.values()), "sources")
    save_recommender(loaded, tmp_path / "again", tasks)
    again = load_recommender(tmp_path / "again")
    assert again.gain_model.to_dict() == loaded.gain_model.to_dict()
    assert again.conformal == loaded.conformal
    assert again.card["figures"] == loaded.card["figures"]
    assert tuple(loaded.conformal) == (OUTCOMES, DESCRIPTION, SCORES)
    assert set(loaded.conformal) == set(BASES)
    for name, coefficients in loaded.gain_model.untried.items():
        np.testing.assert_array_equal(again.gain_model.untried[name], coefficients)
        assert coefficients.shape == (len(loaded.gain_model.columns),)
    for scale in (*loaded.gain_model.scales.values(), loaded.gain_model.unknown):
        assert set(scale.platt) == set(BASES)


def test_no_model_of_mode_sources_without_scores(
    atlas_library: Library, scored_library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transfer_meta.recommender.persistence.MODES", ("text", "sources"))
    fitted = shipped_recommender(scored_library, "sources")
    monkeypatch.setattr(
        "transfer_meta.recommender.persistence.fit_recommender", lambda *_, **__: fitted
    )
    for library, made in ((atlas_library, ["text"]), (scored_library, ["text", "sources"])):
        monkeypatch.setattr(
            "transfer_meta.recommender.persistence.open_library", lambda *_, found=library, **__: found
        )
        assert list(rebuild("minilm-grid", tmp_path)) == made


def test_models_of_the_atlas_and_of_a_table(atlas: Path, atlas_library: Library) -> None:
    assert list(shipped_models("atlas")) == ["encoder", "text"]
    assert shipped_models("taskweb") == {}
    with pytest.raises(
        InputError, match=r"mode 'measured' ships with 'atlas' \(it has: encoder, text\)"
    ):
        shipped_recommender(atlas_library, "measured")
    with pytest.raises(InputError, match=r"ships with 'taskweb' \(it has: none\)"):
        shipped_recommender(open_library("taskweb"), "text")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda card: card.pop("conformal"),
        lambda card: card.update(conformal=[]),
        lambda card: card["conformal"]["outcomes"].update(other={"coverage": 0.9}),
        # What the first version wrote: intervals by setting.
        lambda card: card.update(conformal=card["conformal"]["outcomes"]),
        lambda card: card.update(domain=[]),
        lambda card: card["advisor"].pop("scales"),
        lambda card: card["advisor"].pop("untried"),
        lambda card: card["advisor"]["unknown"].update(platt=[1.0, 0.0]),
        lambda card: card["advisor"]["level"].update(centre="x"),
        lambda card: card["advisor"].update(unknown=None),
        lambda card: card.update(advisor=3),
    ],
)
def test_a_corrupt_card_is_refused_in_one_line(
    data: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], object]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data / "atlas/text", folder)
    card = json.loads((folder / "card.json").read_text())
    spoil(card)
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="corrupt") as error:
        load_recommender(folder)
    assert "\n" not in str(error.value)


def test_a_card_that_is_no_json_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data / "atlas/text", folder)
    (folder / "card.json").write_text((folder / "card.json").read_text()[:-20])
    with pytest.raises(InputError) as error:
        load_recommender(folder)
    assert "\n" not in str(error.value)


def test_vectors_of_the_descriptions_lie_beside_the_models(atlas: Path) -> None:
    found = catalogue_vectors()
    assert set(found) == {*ALL_NAMES, *NEVER_TRIED}
    assert {tuple(sorted(vectors)) for vectors in found.values()} == {("descemb", "desctext")}
    (atlas / "atlas" / VECTORS_FILE).stat()
