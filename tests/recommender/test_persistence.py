from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.model import load_model
from transfer_meta.recommender.fitting import fit_recommender
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import load_recommender, shipped_recommender
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
        loaded.gain_model.expected(X, own, every), fitted.gain_model.expected(X, own, every)
    )
    assert loaded.card["figures"] == fitted.card["figures"]
    assert (loaded.conformal, loaded.conformal_new) == (fitted.conformal, fitted.conformal_new)
    assert loaded.domain == fitted.domain
    assert {p.suffix for p in (data / "minilm_grid/models/text").iterdir()} == {".json", ".csv"}


def test_a_changed_model_is_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data / "minilm_grid/models/text", folder)
    (folder / "state.json").write_text((folder / "state.json").read_text().replace("0", "1", 1))
    with pytest.raises(InputError, match="corrupt"):
        load_recommender(folder)


def test_a_model_of_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data / "minilm_grid/models/text", folder)
    card = json.loads((folder / "card.json").read_text())
    del card["advisor"]
    (folder / "card.json").write_text(json.dumps(card))
    load_model(folder)
    with pytest.raises(InputError, match="not of a recommender"):
        load_recommender(folder)
