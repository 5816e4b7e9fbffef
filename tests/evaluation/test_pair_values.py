from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.evaluation.pair_values import (
    pair_truth,
    ranking_groups,
    seed_weights,
    training_values,
)
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import build_table


def test_noisy_pairs_weigh_less() -> None:
    pairs = pd.DataFrame(
        {
            "gain": [0.0, 0.1, 0.2, 0.3],
            "gain_std": [0.0, 0.1, 0.4, np.nan],
            "n_seeds": [4, 4, 4, 1],
        }
    )
    weight = seed_weights(pairs, np.zeros(4))
    spread = np.var([0.0, 0.1, 0.2, 0.3], ddof=1)
    assert weight[0] == 1
    assert weight[1] == pytest.approx(0.4 / (0.4 + 0.01 / 4 / spread))
    assert weight[3] == pytest.approx(0.4 / (0.4 + (0.01 + 0.16) / 3 / spread))
    assert weight[0] > weight[1] > weight[2] > weight[3] > 0
    assert seed_weights(pairs.assign(gain_std=np.nan), np.zeros(4)) is None


def test_scores_are_learned_relative_to_their_target_and_setting() -> None:
    frame = pd.DataFrame(
        {
            "model": ["x", "x", "y", "y"],
            "source": ["a", "b", "a", "b"],
            "target": "t",
            "score": [0.1, 0.3, 0.6, 0.8],
        }
    )
    table = build_table(frame)
    data = build_metadataset(table)
    np.testing.assert_allclose(training_values(data), [-0.1, 0.1, -0.1, 0.1])
    assert set(ranking_groups(data)) == {"t | x", "t | y"}
    truth = pair_truth(data, table.pairs)
    assert truth.gain is None
    np.testing.assert_allclose(truth.score, frame["score"])
