"""Features of sets of sources: the expected gains of their members, how alike these are, what they cover.

They need no outcome of a set: the expected gains are those of single sources, predicted for a target from the
outcomes of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.features.text.text_hashes import TextHashes
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.records import FloatArray, TaskProfile
from transfer_meta.tasks.source_sets import SourceSet, parse_sources

RULE_FEATURES = ("set_mean", "set_max", "set_sum", "set_size")
"""Features by which a set can be ranked without learning."""
SET_FEATURES = (
    *RULE_FEATURES,
    "set_second", "set_alikeness", "set_nearest", "set_types_covered", "set_tokens_covered",
    "chain_last", "chain_nearer", "chain_log_tokens",
)  # fmt: skip
SIMILARITY_KIND = "textemb"
"""Kind of task vectors whose centred cosines tell how alike two tasks are."""


def set_features(
    sets: pd.DataFrame,
    expected: Mapping[tuple[str, str], float],
    *,
    profiles: Mapping[str, TaskProfile] | None = None,
    vectors: Mapping[str, Vectors] | None = None,
) -> pd.DataFrame:
    """Compute the features of sets of sources with a target.

    Parameters
    ----------
    sets : DataFrame
        Columns ``source`` (a name that `tasks.source_sets.parse_sources` reads) and ``target``.
    expected : mapping of (source, target) to float
        Expected gain of each single source on each target.
    profiles : mapping of str to TaskProfile, optional
        Of the tasks, for what the sources cover of the target.
    vectors : mapping of str to Vectors, optional
        Of the tasks, for similarities.

    Returns
    -------
    DataFrame
        ``source``, ``target`` and the features, NaN where unknown:

        - ``set_mean``, ``set_max``, ``set_sum``: mean, largest and sum of the members' expected gains;
        - ``set_size``: number of members;
        - ``set_second``: the second largest expected gain, of one source the largest;
        - ``set_alikeness``: mean similarity of two members (centred cosine of their text vectors);
        - ``set_nearest``: largest similarity of a member to the target;
        - ``set_types_covered``, ``set_tokens_covered``: share of the target's types (tokens) that a member has;
        - ``chain_last``: expected gain of the last member less the mean of all;
        - ``chain_nearer``: similarity to the target of the last member less that of the first;
        - ``chain_log_tokens``: logarithm of the ratio of training tokens, last to first.

        Those of chains are 0 for mixtures and single sources.

    Raises
    ------
    InputError
        A member has no expected gain on the target.
    """
    likeness = centred_similarities(vectors or {})
    hashes = {
        name: TextHashes.from_arrays(p.sketches) for name, p in (profiles or {}).items() if p.sketches
    }
    rows = []
    for source, target in zip(sets["source"], sets["target"], strict=True):
        members = parse_sources(str(source))
        gains = []
        for name in members.members:
            if (name, target) not in expected:
                raise InputError(
                    f"source '{name}' of the set '{source}' has no expected gain on '{target}'"
                )
            gains.append(expected[name, target])
        rows.append(
            [
                source,
                target,
                *rule_values(np.array(gains)),
                *_of_similarity(members, str(target), likeness),
                *_coverage(members.members, str(target), hashes),
                *_of_chain(members, str(target), np.array(gains), likeness, profiles or {}),
            ]
        )
    return pd.DataFrame(rows, columns=["source", "target", *SET_FEATURES])


def rule_values(gains: FloatArray) -> tuple[float, float, float, float, float]:
    """Return mean, maximum, sum and number of the members' expected gains, and the second largest.

    Examples
    --------
    >>> [round(v, 3) for v in rule_values(np.array([0.1, 0.3, -0.1]))]
    [0.1, 0.3, 0.3, 3, 0.1]
    """
    ordered = np.sort(gains)[::-1]
    second = ordered[1] if len(ordered) > 1 else ordered[0]
    return (
        float(gains.mean()),
        float(ordered[0]),
        float(gains.sum()),
        len(gains),
        float(second),
    )


def centred_similarities(vectors: Mapping[str, Vectors]) -> pd.DataFrame:
    """Return the cosine of every two tasks' vectors less the mean unit vector, a square table."""
    names = [name for name, kinds in vectors.items() if SIMILARITY_KIND in kinds]
    if not names:
        return pd.DataFrame()
    rows = np.stack([np.asarray(vectors[name][SIMILARITY_KIND], dtype=float) for name in names])
    rows = _units(rows)
    rows = _units(rows - rows.mean(axis=0)) if len(rows) > 2 else rows
    return pd.DataFrame(rows @ rows.T, index=names, columns=names)


def _units(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _of_similarity(members: SourceSet, target: str, likeness: pd.DataFrame) -> tuple[float, float]:
    known = [name for name in members.members if name in likeness.index]
    nearest = float(likeness.loc[known, target].max()) if known and target in likeness else np.nan
    if len(known) < 2:
        return np.nan, nearest
    among = likeness.loc[known, known].to_numpy()
    return float(among[np.triu_indices(len(known), 1)].mean()), nearest


def _coverage(
    members: Sequence[str], target: str, hashes: Mapping[str, TextHashes]
) -> tuple[float, float]:
    """Return the share of the target's kept types, and of their tokens, that occur in any member."""
    known = [hashes[name].bag for name in members if name in hashes]
    if target not in hashes or not known:
        return np.nan, np.nan
    bag = hashes[target].bag
    covered = np.zeros(len(bag.hashes), dtype=bool)
    for other in known:
        covered[bag.find(other.hashes)[1]] = True
    if not len(covered):
        return np.nan, np.nan
    return float(covered.mean()), float(bag.counts[covered].sum() / bag.counts.sum())


def _of_chain(
    members: SourceSet,
    target: str,
    gains: FloatArray,
    likeness: pd.DataFrame,
    profiles: Mapping[str, TaskProfile],
) -> tuple[float, float, float]:
    if not members.ordered:
        return 0.0, 0.0, 0.0
    first, last = members.members[0], members.members[-1]
    nearer = np.nan
    if {first, last, target} <= set(likeness.index):
        to_target = likeness[target].to_numpy(dtype=float)
        places = likeness.index.get_indexer(pd.Index([last, first]))
        nearer = float(to_target[places[0]] - to_target[places[1]])
    tokens = [_tokens(profiles[name]) if name in profiles else np.nan for name in (last, first)]
    ratio = float(np.log(tokens[0] / tokens[1])) if min(tokens) > 0 else np.nan
    return float(gains[-1] - gains.mean()), nearer, ratio


def _tokens(profile: TaskProfile) -> float:
    return profile.features.get("size", np.nan) * profile.features.get("length_mean", np.nan)
