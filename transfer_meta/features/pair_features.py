"""Features of pairs of tasks, computed from their profiles.

Columns are named as in a meta-dataset: ``target.size``, ``source.size``, ``ratio.size`` (target / source),
``log_ratio.size``, and ``pair.jsd`` for features of the pair itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_features import CURVE_PERCENTS
from transfer_meta.features.ratios import log_ratio, safe_ratio
from transfer_meta.features.text.bags import Comparison, compare_bags
from transfer_meta.features.text.hashing import HashArray, count_common
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.records import TaskProfile

CONTENT_FEATURES = (
    *Comparison._fields,
    "labels_jaccard",
    "labels_covered_target",
    "examples_covered_target",
    "examples_covered_source",
)


def compare_profiles(*, sources: Sequence[TaskProfile], target: TaskProfile) -> pd.DataFrame:
    """Compute the features of each source with the target, one row per source.

    Parameters
    ----------
    sources : sequence of TaskProfile
    target : TaskProfile

    Returns
    -------
    DataFrame
        ``source``, ``target``; ``target.F``, ``source.F``, ``ratio.F`` (`safe_ratio`) and ``log_ratio.F``
        (`log_ratio`) for every feature F of any of the profiles; and the features of the pair:

        - ``pair.jsd``, ``pair.types_*``, ``pair.tokens_*``, ``pair.tfidf_cosine``: see `text.bags.Comparison`;
        - ``pair.labels_jaccard``, ``pair.labels_covered_target``: shared classes or tags / all, and / the target's;
          NaN unless both tasks have some;
        - ``pair.examples_covered_target``, ``pair.examples_covered_source``: share of the target's (source's)
          distinct training examples that occur in the other task, compared by bag of words;
        - ``pair.same_type``: 1 or 0;
        - ``pair.slope_contrast_P``, ``pair.relative_slope_contrast_P``: slope of the target's learning curve at P
          percent minus the source's, largest for a flat target and a steep source, which helped most in Bingel
          & Søgaard 2017.

        ``missing``: comma-separated names of the NaN features of source, target and pair, and of logarithms of
        ratios that do not exist although both numbers do.

    Raises
    ------
    InputError
        There is no source, or profiles have different settings.
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
    target_hashes = _text_hashes(target)
    content = np.array([_content(source=_text_hashes(s), target=target_hashes) for s in sources])
    contrasts = {
        f"{kind}_contrast_{percent}": of_target[:, k] - of_source[:, k]
        for kind in ("slope", "relative_slope")
        for percent in CURVE_PERCENTS
        for k in [i for i, name in enumerate(names) if name == f"{kind}_{percent}"]
    }
    pair_names = [*CONTENT_FEATURES, "same_type", *contrasts]
    same_type = np.array([float(s.type == target.type) for s in sources])
    blocks["pair"] = np.column_stack([content, same_type, *contrasts.values()])

    columns = [
        f"{block}.{name}" for block in blocks for name in (pair_names if block == "pair" else names)
    ]
    values = np.hstack(list(blocks.values()))
    absent = np.isnan(values)
    n = len(names)
    # Derived columns are missing whenever their inputs are: do not list them again.
    absent[:, 2 * n : 3 * n] = False
    absent[:, 3 * n : 4 * n] &= ~(absent[:, :n] | absent[:, n : 2 * n])
    frame = pd.DataFrame(values, columns=columns)
    frame.insert(0, "source", [s.name for s in sources])
    frame.insert(1, "target", target.name)
    frame["missing"] = _name_rows(absent, columns)
    return frame


def _check_settings(source: TaskProfile, target: TaskProfile) -> None:
    """Raise InputError if the statistics have different vocabularies or tokens."""
    for name in source.settings.keys() & target.settings.keys():
        mine, theirs = source.settings[name], target.settings[name]
        if mine != theirs:
            raise InputError(
                f"the profiles of {source.name} and {target.name} differ in their setting {name}:"
                f" {mine} and {theirs}"
            )


def _text_hashes(profile: TaskProfile) -> TextHashes | None:
    return TextHashes.from_arrays(profile.sketches) if profile.sketches else None


def _content(*, source: TextHashes | None, target: TextHashes | None) -> tuple[float, ...]:
    """Return the `CONTENT_FEATURES`."""
    if source is None or target is None:
        return (math.nan,) * len(CONTENT_FEATURES)
    jaccard = covered = math.nan
    if len(source.labels) and len(target.labels):
        shared = count_common(source.labels, target.labels)
        jaccard = shared / (len(source.labels) + len(target.labels) - shared)
        covered = shared / len(target.labels)
    # Below both thresholds the samples of both tasks are complete.
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


def _name_rows(absent: NDArray[np.bool_], columns: Sequence[str]) -> list[str]:
    """Return the names of the true columns by row; rows share few patterns, so each is formatted once."""
    patterns, which = np.unique(np.packbits(absent, axis=1), axis=0, return_inverse=True)
    masks = np.unpackbits(patterns, axis=1, count=len(columns)).astype(bool)
    texts = [",".join(columns[k] for k in np.flatnonzero(mask).tolist()) for mask in masks]
    return [texts[k] for k in which.ravel()]
