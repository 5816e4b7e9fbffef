"""Features of sets of sources, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.source_set_features import (
    SET_FEATURES,
    centred_similarities,
    set_features,
)
from transfer_meta.features.task_profile import profile_task
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task

EXPECTED = {("a", "t"): 0.1, ("b", "t"): 0.3, ("c", "t"): -0.2}
TEXTS = {"t": "one two three four", "a": "one five", "b": "one two", "c": "three five five"}


def of(*names: str, **material: object) -> pd.DataFrame:
    sets = pd.DataFrame({"source": list(names), "target": "t"})
    return set_features(sets, EXPECTED, **material).set_index("source")


def profiles() -> dict:
    found = {}
    for name, text in TEXTS.items():
        examples = [Example(text, label) for label in ("x", "y")]
        task = Task.from_iterable(name, TaskType.CLASSIFICATION, {"train": examples}, description="")
        found[name] = profile_task(task)
    return found


def test_what_follows_from_the_expected_gains() -> None:
    found = of("a", "a+b", "b>a>c")[
        ["set_mean", "set_max", "set_sum", "set_size", "set_second", "chain_last"]
    ]
    assert found.loc["a"].tolist() == pytest.approx([0.1, 0.1, 0.1, 1, 0.1, 0])
    assert found.loc["a+b"].tolist() == pytest.approx([0.2, 0.3, 0.4, 2, 0.1, 0])
    assert found.loc["b>a>c"].tolist() == pytest.approx([0.2 / 3, 0.3, 0.2, 3, 0.1, -0.2 - 0.2 / 3])


def test_what_the_members_cover_of_the_target() -> None:
    found = of("a", "b", "a+b", "b+c", "a+c", profiles=profiles())
    assert found["set_types_covered"].tolist() == [0.25, 0.5, 0.5, 0.75, 0.5]
    assert found["set_tokens_covered"].tolist() == [0.25, 0.5, 0.5, 0.75, 0.5]


def test_similarities_and_the_order_of_a_chain() -> None:
    angles = {"t": 0, "a": 30, "b": 90, "c": 200}
    vectors = {
        n: {"textemb": np.array([math.cos(math.radians(x)), math.sin(math.radians(x))])}
        for n, x in angles.items()
    }
    likeness = centred_similarities(vectors)
    assert np.allclose(np.diag(likeness), 1)
    found = of("a+b", "a>b", "b>a", vectors=vectors, profiles=profiles())
    assert found["set_alikeness"].tolist() == pytest.approx([likeness.at["a", "b"]] * 3)
    assert found["set_nearest"].tolist() == pytest.approx([likeness.at["a", "t"]] * 3)
    nearer = likeness.at["a", "t"] - likeness.at["b", "t"]
    assert found["chain_nearer"].tolist() == pytest.approx([0, -nearer, nearer])
    assert found["chain_log_tokens"].tolist() == [0, 0, 0]
    longer = of("a>c", profiles=profiles())["chain_log_tokens"]
    assert longer.tolist() == pytest.approx([math.log(3 / 2)])


def test_without_material_only_the_gains_are_known() -> None:
    found = of("a+b")
    assert list(found.columns[1:]) == list(SET_FEATURES)
    unknown = {c for c in SET_FEATURES if found[c].isna().all()}
    assert unknown == {"set_alikeness", "set_nearest", "set_types_covered", "set_tokens_covered"}


def test_a_member_without_an_expected_gain_is_named() -> None:
    with pytest.raises(InputError, match=r"source 'z' of the set 'a\+z' has no expected gain on 't'"):
        of("a+z")
