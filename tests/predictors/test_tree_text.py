"""The check of LightGBM's text; random edits of it are in `tests/test_model_mutations.py`."""

from __future__ import annotations

import re
from functools import cache

import lightgbm
import numpy as np
import pytest

from transfer_meta.predictors.state_kinds import StateError
from transfer_meta.predictors.tree_text import check_trees, load_trees
from transfer_meta.predictors.trees import REPRODUCIBLE, train_trees


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3))
    X[::7, 1] = np.nan
    return X, X[:, 0] + np.nan_to_num(X[:, 1]) + 0.1 * random.normal(size=60)


@cache
def text_of(objective: str = "regression", **parameters: int) -> str:
    X, y = data()
    y = (y > 0).astype(float) if objective == "binary" else y
    settings = (
        REPRODUCIBLE | {"objective": objective, "num_leaves": 4, "min_data_in_leaf": 5} | parameters
    )
    return train_trees(X, y, settings, 3).model_to_string()


def with_sizes(text: str) -> str:
    """The text with sizes of trees that fit it."""
    trees, end, tail = text.partition("end of trees")
    sizes = " ".join(str(len(f"Tree={block}")) for block in trees.split("Tree=")[1:])
    return re.sub("tree_sizes=.*", f"tree_sizes={sizes}", trees) + end + tail


def edited(pattern: str, new: str) -> str:
    text, count = re.subn(pattern, new, text_of(), count=1)
    assert count
    return with_sizes(text)


@pytest.mark.parametrize("objective", ["binary", "regression"])
@pytest.mark.parametrize("parameters", [{}, {"num_leaves": 31}, {"min_data_in_leaf": 1000}])
def test_what_lightgbm_writes_predicts_the_same(objective: str, parameters: dict[str, int]) -> None:
    text, (X, _) = text_of(objective, **parameters), data()
    loaded = load_trees(text, 3)
    np.testing.assert_array_equal(
        loaded.predict(X, raw_score=True), lightgbm.Booster(model_str=text).predict(X, raw_score=True)
    )
    assert check_trees(loaded.model_to_string(), 3) == check_trees(text, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no trees"),
        ("tree\n", "no trees"),
        (text_of().replace("end of trees", ""), "no end"),
        (text_of()[:-1].replace("tree\n", "forest\n", 1), "other lines"),
        (text_of().replace("max_feature_idx=2", "max_feature_idx=2000000000"), "features"),
        (text_of().replace("num_class=1", "num_class=7"), "num_class"),
        (re.sub("tree_sizes=.*", "tree_sizes=1 2 99999", text_of()), "other sizes"),
        (re.sub("tree_sizes=.*\n", "", text_of()), "tree_sizes"),
        (edited("num_leaves=4", "num_leaves=1000000000"), "1000000000 leaves"),
        (edited("num_leaves=4", "num_leaves=3"), "values in a line"),
        (edited("num_cat=0", "num_cat=1"), "categories"),
        (edited("is_linear=0", "is_linear=1"), "categories or linear"),
        (edited("left_child=.*", "left_child=0 2 -1"), "out of range, in two places"),
        (edited("left_child=.*", "left_child=9 2 -1"), "out of range"),
        (
            edited("left_child=.*\nright_child=.*", "left_child=-1 2 1\nright_child=-2 -3 -4"),
            "circle",
        ),
        (edited("split_feature=.", "split_feature=3"), "splits a feature"),
        (edited("decision_type=.", "decision_type=1"), "unknown kind"),
        (edited("leaf_value=[^ ]*", "leaf_value=nan"), "no number"),
        (edited("leaf_value=[^ ]*", "leaf_value=1e999"), "no number|too large"),
        (edited("threshold=[^ ]*", "threshold=-1e305"), "too large"),
        (edited("leaf_count=[^ ]*", "leaf_count=-1"), "leaf_count"),
        (edited("shrinkage=.*", "shrinkage=1\nmachines=evil"), "machines"),
        (edited("split_gain=[^ ]*", "split_gain=٣"), "other sizes|no LightGBM model|no number"),
    ],
)
def test_what_lightgbm_would_trust_is_refused(text: str, message: str) -> None:
    with pytest.raises(StateError, match=message):
        check_trees(text, 3)


def test_parameters_are_not_passed_on() -> None:
    assert check_trees(text_of(), 3).endswith("end of trees\n")
    assert "[num_machines: 1]" in text_of()
