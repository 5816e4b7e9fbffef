from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.evaluation.splits import PROTOCOLS

ALL_PAIRS = np.array(list(permutations([f"task{i}" for i in range(10)], 2)))
SOURCE, TARGET = ALL_PAIRS.T

pair_tables = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")).filter(lambda p: p[0] != p[1]),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(pairs=pair_tables)
def test_every_pair_is_tested_once_and_never_trained_on_in_its_fold(name: str, pairs) -> None:
    source, target = np.array(pairs).T
    try:
        folds = list(PROTOCOLS[name].folds(source, target))
    except InputError:  # too small a table: tested below
        return
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == list(range(len(pairs)))
    for train, test in folds:
        assert len(train)
        assert len(test)
        assert not set(train) & set(test)
        if name == "leave-one-target-out":
            assert len(set(target[test])) == 1
            assert set(train) == set(np.flatnonzero(target != target[test[0]]))
        if name == "leave-one-task-out":
            held = target[test[0]]
            assert set(target[test]) == {held}
            assert set(train) == set(np.flatnonzero((source != held) & (target != held)))
        if name == "leave-one-source-out":
            held = source[test[0]]
            assert set(source[test]) == {held}
            assert set(train) == set(np.flatnonzero((source != held) & (target != held)))
        if name == "leave-two-tasks-out":
            held_out = {source[test[0]], target[test[0]]}
            assert all({source[row], target[row]} == held_out for row in test)
            expected = {i for i, pair in enumerate(pairs) if not held_out & set(pair)}
            assert set(train) == expected


def test_fold_counts_and_sizes_of_ten_tasks() -> None:
    sizes = {
        name: {(len(train), len(test)) for train, test in protocol.folds(SOURCE, TARGET)}
        for name, protocol in PROTOCOLS.items()
    }
    assert sizes == {
        "pairs-5fold": {(72, 18)},
        "leave-one-target-out": {(81, 9)},
        "leave-one-task-out": {(72, 9)},
        "leave-one-source-out": {(72, 9)},
        "leave-two-tasks-out": {(56, 2)},
    }
    assert len(list(PROTOCOLS["leave-two-tasks-out"].folds(SOURCE, TARGET))) == 45


def test_repeats_are_shuffled_and_do_not_depend_on_each_other() -> None:
    def folds(**setting: int) -> list[list[int]]:
        return [test.tolist() for _, test in PROTOCOLS["pairs-5fold"].folds(SOURCE, TARGET, **setting)]

    assert folds(seed=1, repeat=3) == folds(seed=1, repeat=3)
    assert folds(seed=1, repeat=3) != folds(seed=1, repeat=4)
    assert folds(seed=1, repeat=3) != folds(seed=2, repeat=3)
    assert [p.is_shuffled for p in PROTOCOLS.values()] == [True, *[False] * 4]


@pytest.mark.parametrize(
    ("name", "pairs", "message"),
    [
        ("pairs-5fold", ["ab", "ba", "ac", "ca"], "at least 5 pairs, got 4"),
        ("leave-one-target-out", ["ab", "cb"], "at least two targets, got 1"),
        ("leave-one-task-out", ["ab", "ba"], "no pair to train on without task 'a'"),
        ("leave-one-source-out", ["ab", "ba"], "no pair to train on without task 'a'"),
        ("leave-two-tasks-out", ["ab", "bc", "ca"], "without tasks 'a' and 'b'"),
    ],
)
def test_tables_too_small(name: str, pairs: list[str], message: str) -> None:
    source, target = np.array([list(pair) for pair in pairs]).T
    with pytest.raises(InputError, match=message):  # before the first fold is asked for
        PROTOCOLS[name].folds(source, target)


def test_sources_that_are_never_targets() -> None:
    source, target = np.array([["s", "a"], ["s", "b"], ["t", "a"], ["t", "b"]]).T
    for name in PROTOCOLS:
        if name == "pairs-5fold":
            continue
        assert list(PROTOCOLS[name].folds(source, target))


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="do not match"):
        PROTOCOLS["pairs-5fold"].folds(["a", "b"], ["c"])
