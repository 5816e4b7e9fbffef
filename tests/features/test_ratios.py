from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.features.ratios import RATIO_LIMIT, log_ratio, safe_ratio

Number = st.floats(allow_infinity=False)


@given(Number, Number)
def test_ratios_are_finite_where_both_numbers_are(target: float, source: float) -> None:
    (ratio,) = safe_ratio(target=np.array([target]), source=np.array([source]))
    (log,) = log_ratio(target=np.array([target]), source=np.array([source]))
    if math.isnan(target) or math.isnan(source):
        assert math.isnan(ratio)
        assert math.isnan(log)
        return
    assert abs(ratio) <= RATIO_LIMIT
    if np.sign(target) != np.sign(source):
        assert math.isnan(log)
    elif source == 0:
        assert (ratio, log) == (1, 0)
    elif 1 / RATIO_LIMIT < target / source < RATIO_LIMIT:
        assert ratio == target / source
        assert log == pytest.approx(math.log(target / source))
    else:
        assert abs(log) <= math.log(RATIO_LIMIT) + 1e-9


def test_nonzero_to_zero() -> None:
    ratios = safe_ratio(target=np.array([2.0, -2.0]), source=np.zeros(2))
    assert ratios.tolist() == [RATIO_LIMIT, -RATIO_LIMIT]
