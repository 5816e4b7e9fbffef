"""Expected gains of sets of sources from those of their members, and the best sets of a size.

The gain of a pair of sources, trained on before a target or beside it, was the mean of its members' gains, and no
learned predictor ranked sets better than the expected gains of their members (docs/explanation/results/sets.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError, nearest
from transfer_meta.tasks.source_sets import SourceSet, is_set

MAX_COMBINATIONS = 1_000_000
"""Largest number of combinations of sources that are compared."""
SET_GAIN_COLUMNS = ("source", "members", "ordered", "gain", "low", "high", "over_best")


def expected_set_gains(sets: Iterable[SourceSet], candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the expected gains of sets of sources: the means over their members.

    Parameters
    ----------
    sets : iterable of SourceSet
    candidates : DataFrame
        One row per source (its index): ``gain``, the expected gain of the source alone, and the ends ``low`` and
        ``high`` of its interval; fractions.

    Returns
    -------
    DataFrame
        One row per set: ``source`` (its name in a table of outcomes), ``members``, ``ordered``, ``gain``, ``low``,
        ``high`` and ``over_best``, the expected gain less that of the best single candidate.

    Raises
    ------
    InputError
        A column or a member is missing.

    Examples
    --------
    >>> known = pd.DataFrame({"gain": [0.1, 0.04], "low": [-0.1, -0.1], "high": [0.3, 0.2]}, index=["a", "b"])
    >>> expected_set_gains([SourceSet(("a", "b"))], known)[["source", "gain", "high", "over_best"]].round(2)
      source  gain  high  over_best
    0    a+b  0.07  0.25      -0.03
    """
    _check(candidates)
    best = float(candidates["gain"].max())
    rows = []
    for chosen in sets:
        for name in chosen.members:
            if name not in candidates.index:
                raise InputError(
                    f"source '{name}' of a set is no candidate{nearest(name, map(str, candidates.index))}"
                )
        gain, low, high = (
            candidates.loc[list(chosen.members), ["gain", "low", "high"]]
            .to_numpy(dtype=float)
            .mean(axis=0)
        )
        rows.append((str(chosen), chosen.members, chosen.ordered, gain, low, high, gain - best))
    return pd.DataFrame(rows, columns=list(SET_GAIN_COLUMNS))


def best_sets(
    candidates: pd.DataFrame, size: int, *, ordered: bool = False, n: int = 5
) -> pd.DataFrame:
    """Return the sets of a size with the largest expected gains, best first.

    Parameters
    ----------
    candidates : DataFrame
        As in `expected_set_gains`.  For chains also ``similarity``, that of the source to the target, if known: the
        nearest member comes last.
    size : int
        Sources in a set.
    ordered : bool
        Whether the sets are chains instead of mixtures.
    n : int
        Number of sets, at most.

    Returns
    -------
    DataFrame
        As from `expected_set_gains`.

    Raises
    ------
    InputError
        More sources in a set than candidates, a column is missing, or the name of a candidate stands for a set.

    Notes
    -----
    The expected gain of a set rises with that of each member.  So the n best sets consist of the first size + n − 1
    sources, and the best one is found by adding the best source that is left, one after the other.  A chain keeps
    the order of the expected gains, best first, where no similarity is known.
    """
    _check(candidates)
    if not 1 <= size <= len(candidates):
        raise InputError(
            f"{size} sources at once, of {len(candidates)} candidates (expected 1 to all of them)"
        )
    if n < 1:
        raise InputError(f"the number of sets must be at least 1, got {n}")
    several = [str(name) for name in candidates.index if is_set(str(name))]
    if several:
        raise InputError(
            f"candidate '{several[0]}' is a set of sources itself (expected single sources)"
        )
    first = candidates.sort_values("gain", ascending=False, kind="stable")
    few = first.iloc[: min(len(first), size + n - 1)]
    if math.comb(len(few), size) > MAX_COMBINATIONS:
        raise InputError(
            f"the {n} best sets of {size} sources are too many to list (expected fewer sets or sources in each)"
        )
    gains = few["gain"].to_numpy(dtype=float)
    places = np.array(list(combinations(range(len(few)), size)))
    order = np.argsort(-gains[places].sum(axis=1), kind="stable")[:n]
    chosen = [few.index[list(places[row])] for row in order]
    return expected_set_gains(
        [
            SourceSet(_in_order(few, members) if ordered else tuple(members), ordered)
            for members in chosen
        ],
        candidates,
    )


def _in_order(candidates: pd.DataFrame, members: Iterable[str]) -> tuple[str, ...]:
    names = list(members)
    if "similarity" not in candidates or candidates.loc[names, "similarity"].isna().any():
        return tuple(names)
    return tuple(candidates.loc[names, "similarity"].sort_values(kind="stable").index)


def _check(candidates: pd.DataFrame) -> None:
    for column in ("gain", "low", "high"):
        if column not in candidates:
            raise InputError(f"the candidates lack the column '{column}'")
    if candidates.empty:
        raise InputError("no candidates to make a set of (expected at least one source)")
    if candidates.index.has_duplicates:
        name = candidates.index[candidates.index.duplicated()][0]
        raise InputError(f"candidate '{name}' occurs twice (expected one row per source)")
