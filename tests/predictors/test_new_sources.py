from __future__ import annotations

import numpy as np
import pandas as pd
from many_tasks import grouped_tasks

from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.new_sources import SLOPE, expectation, expected_weights


def pairs() -> pd.DataFrame:
    """Two targets with four sources each."""
    random = np.random.default_rng(0)
    X = pd.DataFrame({"source": list("abcdabcd"), "target": list("xxxxyyyy"), "setting": ""})
    return X.assign(
        **{
            "source.size": [10, 100, 1_000, 10_000] * 2,
            "pair.mean_textemb": random.normal(size=8),
            "pair.jsd": random.random(8),
        }
    )


def test_it_is_the_mean_over_groups_of_what_is_standardised_within_the_target() -> None:
    X = pairs()
    expected = []
    for target in "xy":
        rows = X[X["target"] == target]
        logs = [np.log1p(rows["source.size"]), rows["pair.mean_textemb"], -np.log1p(rows["pair.jsd"])]
        logs[1] = np.sign(logs[1]) * np.log1p(np.abs(logs[1]))
        z = [(v - v.mean()) / v.std(ddof=0) for v in logs]
        expected += list(SLOPE * sum(z) / 3)
    np.testing.assert_allclose(expectation(X, list(X)), expected, atol=1e-12)


def test_columns_share_the_weight_of_their_group() -> None:
    columns = ["pair.jsd", "source.label_entropy", "pair.tfidf_cosine", "source.size"]
    assert expected_weights(columns).tolist() == [-0.25, 0.0, 0.25, 0.5]
    assert expected_weights(["source.label_entropy"]).tolist() == [0.0]
    assert expected_weights([]).tolist() == []


def test_nothing_is_expected_where_nothing_is_known() -> None:
    X = pairs()
    assert (expectation(X, ["source.label_entropy"]) == 0).all()
    X["source.size"] = np.nan
    assert (expectation(X, ["source.size"]) == 0).all()
    X["source.size"] = 5.0
    assert (expectation(X, ["source.size"]) == 0).all()


def test_a_lacking_value_stands_in_the_middle() -> None:
    X = pairs()
    X.loc[0, "source.size"] = np.nan
    found = expectation(X, ["source.size"])
    assert found[0] == 0
    assert (np.diff(found[1:4]) > 0).all()


def test_the_default_adds_it_for_sources_that_nobody_tried_and_for_no_other() -> None:
    X, y = grouped_tasks(8)
    X["source.size"] = np.arange(len(X)) % 7 + 10.0
    X["target.size"] = 10.0
    tried = (~X["source"].isin(["k01", "k02"]) & ~X["target"].isin(["k00", "k01", "k02"])).to_numpy()
    fitted = make_predictor("default").fit(X[tried], y[tried])
    asked = X[X["target"] == "k00"]
    members = np.column_stack([m.ranking(asked) for m in (fitted.gp_, fitted.ridge_) if m is not None])
    new = asked["source"].isin(["k01", "k02"]).to_numpy()
    added = fitted.decision_function(asked) - members @ fitted.weights_
    assert (added[~new] == 0).all()
    np.testing.assert_allclose(added[new], expectation(asked, list(asked))[new])
    assert (added[new] != 0).all()
