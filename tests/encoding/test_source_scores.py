from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from source_samples import ENCODER, changed_encoder, save_sample, source_of
from tiny_tasks import tiny
from toys import toy_task

from transfer_meta.encoding import source_scores as module
from transfer_meta.encoding.encoders import save_encoder
from transfer_meta.encoding.score_settings import ScoreSettings
from transfer_meta.encoding.source_encoders import (
    load_source_encoder,
    save_source_encoder,
)
from transfer_meta.encoding.source_scores import (
    SOURCE_SCORES,
    SourceScoreSettings,
    score_source_encoders,
)
from transfer_meta.encoding.transferability import transferability_table
from transfer_meta.errors import InputError
from transfer_meta.records import TYPES_WITH_HEADS, Example, TaskType
from transfer_meta.tasks import Task

SETTINGS = SourceScoreSettings(precision="fp32", workers=1)
NUMBERS = {"h_score", "h_score_shrunk", "transrate", "logme", "leep", "gbc"}
"""Scores that are smooth in the vectors; accuracies of neighbours and classes of examples may differ by a few."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three source encoders, one without a head."""
    folder = tmp_path_factory.mktemp("sources")
    types = (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION, TaskType.REGRESSION)
    return {
        str(type): save_sample(folder / f"{type}.safetensors", tiny(type), seed=seed)
        for seed, type in enumerate(types)
    }


@pytest.mark.parametrize("type", TYPES_WITH_HEADS)
def test_scores_are_those_of_the_full_checkpoint(type: TaskType, tmp_path: Path) -> None:
    target = toy_task(type, name="target", train=60)
    source = replace(tiny(TaskType.CLASSIFICATION), name="films")
    changed = changed_encoder()
    save_encoder(changed, tmp_path / "full.safetensors")
    save_source_encoder(source_of(changed, source), tmp_path / "films.safetensors")
    found = score_source_encoders(target, {"films": tmp_path / "films.safetensors"}, SETTINGS)
    assert list(found) == list(SOURCE_SCORES)
    settings = ScoreSettings(
        encoder=ENCODER,
        checkpoint={"films": tmp_path / "full.safetensors"},
        head_steps=20,
        steps=1,
    )
    table = transferability_table(target, [source], settings)
    for name in SOURCE_SCORES:
        small, full = found.at["films", name], table.at[0, name]
        tolerance = {"rel": 0.05, "abs": 0.02} if name in NUMBERS else {"abs": 0.1}
        assert small == pytest.approx(full, nan_ok=True, **tolerance), name
    has_classes = type is not TaskType.REGRESSION
    assert found.loc["films", ["leep", "nce"]].notna().all() == has_classes
    assert np.isfinite(found.at["films", "logme"])


def test_every_source_has_scores_of_its_own(files: dict[str, Path]) -> None:
    target = toy_task(TaskType.CLASSIFICATION, train=40)
    found = score_source_encoders(target, files, SETTINGS)
    assert list(found.index) == list(files)
    assert found["logme"].nunique() == len(files)
    assert found["leep"].notna().tolist() == [True, True, False]


def test_threads_do_not_change_results(files: dict[str, Path]) -> None:
    target = toy_task(TaskType.TOKEN_CLASSIFICATION, train=40)
    one, three = (
        score_source_encoders(target, files, replace(SETTINGS, workers=n, cache=False)) for n in (1, 3)
    )
    pd.testing.assert_frame_equal(one, three, check_exact=True)


def test_what_is_cached_is_not_read_again(
    files: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = toy_task(TaskType.CLASSIFICATION, train=40)
    calls: list[tuple[int, int]] = []
    first = score_source_encoders(target, files, SETTINGS, on_progress=lambda *n: calls.append(n))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "LabelledReader", None)
        patch.setattr(module, "load_encoder", None)
        # Neither the name of the target nor the number of threads counts.
        again = score_source_encoders(
            replace(target, name=target.name), files, replace(SETTINGS, workers=2)
        )
        pd.testing.assert_frame_equal(first, again, check_exact=True)
        for changed in ({"max_length": 16}, {"cache": False}, {"examples": 10}):
            with pytest.raises(TypeError):
                score_source_encoders(target, files, replace(SETTINGS, **changed))
    broken = next(cache.rglob("*.json"))
    broken.write_text("{")
    pd.testing.assert_frame_equal(first, score_source_encoders(target, files, SETTINGS))
    assert set(json.loads(broken.read_text())) == set(SOURCE_SCORES)


def test_a_cache_that_cannot_be_written_does_not_matter(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "file"))
    target = toy_task(TaskType.CLASSIFICATION, train=40)
    assert len(score_source_encoders(target, files, SETTINGS)) == 3


def test_many_vectors_are_drawn_from(files: dict[str, Path]) -> None:
    target = toy_task(TaskType.TOKEN_CLASSIFICATION, train=40)
    few = score_source_encoders(target, files, replace(SETTINGS, max_vectors=30))
    assert few["logme"].notna().all()
    assert not few.equals(score_source_encoders(target, files, SETTINGS))


def _edited(file: Path, to: Path, **facts: str) -> Path:
    source = load_source_encoder(file)
    save_source_encoder(replace(source, facts=replace(source.facts, **facts)), to)
    return to


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"encoder": "random:1x16"}, f"source encoders of several encoders: random:1x16, {ENCODER}"),
        ({"revision": "old"}, "'b' was trained from another version of encoder"),
    ],
)
def test_encoders_that_do_not_go_together_are_refused(
    facts: dict[str, str], message: str, files: dict[str, Path], tmp_path: Path
) -> None:
    file = files["classification"]
    given = {"a": file, "b": _edited(file, tmp_path / "b.safetensors", **facts)}
    with pytest.raises(InputError, match=message):
        score_source_encoders(toy_task(TaskType.CLASSIFICATION, train=40), given, SETTINGS)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (replace(tiny(TaskType.CLASSIFICATION), is_labelled=False), "has no labels"),
        (Task.from_iterable("none", "classification", {"train": []}), "no training examples"),
        (
            Task.from_iterable("odd", "regression", {"train": [Example("a", "seven")]}),
            "task 'odd'",
        ),
    ],
)
def test_a_target_that_cannot_be_scored_is_refused(
    target: Task, message: str, files: dict[str, Path]
) -> None:
    with pytest.raises(InputError, match=message) as error:
        score_source_encoders(target, files, SETTINGS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["examples", "max_vectors", "max_length", "max_tokens"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} = 0"):
        SourceScoreSettings(**{name: 0})


def test_transferability_takes_a_source_encoder_for_a_checkpoint(tmp_path: Path) -> None:
    target = toy_task(TaskType.CLASSIFICATION, name="target", train=40)
    source = replace(tiny(TaskType.CLASSIFICATION), name="films")
    changed = changed_encoder()
    save_encoder(changed, tmp_path / "full.safetensors")
    save_source_encoder(source_of(changed, source), tmp_path / "stored.safetensors")
    found = [
        transferability_table(
            target,
            [source],
            ScoreSettings(encoder=ENCODER, checkpoint={"films": tmp_path / name}, steps=1),
        )
        for name in ("full.safetensors", "stored.safetensors", "stored.safetensors")
    ]
    numbers = [frame[sorted(NUMBERS)].to_numpy(dtype=float) for frame in found]
    np.testing.assert_allclose(numbers[1], numbers[0], rtol=0.05)
    np.testing.assert_array_equal(numbers[2], numbers[1])
    plain = transferability_table(target, [source], ScoreSettings(encoder=ENCODER, steps=1))
    assert plain["logme"].iloc[0] != found[1]["logme"].iloc[0]
