"""Definitions of a pair's gain: the mean over its runs, or TaskShop's mixture."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from transfer_meta.errors import InputError, unknown
from transfer_meta.outcomes.tables import OutcomeTable

GAIN_DEFINITIONS = ("mean-gain", "taskshop")

IMPROVED = 0.2
"""What a run that improved on its baseline counts more than one that did not, in TaskShop's mixture."""


def apply_gain_definition(table: OutcomeTable, definition: str) -> OutcomeTable:
    """Replace the gains of a table by another definition of the gain.

    Parameters
    ----------
    table
        Outcomes with gains.
    definition
        ``mean-gain``: as it is.  ``taskshop``: half the mean gain and half of (0.2 × fraction of runs that improved
        on their baseline − 0.1).

    Returns
    -------
    OutcomeTable
        ``gain`` and ``gain_std`` of its runs and pairs are replaced; scores and baselines stay.

    Raises
    ------
    InputError
        Another definition, or a table without gains.

    Notes
    -----
    Both parts are means over a pair's runs, so that the mixture is the mean of each run's own,
    gain / 2 + 0.1 · [gain > 0] − 0.05, and its standard deviation that of those.

    Source: Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP".

    Examples
    --------
    >>> from transfer_meta.outcomes.tables import build_table
    >>> runs = pd.DataFrame({"source": "a", "target": "b", "seed": [1, 2], "gain": [0.1, -0.04]})
    >>> mixed = apply_gain_definition(build_table(runs), "taskshop")
    >>> round(float(mixed.pairs["gain"][0]), 3)  # 0.03 / 2 + (0.2 · 1/2 − 0.1) / 2
    0.015
    """
    if definition not in GAIN_DEFINITIONS:
        raise unknown("gain definition", definition, GAIN_DEFINITIONS)
    if definition == "mean-gain":
        return table
    if not table.has_gain:
        raise InputError(
            f"'{table.name}' has scores without baselines: the gain definition 'taskshop' needs gains"
        )
    gain = table.runs["gain"]
    runs = table.runs.assign(gain=(gain + IMPROVED * (gain > 0) - IMPROVED / 2) / 2)
    key = ["setting", "source", "target"]
    found = runs.groupby(key, sort=False)["gain"].agg(["mean", "std"])
    rows = pd.MultiIndex.from_frame(table.pairs[key])
    mean, std = (found[column].reindex(rows).to_numpy() for column in ("mean", "std"))
    return replace(table, runs=runs, pairs=table.pairs.assign(gain=mean, gain_std=std))
