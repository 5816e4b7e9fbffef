from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.outcomes.gain_definition import (
    GAIN_DEFINITIONS,
    apply_gain_definition,
    find_gain_definition,
)
from transfer_meta.outcomes.tables import OutcomeTable, build_table


def table() -> OutcomeTable:
    random = np.random.default_rng(0)
    rows = [(m, s, t, seed) for m in "xy" for s in "abc" for t in "abcd" for seed in range(4) if s != t]
    runs = pd.DataFrame(rows, columns=["model", "source", "target", "seed"])
    return build_table(runs.assign(gain=random.normal(0, 0.1, len(runs))))


def test_taskshops_mixture_is_what_its_definition_says() -> None:
    before = table()
    after = apply_gain_definition(before, GAIN_DEFINITIONS["taskshop"])
    for (_, old), (_, new) in zip(before.pairs.iterrows(), after.pairs.iterrows(), strict=True):
        key = ["setting", "source", "target"]
        gains = before.runs.loc[(before.runs[key] == old[key]).all(axis=1), "gain"]
        mixed = 0.5 * gains.mean() + 0.5 * (0.2 * (gains > 0).mean() - 0.1)
        assert new["gain"] == pytest.approx(mixed)
        assert new["n_seeds"] == old["n_seeds"] == 4
    assert before.pairs["gain"].tolist() != after.pairs["gain"].tolist()


def test_the_mean_gain_is_the_table_itself() -> None:
    whole = table()
    assert apply_gain_definition(whole, GAIN_DEFINITIONS["mean-gain"]) is whole


def test_bad_input() -> None:
    with pytest.raises(InputError, match="did you mean 'taskshop'"):
        find_gain_definition("taskshp")
    scores = build_table(pd.DataFrame({"source": ["a", "b"], "target": "c", "score": [0.1, 0.2]}))
    with pytest.raises(InputError, match="needs gains"):
        apply_gain_definition(scores, GAIN_DEFINITIONS["taskshop"])
