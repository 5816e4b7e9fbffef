"""Sets of sources in a recommendation: those with the largest expected gains, by `predictors.set_gains`."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from transfer_meta.predictors.set_gains import best_sets
from transfer_meta.recommender.candidates import shared_examples
from transfer_meta.recommender.recommendation import RankedSet
from transfer_meta.records import TaskProfile
from transfer_meta.tasks.source_sets import IN_TURN, TOGETHER

MAX_SETS = 10
"""Largest number of sets that are returned."""
MAX_COMMON_EXAMPLES = 0.5
"""Largest share of examples, of either task, that two sources of a set have in common."""


def rank_sets(
    candidates: pd.DataFrame,
    profiles: Mapping[str, TaskProfile],
    size: int,
    *,
    ordered: bool,
    n: int,
    best_gain: float,
) -> tuple[tuple[RankedSet, ...], list[str]]:
    """Return the sets with the largest expected gains, the best first, and notes on them.

    Of sources that have most of their examples in common the one with the larger expected gain is used.

    Parameters
    ----------
    candidates : DataFrame
        Sources whose expected gains rest on something, as `predictors.set_gains.best_sets` takes them.
    profiles : mapping of str to TaskProfile
        By label, for the examples in common.
    size : int
        Sources in a set.
    ordered : bool
        Whether the sets are chains instead of mixtures.
    n : int
        Number of sets, at most; no more than `MAX_SETS`.
    best_gain : float
        Expected gain of the best source alone.
    """
    n = min(n, MAX_SETS)
    chosen: list[str] = []
    alike: list[str] = []
    for label in candidates.sort_values("gain", ascending=False, kind="stable").index:
        if len(chosen) == size + n - 1:
            break
        if TOGETHER in label or IN_TURN in label:
            continue  # it could not be told from a set
        common = shared_examples(profiles[label], [profiles[one] for one in chosen])
        twin = next((i for i, share in enumerate(common) if share > MAX_COMMON_EXAMPLES), None)
        if twin is None:
            chosen.append(label)
        else:
            alike.append(f"{label} (of {chosen[twin]})")
    notes = (
        [f"left out of sets, most examples are those of another one: {', '.join(alike)}"]
        if alike
        else []
    )
    if len(chosen) < size:
        return (), [
            *notes,
            f"no set of {size} sources: {len(chosen)} are ranked by more than a description",
        ]
    found = best_sets(candidates.loc[chosen], size, ordered=ordered, n=n)
    sets = tuple(
        RankedSet(
            source=row["source"],
            members=tuple(row["members"]),
            expected_gain=float(row["gain"]),
            low=float(row["low"]),
            high=float(row["high"]),
            over_best=float(row["gain"]) - best_gain,
        )
        for row in found.to_dict("records")
    )
    return sets, [*notes, *_measured(size)]


def _measured(size: int) -> list[str]:
    """Return what was measured of sets; the figures are those of docs/explanation/results/sets.md."""
    notes = [
        "a set is expected to gain the mean of what its sources gain, one after the other (one>two) or together"
        " with the target (one+two): none is ahead of the best source alone",
        "pairs that were tried (minilm-31-sets, 5 targets) gained 3.0 percentage points less one after the other,"
        " 2.4 less together, than their source that was expected to gain most; 90 % intervals held 84 % and 85 %",
    ]
    if size > 2:
        notes.append(
            f"sets of {size} were measured zero-shot alone (taskweb-sets), where more sources gained more"
        )
    return notes
