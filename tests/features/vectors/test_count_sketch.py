from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.features.vectors.count_sketch import count_sketch

MASK = 2**64 - 1


def slow_sketch(vector: np.ndarray, dimension: int, seed: int) -> np.ndarray:
    """The definition in plain integers."""
    result = [0.0] * dimension
    for index, value in enumerate(vector):
        h = (index + seed * 0xD1342543DE82EF95 + 1) & MASK
        h = (h * 0x9E3779B97F4A7C15) & MASK
        h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
        h ^= h >> 31
        result[(h >> 1) % dimension] += value if h & 1 else -value
    return np.array(result)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_equals_the_definition(seed: int) -> None:
    vector = np.random.default_rng(seed).normal(size=500)
    np.testing.assert_allclose(
        count_sketch(vector, dimension=64, seed=seed), slow_sketch(vector, 64, seed)
    )


def test_a_short_vector_stays_as_it_is() -> None:
    np.testing.assert_array_equal(count_sketch(np.arange(5.0), dimension=5), np.arange(5.0))


def test_is_linear_and_seeds_differ() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 300))
    together = count_sketch(2 * a + b, dimension=32)
    np.testing.assert_allclose(
        together, 2 * count_sketch(a, dimension=32) + count_sketch(b, dimension=32)
    )
    assert not np.allclose(together, count_sketch(2 * a + b, dimension=32, seed=1))


def test_inner_products_are_unbiased_with_the_stated_spread() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=2000)
    b = a + rng.normal(size=2000)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    dimension, draws = 100, 400
    errors = np.array(
        [
            count_sketch(a, dimension=dimension, seed=s) @ count_sketch(b, dimension=dimension, seed=s)
            for s in range(draws)
        ]
    ) - (a @ b)
    bound = np.sqrt((1 + (a @ b) ** 2) / dimension)
    assert abs(errors.mean()) < 4 * bound / np.sqrt(draws)
    assert errors.std() < 1.15 * bound
