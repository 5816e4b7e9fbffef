"""What counts as a pair's truth: the mean gain over its runs, or TaskShop's mixture."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from transfer_meta.errors import InputError, unknown
from transfer_meta.outcomes.tables import OutcomeTable

TRUTHS = ("mean-gain", "taskshop")

IMPROVED = 0.2
"""What a run that improved on its baseline counts more than one that did not, in TaskShop's mixture."""


def with_truth(table: OutcomeTable, truth: str) -> OutcomeTable:
    """The table with another truth in the place of its gains.

    Parameters
    ----------
    table
        Outcomes with gains.
    truth
        ``mean-gain``: as it is.  ``taskshop``: half the mean gain and half of (0.2 × fraction of runs that improved
        on their baseline − 0.1).

    Returns
    -------
    OutcomeTable
        ``gain`` and ``gain_std`` of its runs and pairs are replaced; scores and baselines stay.

    Raises
    ------
    InputError
        Another truth, or a table without gains.

    Notes
    -----
    Both parts are means over a pair's runs, so that the mixture is the mean of each run's own,
    gain / 2 + 0.1 · [gain > 0] − 0.05, and its standard deviation that of those.

    Source: Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP".

    Examples
    --------
    >>> from transfer_meta.outcomes.tables import build_table
    >>> runs = pd.DataFrame({"source": "a", "target": "b", "seed": [1, 2], "gain": [0.1, -0.04]})
    >>> mixed = with_truth(build_table(runs), "taskshop")
    >>> round(float(mixed.pairs["gain"][0]), 3)  # 0.03 / 2 + (0.2 · 1/2 − 0.1) / 2
    0.015
    """
    if truth not in TRUTHS:
        raise unknown("truth", truth, TRUTHS)
    if truth == "mean-gain":
        return table
    if not table.has_gain:
        raise InputError(
            f"'{table.name}' has scores without baselines: the truth 'taskshop' needs gains"
        )
    gain = table.runs["gain"]
    runs = table.runs.assign(gain=(gain + IMPROVED * (gain > 0) - IMPROVED / 2) / 2)
    key = ["setting", "source", "target"]
    found = runs.groupby(key, sort=False)["gain"].agg(["mean", "std"])
    rows = pd.MultiIndex.from_frame(table.pairs[key])
    mean, std = (found[column].reindex(rows).to_numpy() for column in ("mean", "std"))
    return replace(table, runs=runs, pairs=table.pairs.assign(gain=mean, gain_std=std))
