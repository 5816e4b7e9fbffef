"""Ridge regression on the features of sets of sources."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from transfer_meta.errors import InputError
from transfer_meta.predictors import make_predictor

GAINS = ("set_mean", "set_max", "set_sum", "set_size", "set_second")


def table(signal: str, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    X = pd.DataFrame(
        {"setting": "", "source": [f"s{i}" for i in range(96)], "target": np.repeat([*"abcdefgh"], 12)}
    )
    for name in (*GAINS, "set_alikeness", "chain_nearer", "jsd"):
        X[f"pair.{name}"] = random.normal(size=96)
    level = dict(zip("abcdefgh", random.normal(size=8), strict=True))
    return X, X[f"pair.{signal}"].to_numpy() + X["target"].map(level).to_numpy()


@pytest.mark.parametrize("signal", ["set_max", "chain_nearer"])
def test_it_finds_the_feature_that_ranks_sets_whatever_the_target(signal: str) -> None:
    X, y = table(signal)
    held = (X["target"] == "a").to_numpy()
    fitted = make_predictor("set-ridge").fit(X[~held], y[~held])
    assert spearmanr(fitted.predict_pairs(X[held]).ranking, y[held])[0] > 0.9


def test_features_of_the_pair_that_are_not_of_the_set_are_not_used() -> None:
    X, y = table("jsd")
    fitted = make_predictor("set-ridge").fit(X, y)
    columns = [c for c in X if c.startswith("pair.")]
    assert fitted.coef_[columns.index("pair.jsd")] == 0


def test_a_table_of_single_sources_is_refused_in_a_line() -> None:
    X, y = table("jsd")
    bare = X[["setting", "source", "target", "pair.jsd"]]
    with pytest.raises(InputError, match="needs the features of sets of sources"):
        make_predictor("set-ridge").fit(bare, y)
