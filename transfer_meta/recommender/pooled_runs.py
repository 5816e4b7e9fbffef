"""Outcomes of one setting from several tables, or from seeds that did not run the same sources."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from transfer_meta.outcomes.tables import OutcomeTable
from transfer_meta.records import FloatArray

DIGITS = 9
"""Decimal places of aligned gains: a digest must not depend on the last bits of a least-squares solution."""


def pooled_pairs(tables: Sequence[OutcomeTable]) -> pd.DataFrame:
    """Return the pairs of tables of one setting: means over the runs of a pair, whichever table they are in.

    A gain is relative to the baseline of its own table and seed.  Where these did not run the same sources on a
    target, their gains are aligned first, see `aligned_gains`.

    Returns
    -------
    DataFrame
        ``source``, ``target``, ``gain``, ``gain_std``, ``n_seeds``, and ``baseline`` if it is known.
    """
    if len(tables) == 1 and tables[0].has_means:
        return tables[0].pairs
    runs = pd.concat(
        [table.runs.assign(run_set=f"{i} " + table.runs["seed"].astype(str)) for i, table in enumerate(tables)],
        ignore_index=True,
    )  # fmt: skip
    parts = [aligned_gains(rows) for _, rows in runs.groupby("target", sort=False)]
    if len(tables) == 1 and all(part is None for part in parts):
        return tables[0].pairs
    for part in parts:
        if part is not None:
            runs.loc[part.index, "gain"] = part
    groups = runs.groupby(["source", "target"], sort=False)
    pairs = groups[[c for c in ("gain", "baseline") if c in runs]].mean()
    pairs["gain_std"], pairs["n_seeds"] = groups["gain"].std(), groups.size()
    return pairs.reset_index()


def aligned_gains(runs: pd.DataFrame) -> pd.Series | None:
    """Return the gains on one target less what all gains of a baseline have in common.

    A baseline that is low by chance raises the gains of every source it is compared with.  That cancels out in
    means over the same baselines, but would favour sources that were compared with one of them alone.  So each
    gain is taken as the sum of a value of the source and one of the ``run_set``, fitted by least squares, and the
    latter, of mean 0 over the runs, is subtracted.

    Parameters
    ----------
    runs : DataFrame
        ``source``, ``run_set``, ``gain``.

    Returns
    -------
    Series or None
        Index as in `runs`; None if all run sets have the same sources, and nothing is to be aligned.
    """
    if runs.groupby("run_set")["source"].agg(frozenset).nunique() == 1:
        return None
    sets, sources = (pd.factorize(runs[name])[0] for name in ("run_set", "source"))
    gain: FloatArray = runs["gain"].to_numpy(dtype=float)
    n_sets = int(sets.max()) + 1
    design = np.zeros((len(runs), n_sets + int(sources.max()) + 1))
    every = np.arange(len(runs))
    design[every, sets] = design[every, n_sets + sources] = 1.0
    offset = np.linalg.lstsq(design, gain, rcond=None)[0][sets]
    return pd.Series((gain - (offset - offset.mean())).round(DIGITS), index=runs.index)
