from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata

from transfer_meta.evaluation.ranks import average_rank, ratio, tie_span

VALUES = hnp.arrays(
    float, hnp.array_shapes(max_dims=3, max_side=9), elements=st.integers(-3, 3).map(float)
)


@given(VALUES)
def test_average_rank_is_scipys_of_the_negated_values(values: np.ndarray) -> None:
    np.testing.assert_array_equal(average_rank(values), rankdata(-values, axis=-1))


@given(VALUES)
def test_tie_span_counts_greater_and_not_smaller(values: np.ndarray) -> None:
    first, last = tie_span(values)
    other, own = values[..., None, :], values[..., :, None]
    np.testing.assert_array_equal(first, (other > own).sum(-1))
    np.testing.assert_array_equal(last, (other >= own).sum(-1) - 1)


def test_ratio_of_nothing_is_nan() -> None:
    np.testing.assert_array_equal(ratio([1.0, 0.0, 3.0], [2.0, 0.0, -1.0]), [0.5, np.nan, np.nan])
