from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from known_tasks import DATA_FOLDER, NAMES

from transfer_meta.errors import InputError
from transfer_meta.recommender.library import Library, methods_of, open_library


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
    assert len(library.outcomes.runs) == len(beside)
    assert len(usual.outcomes.runs) == len(rows)


def test_no_model_for_a_method_without_outcomes(data: Path) -> None:
    with pytest.raises(
        InputError, match=r"no outcomes of method 'multitask' .*\(it has: intermediate\)"
    ):
        open_library(method="multitask")


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
    assert library.sources == NAMES
    assert library.examples == (100, 40)
    assert library.count_outcomes("film_a") == 14
    assert library.count_outcomes("film_a", without="film_b") == 12
