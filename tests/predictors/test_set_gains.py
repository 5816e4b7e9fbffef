"""Expected gains of sets, and the best sets of a size, against all combinations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.predictors.set_gains import best_sets, expected_set_gains
from transfer_meta.tasks.source_sets import SourceSet

CANDIDATES = pd.DataFrame(
    {
        "gain": [0.02, 0.1, -0.04, 0.06],
        "low": [-0.1, 0.0, -0.2, 0.0],
        "high": [0.2, 0.2, 0.1, 0.1],
        "similarity": [0.1, 0.9, 0.3, 0.2],
    },
    index=["a", "b", "c", "d"],
)


def test_a_set_has_the_means_of_its_members() -> None:
    found = expected_set_gains(
        [SourceSet(("a", "b", "c"), ordered=True), SourceSet(("b",))], CANDIDATES
    )
    assert found["source"].tolist() == ["a>b>c", "b"]
    assert found["gain"].tolist() == pytest.approx([0.08 / 3, 0.1])
    assert found["low"].tolist() == pytest.approx([-0.1, 0.0])
    assert found["high"].tolist() == pytest.approx([0.5 / 3, 0.2])
    assert found["over_best"].tolist() == pytest.approx([0.08 / 3 - 0.1, 0.0])


def test_the_nearest_source_of_a_chain_comes_last() -> None:
    assert best_sets(CANDIDATES, 3, ordered=True, n=1)["source"].tolist() == ["a>d>b"]
    bare = CANDIDATES.drop(columns="similarity")
    assert best_sets(bare, 3, ordered=True, n=1)["source"].tolist() == ["b>d>a"]
    assert best_sets(CANDIDATES, 3, n=1)["source"].tolist() == ["b+d+a"]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_best_sets_are_those_of_all_combinations(size: int) -> None:
    gains = np.random.default_rng(size).normal(size=9).round(6)
    candidates = pd.DataFrame(
        {"gain": gains, "low": gains - 1, "high": gains + 1}, index=list("abcdefghi")
    )
    every = sorted((np.mean(members) for members in combinations(gains, size)), reverse=True)[:7]
    found = best_sets(candidates, size, n=7)
    assert found["gain"].tolist() == pytest.approx(every)
    assert (found["over_best"] <= 1e-12).all()
    assert found["source"].is_unique


@pytest.mark.parametrize(
    ("candidates", "size", "message"),
    [
        (CANDIDATES, 5, "5 sources at once, of 4 candidates"),
        (CANDIDATES, 0, "0 sources at once"),
        (CANDIDATES.drop(columns="low"), 2, "lack the column 'low'"),
        (CANDIDATES.iloc[:0], 1, "no candidates"),
        (CANDIDATES.rename(index={"a": "b"}), 1, "candidate 'b' occurs twice"),
        (CANDIDATES.rename(index={"a": "x+y"}), 1, r"candidate 'x\+y' is a set of sources itself"),
    ],
)
def test_what_cannot_be_used_is_refused(candidates: pd.DataFrame, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        best_sets(candidates, size)


def test_no_set_or_an_unknown_member() -> None:
    with pytest.raises(InputError, match="number of sets must be at least 1, got 0"):
        best_sets(CANDIDATES, 1, n=0)
    with pytest.raises(InputError, match="source 'z' of a set is no candidate"):
        expected_set_gains([SourceSet(("a", "z"))], CANDIDATES)
