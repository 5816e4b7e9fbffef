from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.evaluation.splits import PROTOCOLS, protocols_of

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
        if not protocol.is_of_sets
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
    assert [p.is_shuffled for p in PROTOCOLS.values()] == [True, *[False] * 5]


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
        if name == "pairs-5fold" or PROTOCOLS[name].is_of_sets:
            continue
        assert list(PROTOCOLS[name].folds(source, target))


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="do not match"):
        PROTOCOLS["pairs-5fold"].folds(["a", "b"], ["c"])


set_tables = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True),
        st.sampled_from("+>"),
        st.sampled_from("tuv"),
    ),
    min_size=2,
    max_size=25,
)


@given(rows=set_tables)
def test_leave_set_out_trains_on_no_set_that_contains_the_tested_one(rows) -> None:
    source = np.array([sign.join(members) for members, sign, _ in rows])
    target = np.array([target for *_, target in rows])
    sets = [frozenset(members) for members, *_ in rows]
    try:
        folds = list(PROTOCOLS["leave-set-out"].folds(source, target))
    except InputError:  # no set, or a fold without training pairs
        return
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(rows)))
    for train, test in folds:
        held = sets[test[0]]
        assert {(sets[row], target[row]) for row in test} == {(held, target[test[0]])}
        assert set(train) == {
            row for row in range(len(rows)) if target[row] != target[test[0]] or not held <= sets[row]
        }


@given(rows=set_tables)
@pytest.mark.parametrize("name", ["leave-one-task-out", "leave-one-source-out", "leave-two-tasks-out"])
def test_every_task_of_a_set_is_in_its_pair(name: str, rows) -> None:
    source = np.array([sign.join(members) for members, sign, _ in rows])
    target = np.array([f"{target}" for *_, target in rows])
    tasks = [{*members, target} for members, _, target in rows]
    try:
        folds = list(PROTOCOLS[name].folds(source, target))
    except InputError:
        return
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(rows)))
    for train, test in folds:
        first = test[0]
        held = {
            "leave-one-task-out": {target[first]},
            "leave-one-source-out": tasks[first] - {target[first]},
            "leave-two-tasks-out": tasks[first],
        }[name]
        assert set(train) == {row for row in range(len(rows)) if not held & tasks[row]}


def test_single_sources_alone_are_no_table_of_sets() -> None:
    with pytest.raises(InputError, match=r"needs sets of sources.*single sources only"):
        PROTOCOLS["leave-set-out"].folds(SOURCE, TARGET)
    names = {protocol.name for protocol in protocols_of(SOURCE, TARGET)}
    assert set(PROTOCOLS) - names == {"leave-set-out"}
    assert {p.name for p in protocols_of(["a+b", "c"], ["t", "t"])} == set(PROTOCOLS)
    # A target's name is that of a task, whatever signs are in it.
    assert {p.name for p in protocols_of(["a+b", "c"], ["c", "a+b"])} == names
