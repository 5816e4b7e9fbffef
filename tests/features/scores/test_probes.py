from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.scores.probes import knn_score, linear_probe

RNG = np.random.default_rng(0)
LABELS = np.arange(80) % 4
FEATURES = RNG.normal(size=(80, 6)) + 1.5 * np.eye(6)[LABELS]


def slow_neighbours(features: np.ndarray, i: int, k: int) -> list[int]:
    def similarity(j: int) -> float:
        a, b = features[i], features[j]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return sorted((j for j in range(len(features)) if j != i), key=lambda j: -similarity(j))[:k]


@pytest.mark.parametrize("k", [1, 5, 7])
def test_knn_of_classes_equals_the_loops(k: int) -> None:
    right = 0
    for i in range(len(LABELS)):
        votes = [int(LABELS[j]) for j in slow_neighbours(FEATURES, i, k)]
        most = max(votes.count(c) for c in votes)
        tied = [c for c in set(votes) if votes.count(c) == most]
        # Of equal counts the class whose neighbours are nearer: the larger sum of 1 / position.
        nearness = {c: sum(1 / (p + 1) for p, v in enumerate(votes) if v == c) for c in tied}
        right += max(tied, key=nearness.__getitem__) == LABELS[i]
    assert knn_score(FEATURES, LABELS, neighbours=k) == right / len(LABELS)


def test_knn_of_a_regression_equals_the_loops() -> None:
    target = FEATURES[:, 0] + RNG.normal(size=80)
    predicted = [np.mean(target[slow_neighbours(FEATURES, i, 5)]) for i in range(80)]
    expected = 1 - np.sum((target - predicted) ** 2) / np.sum((target - target.mean()) ** 2)
    assert knn_score(FEATURES, target, regression=True) == pytest.approx(expected)


def test_an_example_is_not_its_own_neighbour_even_among_duplicates() -> None:
    doubled = np.repeat(np.eye(4), 2, axis=0)
    assert knn_score(doubled, [0, 1] * 4, neighbours=1) == 0
    assert knn_score(doubled, [0, 0, 1, 1, 2, 2, 3, 3], neighbours=1) == 1


def test_knn_with_few_examples_and_a_zero_vector() -> None:
    assert 0 <= knn_score([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 1, 1], neighbours=50) <= 1


def test_linear_probe_is_a_cross_validated_accuracy() -> None:
    separable = 10 * np.eye(6)[LABELS] + 0.1 * RNG.normal(size=(80, 6))
    assert linear_probe(separable, LABELS) == 1
    noise = RNG.normal(size=(400, 6))
    assert linear_probe(noise, np.arange(400) % 4) == pytest.approx(0.25, abs=0.08)


def test_linear_probe_of_a_regression() -> None:
    assert linear_probe(FEATURES, FEATURES @ np.arange(6.0), regression=True) > 0.999
    # With as many dimensions as examples an unpenalised fit would be far below 0.
    wide = RNG.normal(size=(60, 60))
    assert linear_probe(wide, RNG.normal(size=60), regression=True) > -0.6


def test_rare_classes_neither_warn_nor_break_the_folds() -> None:
    labels = np.array([0] * 40 + [1] * 38 + [2, 3])
    assert 0.3 < linear_probe(FEATURES, labels) <= 1
    few = np.array([0] * 77 + [1] * 2 + [2])
    assert 0.9 < linear_probe(FEATURES, few) <= 1


def test_too_few_examples_of_two_classes() -> None:
    with pytest.raises(InputError, match="two classes of at least two examples"):
        linear_probe(FEATURES, [0] * 79 + [1])
