"""Expected gains of single sources on held-out targets, and the features of sets that are made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.pair_values import seed_weights, training_values
from transfer_meta.features.source_set_features import SET_FEATURES, set_features
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.predictors import make_predictor
from transfer_meta.records import TaskProfile
from transfer_meta.tasks.source_sets import is_set

SINGLE_GAIN_PREDICTOR = "default"
UNKNOWN_TARGET_PREDICTOR = "source-popularity"
"""For targets without features: they need no feature of the target."""


def expected_single_gains(
    singles: OutcomeTable,
    targets: Iterable[str],
    *,
    settings: Collection[str] = (),
    relatives: Mapping[str, Collection[str]] | None = None,
) -> dict[tuple[str, str], float]:
    """Predict the gains of single sources on targets, each held out.

    Parameters
    ----------
    singles : OutcomeTable
        Outcomes of single sources.
    targets : iterable of str
        A target of the table is predicted by `SINGLE_GAIN_PREDICTOR` from the outcomes of the other targets, one
        that is not in it by `UNKNOWN_TARGET_PREDICTOR`.
    settings : collection of str
        Settings of the table to use; empty: all.  The expected gain is the mean over them.
    relatives : mapping of str to collection of str, optional
        By target, further targets that are left out with it, such as other parts of the same collection.

    Returns
    -------
    dict of (source, target) to float

    Raises
    ------
    InputError
        A setting that the table lacks, or fewer than two targets in it.
    """
    data = build_metadataset(singles)
    y, X = training_values(data), data.X
    missing = set(settings) - set(X["setting"])
    if missing:
        raise InputError(f"'{singles.name}' has no setting '{min(missing)}'")
    rows = X["setting"].isin(list(settings)) if settings else pd.Series(True, index=X.index)
    rows &= ~X["source"].map(is_set).astype(bool)
    weight = seed_weights(singles.pairs, data.target)
    known = set(X.loc[rows, "target"])
    if len(known) < 2:
        raise InputError(
            f"'{singles.name}' has outcomes of {len(known)} targets (expected at least two)"
        )
    found: dict[tuple[str, str], float] = {}
    for target in dict.fromkeys(targets):
        left_out = {target, *(relatives or {}).get(target, ())}
        train = (rows & ~X["target"].isin(left_out)).to_numpy()
        if target in known:
            name, asked = SINGLE_GAIN_PREDICTOR, X[(rows & (X["target"] == target)).to_numpy()]
        else:
            name, asked = UNKNOWN_TARGET_PREDICTOR, X[train].drop_duplicates(["setting", "source"])
        predictor = make_predictor(name).fit_weighted(
            X[train], y[train], None if weight is None else weight[train]
        )
        gains = pd.Series(predictor.predict(asked)).groupby(asked["source"].to_numpy()).mean()
        found |= {(str(source), target): float(gain) for source, gain in gains.items()}
    return found


def with_set_features(
    sets: OutcomeTable,
    expected: Mapping[tuple[str, str], float],
    *,
    profiles: Mapping[str, TaskProfile] | None = None,
    vectors: Mapping[str, Vectors] | None = None,
) -> OutcomeTable:
    """Return a table of sets of sources with `set_features` as further features of its pairs.

    Parameters
    ----------
    sets : OutcomeTable
        Sources such as ``one+two`` and ``one>two``; single ones are sets of one.
    expected : mapping of (source, target) to float
        Expected gain of each single source, for example from `expected_single_gains`.
    profiles, vectors
        Of the tasks, see `set_features`.

    Raises
    ------
    InputError
        A member has no expected gain on its target.
    """
    pairs = sets.pairs
    cells = pairs[["source", "target"]].drop_duplicates()
    features = set_features(cells, expected, profiles=profiles, vectors=vectors)
    kept = [c for c in pairs if c not in SET_FEATURES]
    merged = pairs[kept].merge(features, on=["source", "target"], how="left", validate="many_to_one")
    others = tuple(f for f in sets.pair_features if f not in SET_FEATURES)
    return replace(sets, pairs=merged, pair_features=(*others, *SET_FEATURES))
