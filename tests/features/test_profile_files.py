from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.profile_files import load_profile, save_profile
from transfer_meta.features.task_profile import profile_task
from transfer_meta.records import Example, TaskProfile
from transfer_meta.tasks import Task


def profile(name: str, *texts: str) -> TaskProfile:
    examples = [Example(text, f"class {i % 2}") for i, text in enumerate(texts)]
    return profile_task(Task.from_iterable(name, "classification", {"train": examples}))


FILMS = profile("films", "a fine film", "no film at all", "a film", "the cast is fine")
WEATHER = profile("weather", "rain at noon", "a fine day", "no rain at all")


def test_round_trip(tmp_path: Path) -> None:
    save_profile(tmp_path / "films.json", FILMS)
    read = load_profile(tmp_path / "films.json")
    assert read.to_json() == FILMS.to_json()
    assert read.sketches.keys() == FILMS.sketches.keys()
    for name, array in FILMS.sketches.items():
        np.testing.assert_array_equal(read.sketches[name], array)


def test_pairs_of_read_profiles_have_the_same_features(tmp_path: Path) -> None:
    save_profile(tmp_path / "films.json", FILMS)
    again = load_profile(tmp_path / "films.json")
    pd.testing.assert_frame_equal(
        compare_profiles(sources=[again], target=WEATHER),
        compare_profiles(sources=[FILMS], target=WEATHER),
    )


def test_the_file_has_no_word_of_the_texts(tmp_path: Path) -> None:
    save_profile(tmp_path / "films.json", FILMS)
    words = set((tmp_path / "films.json").read_text().lower().replace('"', " ").split())
    assert not words & {"fine", "film", "cast"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*none.json': No such file"):
        load_profile(tmp_path / "none.json")


@pytest.mark.parametrize(
    "change",
    [
        {"sketches": {"types": ["<u8", "not base 64"]}},
        {"sketches": {"types": ["O", ""]}},
        {"sketches": {"types": ["<u8", "AAAA"]}},
        {"sketches": 3},
        {"type": "poetry"},
        {"features": None},
    ],
)
def test_a_broken_file_is_an_error_in_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "films.json"
    save_profile(path, FILMS)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="not a task profile, or a broken one"):
        load_profile(path)
    path.write_text("[" * 10)
    with pytest.raises(InputError, match="not a task profile, or a broken one"):
        load_profile(path)
