"""Profiles of sources and of a target to one row of named features a pair.

Columns are named as in a meta-dataset: ``target.size``, ``source.size``, ``ratio.size`` (target / source),
``log_ratio.size``, and ``pair.jsd`` for what a pair has and its tasks have not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_features import PERCENTS
from transfer_meta.features.ratios import log_ratio, safe_ratio
from transfer_meta.features.text.bags import Comparison, compare_bags
from transfer_meta.features.text.hashing import HashArray, count_common
from transfer_meta.features.text.text_hashes import Sketch
from transfer_meta.records import TaskProfile

CONTENT_FEATURES = (
    *Comparison._fields,
    "labels_jaccard",
    "labels_covered_target",
    "examples_covered_target",
    "examples_covered_source",
)


def pair_features(*, sources: Sequence[TaskProfile], target: TaskProfile) -> pd.DataFrame:
    """One row of features for each source with the target.

    Parameters
    ----------
    sources : sequence of TaskProfile
    target : TaskProfile

    Returns
    -------
    DataFrame
        ``source``, ``target``; ``target.F``, ``source.F``, ``ratio.F`` (see `safe_ratio`) and
        ``log_ratio.F`` (see `log_ratio`) for every feature F that one of the profiles has; and of the pair:

        - ``pair.jsd``, ``pair.types_*``, ``pair.tokens_*``, ``pair.tfidf_cosine``: see
          `transfer_meta.features.text.bags.Comparison`;
        - ``pair.labels_jaccard``, ``pair.labels_covered_target``: shared classes or tags / all of them, and /
          the target's; NaN unless both tasks have some;
        - ``pair.examples_covered_target``, ``pair.examples_covered_source``: share of the target's (source's)
          different training examples that are in the other's too, by their bags of words;
        - ``pair.same_type``: 1 or 0;
        - ``pair.slope_contrast_P``, ``pair.relative_slope_contrast_P``: slope of the target's learning curve
          less the source's at P percent, greatest for a flat target and a steep source, which Bingel &
          Søgaard 2017 found to help most.

        ``missing`` names, separated by commas, the features of the source, the target and the pair that are
        NaN, and the logarithms of ratios that do not exist although both numbers do.

    Raises
    ------
    InputError
        No source, or profiles of different settings.
    """
    if not sources:
        raise InputError("no sources to pair with the target")
    for source in sources:
        _check_settings(source, target)

    names = list(dict.fromkeys(name for p in (target, *sources) for name in p.features))
    of_source = np.array([[p.features.get(name, np.nan) for name in names] for p in sources])
    of_target = np.array([[target.features.get(name, np.nan) for name in names]])
    of_target = np.repeat(of_target, len(sources), axis=0)
    blocks = {
        "target": of_target,
        "source": of_source,
        "ratio": safe_ratio(target=of_target, source=of_source),
        "log_ratio": log_ratio(target=of_target, source=of_source),
    }
    sketch = _sketch(target)
    content = np.array([_content(source=_sketch(s), target=sketch) for s in sources])
    contrasts = {
        f"{kind}_contrast_{percent}": of_target[:, k] - of_source[:, k]
        for kind in ("slope", "relative_slope")
        for percent in PERCENTS
        for k in _where(names, f"{kind}_{percent}")
    }
    pair_names = [*CONTENT_FEATURES, "same_type", *contrasts]
    same_type = np.array([float(s.type == target.type) for s in sources])
    blocks["pair"] = np.column_stack([content, same_type, *contrasts.values()])

    columns = [
        f"{role}.{name}" for role in ("target", "source", "ratio", "log_ratio") for name in names
    ]
    columns += [f"pair.{name}" for name in pair_names]
    values = np.hstack(list(blocks.values()))
    absent = np.isnan(values)
    n = len(names)
    # Derived columns are missing with what they derive from: that is not said again.
    absent[:, 2 * n : 3 * n] = False
    absent[:, 3 * n : 4 * n] &= ~(absent[:, :n] | absent[:, n : 2 * n])
    frame = pd.DataFrame(values, columns=columns)
    frame.insert(0, "source", [s.name for s in sources])
    frame.insert(1, "target", target.name)
    frame["missing"] = _name_rows(absent, columns)
    return frame


def _check_settings(source: TaskProfile, target: TaskProfile) -> None:
    """Statistics of different vocabularies or tokens cannot be compared."""
    for name in source.settings.keys() & target.settings.keys():
        mine, theirs = source.settings[name], target.settings[name]
        if mine != theirs:
            raise InputError(
                f"the profiles of {source.name} and {target.name} differ in their setting {name}:"
                f" {mine} and {theirs}"
            )


def _sketch(profile: TaskProfile) -> Sketch | None:
    return Sketch.from_arrays(profile.sketches) if profile.sketches else None


def _content(*, source: Sketch | None, target: Sketch | None) -> tuple[float, ...]:
    """`CONTENT_FEATURES`, from the sketches."""
    if source is None or target is None:
        return (math.nan,) * len(CONTENT_FEATURES)
    jaccard = covered = math.nan
    if len(source.labels) and len(target.labels):
        shared = count_common(source.labels, target.labels)
        jaccard, covered = (
            shared / (len(source.labels) + len(target.labels) - shared),
            shared / len(target.labels),
        )
    # Below both thresholds each side has all its examples.
    threshold = min(source.example_threshold, target.example_threshold)
    s_examples = _below(source.examples, threshold)
    t_examples = _below(target.examples, threshold)
    common = count_common(s_examples, t_examples)
    return (
        *compare_bags(source=source.bag, target=target.bag),
        jaccard,
        covered,
        common / len(t_examples) if len(t_examples) else math.nan,
        common / len(s_examples) if len(s_examples) else math.nan,
    )


def _below(hashes: HashArray, threshold: np.uint64) -> HashArray:
    return hashes[: np.searchsorted(hashes, threshold)]


def _where(names: Sequence[str], name: str) -> list[int]:
    return [names.index(name)] if name in names else []


def _name_rows(absent: NDArray[np.bool_], columns: Sequence[str]) -> list[str]:
    """For each row the columns that are true; few rows differ, so each pattern is spelled out once."""
    patterns, which = np.unique(np.packbits(absent, axis=1), axis=0, return_inverse=True)
    masks = np.unpackbits(patterns, axis=1, count=len(columns)).astype(bool)
    texts = [",".join(columns[k] for k in np.flatnonzero(mask).tolist()) for mask in masks]
    return [texts[k] for k in which.ravel()]
