"""Expected gains of single sources on held-out targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.single_gains import expected_single_gains, with_set_features
from transfer_meta.outcomes.tables import build_table

TASKS = "abcdef"


def singles(**changed: float) -> pd.DataFrame:
    """Source i gains i / 100 on every target, in two settings; `changed`: gains on a target."""
    rows = [
        {"source": s, "target": t, "encoder": e, "gain": changed.get(t, TASKS.index(s) / 100)}
        for e in ("small", "large")
        for t in TASKS
        for s in TASKS
        if s != t
    ]
    return pd.DataFrame(rows)


def test_a_target_has_no_part_in_its_own_expected_gains() -> None:
    targets = ["a", "b"]
    one = expected_single_gains(build_table(singles()), targets)
    random = singles()
    of_a = random["target"] == "a"
    random.loc[of_a, "gain"] = np.random.default_rng(0).normal(size=of_a.sum())
    other = expected_single_gains(build_table(random), targets)
    assert {k: v for k, v in one.items() if k[1] == "a"} == {
        k: v for k, v in other.items() if k[1] == "a"
    }
    assert set(one) == {(s, t) for t in targets for s in TASKS if s != t}


def test_an_unknown_target_has_the_popularity_of_the_sources() -> None:
    found = expected_single_gains(build_table(singles()), ["new"])
    assert sorted(found, key=found.__getitem__) == [(s, "new") for s in TASKS]


def test_relatives_are_left_out_with_a_target() -> None:
    table = build_table(singles(f=9.0))
    alone = expected_single_gains(table, ["new"], relatives={"new": ("f",)})
    assert max(alone.values()) < 0.1 < max(expected_single_gains(table, ["new"]).values())


def test_sets_among_the_outcomes_are_no_single_sources() -> None:
    sets = pd.DataFrame({"source": ["a+b", "b>c"], "target": "d", "encoder": "small", "gain": 5.0})
    table = build_table(pd.concat([singles(), sets]))
    assert expected_single_gains(table, ["d"]) == expected_single_gains(build_table(singles()), ["d"])


@pytest.mark.parametrize(
    ("settings", "message"), [(["huge"], "has no setting 'huge'"), ([], "outcomes of 1 targets")]
)
def test_what_cannot_be_used_is_refused(settings: list[str], message: str) -> None:
    frame = singles()
    if not settings:
        frame = frame[frame["target"] == "a"]
    with pytest.raises(InputError, match=message):
        expected_single_gains(build_table(frame), ["a"], settings=settings)


def test_a_table_of_sets_gets_their_features() -> None:
    expected = expected_single_gains(build_table(singles()), ["a", "b"])
    sets = build_table(
        pd.DataFrame({"source": ["c+d", "d>e", "c+d"], "target": [*"aab"], "gain": [0.1, 0.2, 0.3]})
    )
    table = with_set_features(sets, expected)
    row = table.pairs.set_index(["source", "target"]).loc["c+d", "a"]
    assert row["set_sum"] == pytest.approx(expected["c", "a"] + expected["d", "a"])
    assert "set_sum" in table.pair_features
    again = with_set_features(replace(table), expected)
    pd.testing.assert_frame_equal(again.pairs, table.pairs)
