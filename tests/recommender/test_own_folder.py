"""Folders of recommenders with own outcomes: edited, they answer as before or are refused in one line."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_tasks import FILM, NAMES, RAIN, make_task, true_gain, write_csv
from model_mutations import (
    ODD_TOKENS,
    Files,
    edit_json,
    edit_text,
    run_edits,
)

import transfer_meta as tm
from transfer_meta.recommender import own_folder
from transfer_meta.recommender.describe_target import TargetDescription, describe_target
from transfer_meta.recommender.library import open_library
from transfer_meta.recommender.own_recommender import load_own_recommender
from transfer_meta.recommender.recommend import RecommendSettings, recommend_described

N_EDITS = 320
OUTCOMES, VECTORS = "outcomes.csv", "vectors.npz"


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recommender with the outcomes of two tasks that do not ship, in mode text."""
    place = tmp_path_factory.mktemp("own")
    (place / "tasks").mkdir()
    for name, words in (("my_film", FILM), ("my_rain", RAIN)):
        write_csv(place / "tasks" / f"{name}.csv", make_task(name, words, seed=len(name)))
    rows = [
        {"source": source, "target": target, "baseline": 0.5, "score": 0.5 + 0.5 * true_gain(source, target[3:])}
        for target in ("my_film", "my_rain")
        for source in NAMES
    ]  # fmt: skip
    settings = tm.OwnRecommenderSettings(tasks_folder=place / "tasks", encoder="bert-tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFER_META_CACHE", str(place / "cache"))
        patch.setattr("transfer_meta.recommender.own_recommender.best_mode", lambda _: "text")
        tm.fit_own_recommender(pd.DataFrame(rows), settings).save(place / "model")
    return place / "model"


@pytest.fixture(scope="module")
def target(data: Path) -> TargetDescription:
    return describe_target(make_task("cinema", FILM, seed=50), open_library(), "text")


@pytest.fixture(scope="module")
def ask(target: TargetDescription) -> Callable[[Path], pd.DataFrame]:
    """Load a folder and rank sources for a target."""

    def answer(folder: Path) -> pd.DataFrame:
        found = load_own_recommender(folder)
        settings = RecommendSettings(mode="text", encoder="bert-tiny", top=50, checkpoints=0)
        said = recommend_described(target, found.library, found.models["text"], settings)
        assert str(said)
        assert str(found)
        return said.to_frame()[["source", "probability", "expected_gain", "low", "high", "n_outcomes"]]

    return answer


def edit_any_json(draw: random.Random, files: Files) -> tuple[Files, bool]:
    name = draw.choice([n for n in files if n.endswith(".json")])
    files, strict = edit_json(draw, files, name)
    # A description of a task with an unknown feature is another description.
    return files, strict and not name.startswith("profiles/")


def edit_any_text(draw: random.Random, files: Files) -> tuple[Files, bool]:
    after, strict = edit_text(draw, files)
    # Outcomes may be of another number, and tasks described by another one.
    free = (OUTCOMES, "profiles/")
    return after, strict and not any(after.get(n) != files[n] for n in files if n.startswith(free))


def edit_cells(draw: random.Random, files: Files) -> tuple[Files, bool]:
    """A cell, a row or a column of the outcomes replaced."""
    rows = [line.split(",") for line in files[OUTCOMES].splitlines()]
    place = draw.randrange(len(rows))
    match draw.randrange(5):
        case 0:
            rows.append(rows[place])
        case 1:
            del rows[place]
        case 2:
            rows = [row[1:] for row in rows]
        case _:
            tokens = (*ODD_TOKENS, "-1", "0", "1e300", "9" * 40, "film_a", "ghost", "=1+1", '"')
            rows[place][draw.randrange(len(rows[0]))] = draw.choice(tokens)
    return files | {OUTCOMES: "\n".join(map(",".join, rows)) + "\n"}, False


def edit_vectors(draw: random.Random, files: Files) -> tuple[Files, bool]:
    """An array of the vectors replaced, or bytes of the archive."""
    if draw.random() < 0.5:
        data = bytearray(files[VECTORS])
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return files | {VECTORS: bytes(data[: draw.choice((None, len(data) // 2))])}, False
    with np.load(io.BytesIO(files[VECTORS])) as file:
        arrays = {name: file[name] for name in file.files}
    name = draw.choice(list(arrays))
    array = np.asarray(arrays[name])
    shorter = array[:-1] if array.ndim else 1
    odd = (np.float32(1), np.zeros(0, np.float32), np.full(3, np.nan), np.array(["x"]), shorter,
           np.zeros((2, 2)), array * 1e30 if array.dtype.kind == "f" else array)  # fmt: skip
    arrays[draw.choice((name, "x", "x/y", "0.json/text", "/"))] = draw.choice(odd)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return files | {VECTORS: out.getvalue()}, False


def test_an_edited_folder_answers_as_before_or_is_refused_in_one_line(
    folder: Path,
    tmp_path: Path,
    ask: Callable[[Path], pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The tables that ship are read once.
    monkeypatch.setattr(own_folder, "open_library", functools.cache(open_library))
    edits = (edit_any_json, edit_any_json, edit_any_text, edit_cells, edit_vectors)
    accepted, broken = run_edits(folder, tmp_path / "edited", ask, edits, N_EDITS, 0, same_rows=False)
    assert broken == []
    assert accepted < N_EDITS / 2
