from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.rules import RulePredictor

PAIRS = pd.DataFrame(
    {
        "setting": "",
        "source": ["a", "b", "a", "c"],
        "target": ["x", "x", "y", "y"],
        "source.size": [10.0, 1.0, 10.0, np.nan],
        "target.size": [5.0, 5.0, 5.0, 5.0],
        "source.grad_30": [-0.5, -0.1, -0.5, 0.4],
        "target.grad_30": [0.2, 0.2, -0.3, -0.3],
    }
)
GAINS = np.array([0.2, 0.1, 0.1, -0.4])


def test_the_target_rate_counts_its_other_pairs() -> None:
    predictor = make_predictor("target-gain-rate").fit(PAIRS, GAINS)
    np.testing.assert_allclose(predictor.predict_pairs(PAIRS).probability, [2.5 / 3, 2.5 / 3, 0.5, 0.5])
    np.testing.assert_allclose(predictor.predict(PAIRS), [0.15, 0.15, -0.15, -0.15])


def test_an_unknown_target_or_source_gets_the_overall_figures() -> None:
    new = PAIRS.assign(source="q", target="q")
    for name in ("target-gain-rate", "source-popularity"):
        predictor = make_predictor(name).fit(PAIRS, GAINS)
        np.testing.assert_allclose(predictor.predict_pairs(new).probability, 3.5 / 5)
        np.testing.assert_allclose(predictor.predict(new), 0.0, atol=1e-12)


def test_popularity_is_the_sources_mean_gain() -> None:
    predictor = make_predictor("source-popularity").fit(PAIRS, GAINS)
    # Shrunk by one pair of the overall mean, which is 0 here.
    np.testing.assert_allclose(predictor.decision_function(PAIRS), [0.1, 0.05, 0.1, -0.2])


def test_the_rules() -> None:
    size = RulePredictor("size").fit(PAIRS, GAINS)
    # c has no known size: it stands at the threshold, which is no gain.
    assert size.predict_proba(PAIRS)[:, 1].tolist() == [1, 0, 1, 0]
    steep = RulePredictor("grad_30", flatter_target=True).fit(PAIRS, GAINS)
    assert steep.predict_proba(PAIRS)[:, 1].tolist() == [1, 0, 1, 1]


def test_fingerprints_belong_to_the_task_and_the_draw() -> None:
    first, second = (make_predictor("random-fingerprints", random_state=s) for s in (1, 2))
    X = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"]})
    matrix = first.matrix(X, reset=True)
    assert matrix.shape == (2, 42)
    assert np.array_equal(matrix[0, :14], matrix[1, 14:28])
    assert not np.array_equal(matrix, second.matrix(X, reset=True))


@pytest.mark.parametrize("name", ["always-gain", "always-loss"])
def test_constants(name: str) -> None:
    predictor = make_predictor(name).fit(PAIRS, GAINS)
    assert set(predictor.predict_proba(PAIRS)[:, 1]) == {float(name == "always-gain")}
