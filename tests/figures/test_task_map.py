from __future__ import annotations

import numpy as np

from transfer_meta.figures.task_map import layout, similarity_matrix, task_map


def two_groups() -> dict[str, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    centres = {"a": np.array([1.0, 0, 0, 0]), "b": np.array([0, 1.0, 0, 0])}
    return {
        f"{group}{i}": {k: centre + 0.1 * random.normal(size=4) for k in ("textemb", "taskemb.query")}
        for group, centre in centres.items()
        for i in range(4)
    }


def test_similarities_are_symmetric_and_highest_with_oneself() -> None:
    similarity = similarity_matrix(two_groups())
    np.testing.assert_allclose(similarity, similarity.T)
    assert (similarity.diagonal() == 1).all()
    assert ((similarity >= 0) & (similarity <= 1)).all()


def test_a_kind_counts_between_the_tasks_that_have_it() -> None:
    vectors = {name: dict(found) for name, found in two_groups().items()}
    del vectors["a0"]["textemb"]
    only = similarity_matrix(
        {name: {"taskemb.query": found["taskemb.query"]} for name, found in vectors.items()}
    )
    np.testing.assert_allclose(similarity_matrix(vectors)[0], only[0])
    vectors["b0"]["other"] = np.ones(3)  # comparable with none
    np.testing.assert_allclose(similarity_matrix(vectors)[0], only[0])


def test_tasks_of_a_group_lie_together() -> None:
    positions = layout(similarity_matrix(two_groups()))
    assert positions.shape == (8, 2)
    inside = np.linalg.norm(positions[:4] - positions[:4].mean(axis=0), axis=1).max()
    between = np.linalg.norm(positions[:4].mean(axis=0) - positions[4:].mean(axis=0))
    assert between > 2 * inside


def test_the_layout_keeps_distances_of_points_in_a_plane() -> None:
    points = np.random.default_rng(1).random((6, 2)) / 2
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    placed = layout(1 - distances)
    np.testing.assert_allclose(
        np.linalg.norm(placed[:, None] - placed[None], axis=-1), distances, atol=1e-9
    )


def test_the_figure_names_neighbours_and_escapes() -> None:
    vectors = two_groups()
    vectors["<i>$x"] = vectors.pop("b3")
    svg = task_map(vectors, {"a0": "classification"})
    assert "a0 to a" in svg
    assert "<i>" not in svg
