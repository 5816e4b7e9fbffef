from __future__ import annotations

import numpy as np
import pytest
from known_tasks import FILM, RAIN, make_task

from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.vectors.similarities import similarity_features
from transfer_meta.recommender.inputs import (
    COMPARED_STATISTICS,
    MODES,
    pair_columns,
    pair_table,
    similarities,
    task_features,
)
from transfer_meta.records import Example
from transfer_meta.tasks import Task

RANDOM = np.random.default_rng(3)
TARGET = {
    "tfidf": RANDOM.normal(size=5),
    "taskemb.a": RANDOM.normal(size=4),
    "taskemb.b": RANDOM.normal(size=4),
}
SOURCES = [{name: RANDOM.normal(size=len(v)) for name, v in TARGET.items()} for _ in range(6)]


def test_similarities_are_those_of_the_package() -> None:
    every = np.ones(6, dtype=bool)
    ours = similarities(target=TARGET, sources=SOURCES, reference=every)
    theirs = similarity_features(target=TARGET, sources={str(i): s for i, s in enumerate(SOURCES)})
    for column in ("mean_tfidf", "centred_tfidf", "mean_taskemb", "centred_taskemb"):
        np.testing.assert_allclose(ours[column], theirs[column], atol=1e-12)


def test_similarity_of_a_source_does_not_depend_on_others_asked_about() -> None:
    reference = np.array([True] * 5 + [False])
    alone = similarities(target=TARGET, sources=SOURCES, reference=reference)
    more = similarities(
        target=TARGET, sources=[*SOURCES, *SOURCES], reference=np.append(reference, [False] * 6)
    )
    np.testing.assert_allclose(more.iloc[:6].to_numpy(), alone.to_numpy())


def test_a_vector_that_a_source_lacks_is_unknown() -> None:
    frame = similarities(target=TARGET, sources=[{}, SOURCES[0]], reference=np.ones(2, dtype=bool))
    assert np.isnan(frame.loc[0, "mean_tfidf"])
    assert np.isfinite(frame.loc[1, "mean_tfidf"])
    assert frame["centred_tfidf"].isna().all()  # two sources have no centre


def test_few_statistics_and_the_type() -> None:
    profile = profile_task(make_task("t", FILM))
    features = task_features([profile], "text")
    assert features.loc["t", "n_labels"] == 2
    assert features.loc["t", "length_mean"] == 10
    assert features.loc["t", "type_classification"] == 1
    assert features.loc["t", "type_regression"] == 0
    assert set(COMPARED_STATISTICS) <= set(features)
    assert "loss_done_30" in task_features([profile], "measured")


def test_a_target_of_generation_has_the_columns_of_the_others() -> None:
    task = Task.from_iterable("g", "generation", {"train": [Example("grey sky", ("rain",))]})
    features = task_features([profile_task(task), profile_task(make_task("t", FILM))], "text")
    assert list(features) == list(task_features([profile_task(make_task("t", FILM))], "text"))
    types = [name for name in features if name.startswith("type_")]
    assert features.loc["g", types].sum() == 0
    assert np.isnan(features.loc["g", "n_labels"])
    assert features.loc["g", "length_mean"] == 2


@pytest.mark.parametrize("mode", MODES)
def test_pair_table_has_the_columns_of_its_mode(mode: str) -> None:
    target, source = (profile_task(make_task(n, w)) for n, w in (("t", FILM), ("s", RAIN)))
    vectors = {"t": TARGET, "s": SOURCES[0]}
    frame = pair_table(target=target, sources=[source], vectors=vectors, reference=[True], mode=mode)
    assert list(frame) == ["source", "target", *pair_columns(mode)]
    assert frame.loc[0, "same_type"] == 1
