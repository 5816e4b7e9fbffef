from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from many_tasks import grouped_tasks

from transfer_meta.predictors.outcome_tensor import OutcomeTensor
from transfer_meta.predictors.task_kernel import PROFILE_WIDTH, TaskKernel


def space_of(X: pd.DataFrame, z: np.ndarray) -> TaskKernel:
    columns = [c for c in X if c not in ("setting", "source", "target")]
    return TaskKernel.fit(X, columns, OutcomeTensor.from_pairs(X, z, np.ones(len(z))), z)


def flat(X: pd.DataFrame) -> np.ndarray:
    """Gains that say nothing about roles."""
    return np.zeros(len(X))


def test_profiles_alone_give_the_gaussian_kernel() -> None:
    X = pd.DataFrame(
        {"setting": "", "source": ["a", "b", "c"], "target": ["b", "c", "a"]}
        | {"source.n": [1.0, 2.0, 5.0], "target.n": [2.0, 5.0, 1.0]}
    )
    space = space_of(X, flat(X))
    v = np.log1p([1.0, 2.0, 5.0])
    v = (v - v.mean()) / v.std()
    expected = np.exp(-((v[:, None] - v[None]) ** 2) / (2 * PROFILE_WIDTH**2))
    tasks = np.array(["a", "b", "c"], dtype=object)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(space.kernel(tasks, tasks)[off], expected[off])


def test_a_distance_and_a_similarity_mean_the_same() -> None:
    X, z = grouped_tasks(8)
    X = X.drop(columns=["source.kind", "target.kind", "pair.mean_textemb"])
    near = np.random.default_rng(0).normal(size=len(X)) + 20 * z
    up, down = (space_of(X.assign(**{"pair.f": f}), z) for f in (near, -near))
    np.testing.assert_allclose(up.kernel(up.tasks, up.tasks), down.kernel(up.tasks, up.tasks))


def test_binary_features_are_kinds() -> None:
    X, _ = grouped_tasks(6)
    same = (X["source.kind"] == X["target.kind"]).astype(float)
    X = X[["setting", "source", "target"]].assign(**{"pair.same_type": same})
    space = space_of(X, flat(X))
    kernel = space.kernel(space.tasks, space.tasks)
    for i in range(6):
        for j in range(6):
            if i != j:
                assert kernel[i, j] == pytest.approx(float(i % 2 == j % 2))


def test_the_kernel_is_positive_definite_and_symmetric() -> None:
    X, z = grouped_tasks(20)
    space = space_of(X, z)
    kernel = space.kernel(space.tasks, space.tasks)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
    assert np.linalg.eigvalsh(kernel)[0] > 0


def test_a_new_task_is_placed_by_its_own_rows() -> None:
    X, z = grouped_tasks(8)
    known = ((X["target"] != "k00") & (X["source"] != "k00")).to_numpy()
    space = space_of(X[known], z[known]).extended(X[X["target"] == "k00"])
    nearness = space.kernel(np.array(["k00"], dtype=object), space.known)[0]
    even = np.arange(1, 8) % 2 == 0
    assert nearness[even].min() > nearness[~even].max()


def test_nothing_known_means_all_alike() -> None:
    X = pd.DataFrame({"setting": "", "source": ["a", "b"], "target": ["b", "a"]})
    space = space_of(X, flat(X))
    assert space.kernel(space.tasks, space.tasks).tolist() == [[1, 1], [1, 1]]
