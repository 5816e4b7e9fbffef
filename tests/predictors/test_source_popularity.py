from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.predictors.source_popularity import SourcePopularityPredictor

X = pd.DataFrame(
    {
        "setting": ["u", "u", "u", "v", "v"],
        "source": ["a", "a", "b", "a", "b"],
        "target": ["x", "y", "x", "x", "y"],
    }
)
GAIN = np.array([0.3, 0.1, -0.2, -0.4, 0.0])


def test_means_of_the_setting_drawn_to_its_overall_mean() -> None:
    fitted = SourcePopularityPredictor(shrinkage=2.0).fit(X, GAIN)
    overall = 0.2 / 3
    assert fitted.predict(X.iloc[[0]])[0] == pytest.approx((0.4 + 2 * overall) / 4)
    assert fitted.predict(X.iloc[[3]])[0] == pytest.approx((-0.4 + 2 * -0.2) / 3)
    rate = 2.5 / 4
    assert fitted.predict_proba(X.iloc[[0]])[0, 1] == pytest.approx((2 + 0.5 + 2 * rate) / 5)


def test_without_shrinkage_it_is_the_mean() -> None:
    fitted = SourcePopularityPredictor(shrinkage=0.0).fit(X, GAIN)
    np.testing.assert_allclose(fitted.predict(X), [0.2, 0.2, -0.2, -0.4, 0.0])


def test_an_unknown_source_or_setting_gets_what_is_known() -> None:
    fitted = SourcePopularityPredictor().fit(X, GAIN)
    new = pd.DataFrame({"setting": ["u", "w"], "source": ["q", "a"], "target": ["x", "x"]})
    assert fitted.predict(new)[0] == pytest.approx(0.2 / 3)
    # All five pairs, of which a has three.
    assert fitted.predict(new)[1] == pytest.approx((0.0 + GAIN.mean()) / 4)
