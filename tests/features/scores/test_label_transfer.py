from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.features.scores.label_transfer import leep, nce


def slow_leep(probabilities: list[list[float]], labels: list) -> float:
    """The paper's three steps with loops and dictionaries."""
    n, classes = len(labels), range(len(probabilities[0]))
    joint = {
        (y, z): sum(p[z] for p, label in zip(probabilities, labels, strict=True) if label == y) / n
        for y in set(labels)
        for z in classes
    }
    marginal = {z: sum(joint[y, z] for y in set(labels)) for z in classes}
    total = 0.0
    for p, y in zip(probabilities, labels, strict=True):
        total += math.log(sum(joint[y, z] / marginal[z] * p[z] for z in classes if marginal[z] > 0))
    return total / n


def slow_nce(source: list, labels: list) -> float:
    total = 0.0
    for z in set(source):
        members = [y for s, y in zip(source, labels, strict=True) if s == z]
        for y in set(members):
            total += members.count(y) / len(labels) * math.log(members.count(y) / len(members))
    return total


RNG = np.random.default_rng(0)
PROBABILITIES = RNG.dirichlet([0.5] * 4, size=50)
LABELS = RNG.integers(3, size=50)


def test_leep_equals_the_loops() -> None:
    assert leep(PROBABILITIES, LABELS) == pytest.approx(
        slow_leep(PROBABILITIES.tolist(), LABELS.tolist())
    )


def test_leep_is_a_log_likelihood_at_most_zero() -> None:
    sharp = np.eye(3)[LABELS]
    assert leep(sharp, LABELS) == 0
    flat = np.full((50, 4), 0.25)
    shares = np.bincount(LABELS) / 50
    entropy = -sum(shares * np.log(shares))
    assert leep(flat, LABELS) == pytest.approx(-entropy)
    assert leep(flat, LABELS) < leep(PROBABILITIES, LABELS) < leep(sharp, LABELS)


def test_an_unused_source_class_changes_nothing() -> None:
    wider = np.hstack([PROBABILITIES, np.zeros((50, 2))])
    assert leep(wider, LABELS) == pytest.approx(leep(PROBABILITIES, LABELS))


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=2, max_size=30))
def test_nce_equals_the_loops_and_leep_of_hard_predictions(pairs: list[tuple[int, str]]) -> None:
    source, labels = map(list, zip(*pairs, strict=True))
    if len(set(labels)) < 2:
        return
    value = nce(source, labels)
    assert value == pytest.approx(slow_nce(source, labels), abs=1e-12)
    assert value == pytest.approx(leep(np.eye(4)[source], labels), abs=1e-12)
    assert -math.log(len(set(labels))) - 1e-12 <= value <= 0


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.6], [0.5, 0.5]], "sums to 1.1"),
        ([[1.5, -0.5], [0.5, 0.5]], "negative"),
        ([[np.nan, 1.0], [0.5, 0.5]], "NaN"),
        ([0.5, 0.5], "expected examples x source classes"),
    ],
)
def test_invalid_probabilities(probabilities: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        leep(probabilities, [0, 1])


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"labels of shape \(3,\) for 2 examples"):
        leep([[0.5, 0.5], [0.5, 0.5]], [0, 1, 1])
    with pytest.raises(InputError, match="a single class"):
        nce([0, 1], ["a", "a"])
    with pytest.raises(InputError, match="source labels of shape"):
        nce([[0], [1]], ["a", "b"])
