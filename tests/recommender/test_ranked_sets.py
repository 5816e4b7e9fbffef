from __future__ import annotations

import pandas as pd
import pytest
from known_tasks import FILM, RAIN, make_task

from transfer_meta.features.task_profile import profile_task
from transfer_meta.recommender.ranked_sets import MAX_SETS, rank_sets
from transfer_meta.records import TaskProfile, TaskType

GAINS = {"first": 0.4, "copy": 0.3, "second": 0.2, "third": 0.1}


def _profiles() -> dict[str, TaskProfile]:
    seeds = {"first": (FILM, 1), "copy": (FILM, 1), "second": (FILM, 2), "third": (RAIN, 3)}
    return {n: profile_task(make_task(n, words, seed=seed)) for n, (words, seed) in seeds.items()}


def _candidates(gains: dict[str, float]) -> pd.DataFrame:
    frame = pd.DataFrame({"gain": gains})
    return frame.assign(low=frame["gain"] - 1, high=frame["gain"] + 1)


def test_of_sources_with_the_same_texts_one_is_used() -> None:
    sets, notes = rank_sets(
        _candidates(GAINS), _profiles(), 2, ordered=True, n=5, best_gain=GAINS["first"]
    )
    assert [one.source for one in sets] == ["first>second", "first>third", "second>third"]
    assert notes[0] == "left out of sets, most examples are those of another one: copy (of first)"
    assert sets[0].over_best == pytest.approx(-0.1)
    assert (sets[0].low, sets[0].high) == pytest.approx((-0.7, 1.3))
    none, notes = rank_sets(_candidates(GAINS), _profiles(), 4, ordered=True, n=5, best_gain=0.4)
    assert none == ()
    assert notes[-1] == "no set of 4 sources: 3 are ranked by more than a description"


def test_the_nearest_source_comes_last_where_similarities_are_known() -> None:
    nearness = {"first": 0.9, "copy": 0.0, "second": 0.1, "third": 0.5}
    frame = _candidates(GAINS).assign(similarity=pd.Series(nearness))
    sets, _ = rank_sets(frame, _profiles(), 3, ordered=True, n=1, best_gain=0.4)
    assert [one.source for one in sets] == ["second>third>first"]


def test_names_with_a_sign_of_sets_are_in_none_and_sets_are_few() -> None:
    names = [f"task {i}" for i in range(20)]
    gains = {"c++": 0.9, "a>b": 0.8, **dict.fromkeys(names, 0.1)}
    bare = {name: TaskProfile(name, TaskType.CLASSIFICATION, {}) for name in gains}
    sets, _ = rank_sets(_candidates(gains), bare, 5, ordered=False, n=10**6, best_gain=0.9)
    assert len(sets) == MAX_SETS
    assert {name for one in sets for name in one.members} <= set(names)
