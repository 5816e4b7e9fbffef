"""LightGBM models as text, checked before LightGBM reads them.

LightGBM trusts its text format: a child out of range is a segmentation fault at the first prediction, a cycle a
loop without end, a wrong count an abort, none of which Python can catch.  `load_trees` therefore accepts only what
these predictors write: one tree per iteration, numeric splits, constant leaves.  Every line is checked against a
closed list of keys and a pattern, every index against its range, and every tree for being one: each node and each
leaf hangs from one place, and all from the root.  What follows the trees (importances, parameters) is left out.

The check leaves LightGBM nothing to fail on, as far as is known: of 12,000 random edits of the text it accepted
2,600, all of which were read and predicted (`tests/test_model_mutations.py` repeats 1,200).  What it accepts is
loaded in a child process first all the same (`tree_process`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from transfer_meta.predictors.state_kinds import (
    MAX_NUMBER,
    TREES,
    Kind,
    Scope,
    StateError,
    Text,
    check_keys,
)
from transfer_meta.predictors.tree_process import try_in_child
from transfer_meta.readers.opening import shown

MAX_TREES = 20_000
MAX_LEAVES = 4_096
"""Of one tree.  Bounds its depth too, at which LightGBM calls itself."""
_NUMBER = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?(?:e[+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,10}", re.ASCII)
_HEADER = {
    "version": re.compile(r"v[34]"),
    "num_class": re.compile(r"1"),
    "num_tree_per_iteration": re.compile(r"1"),
    "label_index": re.compile(r"0"),
    "max_feature_idx": _WHOLE,
    "objective": re.compile(r"binary sigmoid:1|regression|lambdarank"),
    "feature_names": re.compile(r"Column_\d{1,9}(?: Column_\d{1,9})*", re.ASCII),
    "feature_infos": re.compile(
        r"(?:none|\[[-+.\de:]{3,60}\])(?: (?:none|\[[-+.\de:]{3,60}\]))*", re.ASCII
    ),
    "tree_sizes": re.compile(r"\d{1,9}(?: \d{1,9})*", re.ASCII),
}
"""Lines before the trees, in LightGBM's order, and the patterns of their values."""
_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_NODES = ("internal_value", "internal_weight", "internal_count")
_TREE = ("num_leaves", "num_cat", *_SPLITS, *_LEAVES, *_NODES, "is_linear", "shrinkage")
"""Lines of a tree, in LightGBM's order."""
_WHOLE_KEYS = (
    "split_feature",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_count",
    "internal_count",
)
_DECISIONS = (0, 2, 4, 6, 8, 10)
"""Numeric splits: 2 sends missing values to the left, 4 and 8 say what is missing."""
_END = "end of trees\n"


@dataclass(frozen=True)
class Trees(Kind):
    """A LightGBM model on the features of an axis, or None.

    Parameters
    ----------
    axis : str
        A sum of known axes, see `Scope.check_size`.
    """

    axis: str

    def read(self, value: Any, scope: Scope) -> Any:
        if value is None:
            return None
        check_keys(value, {TREES: Text()})
        name = Text().read(value[TREES])
        n_features = sum(scope.sizes[term] for term in self.axis.split("+"))
        try:
            return load_trees(scope.text_of(name), n_features)
        except StateError as error:
            raise StateError(f"in {shown(name)} {error}") from error


def load_trees(text: str, n_features: int) -> Any:
    """Return the LightGBM model that a text holds.

    Parameters
    ----------
    text : str
        As from `lightgbm.Booster.model_to_string`.
    n_features : int
        Number of features it must have.

    Raises
    ------
    StateError
        The text is not of a model of these predictors, has other features, or a child process that loads it does
        not survive.
    """
    checked = check_trees(text, n_features)
    try_in_child(checked, n_trees=checked.count("Tree="), n_features=n_features)
    import lightgbm

    try:
        return lightgbm.Booster(model_str=checked)
    except lightgbm.basic.LightGBMError as error:
        raise StateError(f"is no LightGBM model: {shown(str(error), 120)}") from error


def check_trees(text: str, n_features: int) -> str:
    """Return the part of a LightGBM model's text that predicts, after checking it; see `load_trees`."""
    trees, end, _ = text.partition(_END)
    head, *rest = trees.split("Tree=")
    if not end or not rest:
        raise StateError("is no LightGBM model: it has no trees, or no end of them")
    if len(rest) > MAX_TREES:
        raise StateError(f"has more than {MAX_TREES:,} trees")
    header = _lines(head.removeprefix("tree\n"), tuple(_HEADER), "its head")
    for key, pattern in _HEADER.items():
        if not pattern.fullmatch(header[key]):
            raise StateError(
                f"has the {key} '{shown(header[key])}', which none of these predictors writes"
            )
    found = int(header["max_feature_idx"]) + 1
    names = [f"Column_{i}" for i in range(n_features)]
    if found != n_features or header["feature_names"].split(" ") != names:
        raise StateError(f"has {found} features, or others than expected ({n_features})")
    if len(header["feature_infos"].split(" ")) != n_features:
        raise StateError("describes another number of features than it has")
    blocks = [f"Tree={block}" for block in rest]
    if [int(size) for size in header["tree_sizes"].split(" ")] != [len(b) for b in blocks]:
        raise StateError("has trees of other sizes than it says")
    if head[:5] != "tree\n" or not text.isascii():
        raise StateError("is no LightGBM model")
    for number, block in enumerate(blocks):
        try:
            _check_tree(block.removeprefix(f"Tree={number}\n"), n_features)
        except StateError as error:
            raise StateError(f"has a tree (number {number}) that {error}") from error
    return trees + end


def _check_tree(block: str, n_features: int) -> None:
    lines = _lines(block, _TREE, "it")
    n_leaves = int(_numbers(lines["num_leaves"], 1, whole=True)[0])
    if not 1 <= n_leaves <= MAX_LEAVES:
        raise StateError(f"has {n_leaves} leaves (expected 1 to {MAX_LEAVES:,})")
    if (lines["num_cat"], lines["is_linear"]) != ("0", "0"):
        raise StateError("has categories or linear leaves")
    _numbers(lines["shrinkage"], 1)
    n_nodes = n_leaves - 1
    sizes = dict.fromkeys(_SPLITS + _NODES, n_nodes) | dict.fromkeys(_LEAVES, n_leaves)
    if n_leaves == 1 and not lines["leaf_weight"]:
        del sizes["leaf_weight"]  # of a constant
    values = {key: _numbers(lines[key], size, whole=key in _WHOLE_KEYS) for key, size in sizes.items()}
    for key in ("leaf_count", "internal_count"):
        if any(not 0 <= count < 2**31 for count in values[key]):
            raise StateError(f"has a {key} out of range")
    if any(not 0 <= feature < n_features for feature in values["split_feature"]):
        raise StateError(f"splits a feature that is not among the {n_features}")
    if any(decision not in _DECISIONS for decision in values["decision_type"]):
        raise StateError("has a split of an unknown kind")
    _check_children([int(v) for v in values["left_child"]], [int(v) for v in values["right_child"]])


def _check_children(left: list[int], right: list[int]) -> None:
    """Raise StateError unless the children make one tree: leaf i is the child ~i, the root is node 0."""
    children = [*left, *right]
    if sorted(children) != [v for v in range(-len(left) - 1, len(left)) if v] and left:
        raise StateError("has nodes or leaves out of range, in two places or in none")
    # Each node has one parent, and the root none: what is reached from the root is a tree, the rest are circles.
    reached, waiting = 0, [0] if left else []
    while waiting:
        node = waiting.pop()
        reached += 1
        waiting += [child for child in (left[node], right[node]) if child >= 0]
    if reached != len(left):
        raise StateError("has nodes in a circle")


def _lines(block: str, keys: tuple[str, ...], where: str) -> dict[str, str]:
    """Return the values of the lines ``key=value``, which must be these in this order; empty lines may follow."""
    lines = block.rstrip("\n").split("\n")
    found = dict(line.partition("=")[::2] for line in lines)
    if tuple(found) != keys or len(lines) != len(keys):
        odd = next(
            (k for k in found if k not in keys), next((k for k in keys if k not in found), "order")
        )
        raise StateError(
            f"has other lines than a LightGBM model, or in another order ({where}: {shown(odd)})"
        )
    return found


def _numbers(line: str, size: int, *, whole: bool = False) -> list[float]:
    """Return the numbers of a line, separated by single blanks."""
    texts = line.split(" ") if line else []
    if len(texts) != size:
        raise StateError(f"has {len(texts)} values in a line (expected {size})")
    pattern = _WHOLE if whole else _NUMBER
    if not all(pattern.fullmatch(text) for text in texts):
        raise StateError("has a value that is no number")
    values = [int(text) if whole else float(text) for text in texts]
    if any(abs(value) > MAX_NUMBER**3 for value in values):
        raise StateError("has a number that is too large")
    return values
