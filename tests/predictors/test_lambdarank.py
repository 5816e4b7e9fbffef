from __future__ import annotations

import numpy as np
import pytest
from many_tasks import grouped_tasks

from transfer_meta.errors import InputError
from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.lambdarank import rank_labels, within_ranks


def test_langrank_labels_are_ten_to_one() -> None:
    z = np.random.default_rng(0).permutation(15).astype(float)
    labels = rank_labels(z, np.zeros(15, dtype=int), 10)
    assert labels[np.argsort(-z)].tolist() == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0]


def test_langrank_learns_by_its_own_settings_from_the_plain_features() -> None:
    X, y = grouped_tasks(8)
    fitted = make_predictor("lambdarank-langrank").fit(X, y)
    text = fitted.booster_.model_to_string()
    for setting in (
        "[num_leaves: 16]",
        "[learning_rate: 0.1]",
        "[min_data_in_leaf: 5]",
        "[num_iterations: 100]",
    ):
        assert setting in text
    assert fitted.booster_.num_feature() == 3


def test_langrank_needs_features() -> None:
    X, y = grouped_tasks(5)
    with pytest.raises(InputError, match="needs features"):
        make_predictor("lambdarank-langrank").fit(X[["source", "target"]], y)


def test_ranks_within_the_target() -> None:
    values = np.array([[3.0], [1.0], [np.nan], [7.0]])
    ranks = within_ranks(values, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(ranks[:, 0], [0.75, 0.25, np.nan, 0.5])
