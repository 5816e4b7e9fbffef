"""Gains compared with several baselines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.outcomes.tables import build_table
from transfer_meta.recommender.pooled_runs import aligned_gains, pooled_pairs

GAIN = {"a": 0.1, "b": -0.1, "c": 0.3}


def runs(sources: str, shift: float, seed: int = 0) -> pd.DataFrame:
    rows = [
        {"source": s, "target": "t", "seed": seed, "baseline": 0.5, "gain": GAIN[s] + shift}
        for s in sources
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(score=frame["baseline"] * (1 + frame["gain"]))


def test_a_source_of_one_baseline_alone_is_not_favoured() -> None:
    tables = [build_table(runs("ab", 0.0)), build_table(runs("abc", 0.2))]
    pairs = pooled_pairs(tables).set_index("source")
    # The mean of the offsets over the runs is kept: 3 of 5 runs have 0.2.
    for source, gain in GAIN.items():
        assert pairs.loc[source, "gain"] == pytest.approx(gain + 0.12)
    assert pairs["n_seeds"].to_dict() == {"a": 2, "b": 2, "c": 1}
    assert pairs["gain_std"].to_dict() == pytest.approx({"a": 0, "b": 0, "c": np.nan}, nan_ok=True)


def test_seeds_of_one_table_that_lack_a_source_are_aligned() -> None:
    table = build_table(pd.concat([runs("abc", 0.0, seed=0), runs("bc", -0.1, seed=1)]))
    gain = pooled_pairs([table]).set_index("source")["gain"]
    assert gain["a"] - gain["b"] == pytest.approx(0.2)
    assert table.pairs.set_index("source")["gain"]["a"] - gain["a"] == pytest.approx(0.04)


def test_nothing_is_aligned_where_all_have_the_same_sources() -> None:
    table = build_table(pd.concat([runs("abc", 0.0, seed=0), runs("abc", -0.1, seed=1)]))
    pd.testing.assert_frame_equal(pooled_pairs([table]), table.pairs)
    assert aligned_gains(table.runs.assign(run_set=table.runs["seed"])) is None
