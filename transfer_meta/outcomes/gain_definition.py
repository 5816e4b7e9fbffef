"""Definitions of a pair's gain: the mean over its runs, or TaskShop's mixture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from transfer_meta.errors import InputError, unknown
from transfer_meta.outcomes.table_checks import IMPROVED_COLUMN
from transfer_meta.outcomes.tables import OutcomeTable

IMPROVEMENT_WEIGHT = 0.2
"""What a run that improved on its baseline counts more than one that did not, in TaskShop's mixture."""


@dataclass(frozen=True)
class GainDefinition:
    """A definition of the gain of a run; the gain of a pair is the mean over its runs.

    Parameters
    ----------
    name : str
        Name in tables, JSON and on the command line.
    transform : callable or None
        Computes gains from relative gains and the shares of runs that improved; None leaves them as they are.
    """

    name: str
    transform: Callable[[pd.Series, pd.Series], pd.Series] | None = None


def _taskshop(gain: pd.Series, improved: pd.Series) -> pd.Series:
    return (gain + IMPROVEMENT_WEIGHT * improved - IMPROVEMENT_WEIGHT / 2) / 2


MEAN_GAIN = GainDefinition("mean-gain")
GAIN_DEFINITIONS: dict[str, GainDefinition] = {
    definition.name: definition for definition in (MEAN_GAIN, GainDefinition("taskshop", _taskshop))
}


def find_gain_definition(name: str) -> GainDefinition:
    """Return the gain definition of a name; raises InputError for an unknown name."""
    if name not in GAIN_DEFINITIONS:
        raise unknown("gain definition", name, GAIN_DEFINITIONS)
    return GAIN_DEFINITIONS[name]


def apply_gain_definition(table: OutcomeTable, definition: GainDefinition) -> OutcomeTable:
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
        ``gain`` and ``gain_std`` of its runs and pairs are replaced; scores and baselines stay.  Of a table of
        means ``gain_std`` becomes the largest that the mixture can have, and the noise ceiling is left out.

    Raises
    ------
    InputError
        A table without gains, or one of means that does not state the share of runs that improved.

    Notes
    -----
    Both parts are means over a pair's runs, so that the mixture is the mean of each run's own,
    gain / 2 + 0.1 · [gain > 0] − 0.05, and its standard deviation that of those.

    Source: Kim et al. 2023, "TaskWeb: Selecting Better Source Tasks for Multi-task NLP".

    Examples
    --------
    >>> from transfer_meta.outcomes.tables import build_table
    >>> runs = pd.DataFrame({"source": "a", "target": "b", "seed": [1, 2], "gain": [0.1, -0.04]})
    >>> mixed = apply_gain_definition(build_table(runs), GAIN_DEFINITIONS["taskshop"])
    >>> round(float(mixed.pairs["gain"][0]), 3)  # 0.03 / 2 + (0.2 · 1/2 − 0.1) / 2
    0.015
    """
    if definition.transform is None:
        return table
    if not table.has_gain:
        raise InputError(
            f"'{table.name}' has scores without baselines: the gain definition '{definition.name}' needs gains"
        )
    if table.has_means:
        return _apply_to_means(table, definition.transform)
    gain = table.runs["gain"]
    runs = table.runs.assign(gain=definition.transform(gain, gain > 0))
    key = ["setting", "source", "target"]
    found = runs.groupby(key, sort=False)["gain"].agg(["mean", "std"])
    rows = pd.MultiIndex.from_frame(table.pairs[key])
    mean, std = (found[column].reindex(rows).to_numpy() for column in ("mean", "std"))
    return replace(table, runs=runs, pairs=table.pairs.assign(gain=mean, gain_std=std))


def _apply_to_means(
    table: OutcomeTable, transform: Callable[[pd.Series, pd.Series], pd.Series]
) -> OutcomeTable:
    """Return a table of means, whose rows are its pairs, with other gains."""
    runs, pairs = table.runs, table.pairs
    if IMPROVED_COLUMN not in runs:
        raise InputError(
            f"'{table.name}' has means over seeds: this gain definition also needs the column '{IMPROVED_COLUMN}', "
            "the share of a row's runs whose gain is above 0"
        )
    share = runs[IMPROVED_COLUMN]
    gain = transform(runs["gain"], share)
    pairs = pairs.assign(gain=gain.to_numpy())
    if "gain_std" in pairs:
        n = pairs["n_seeds"].clip(lower=2).to_numpy()
        of_share = IMPROVEMENT_WEIGHT * (share * (1 - share) * n / (n - 1)) ** 0.5
        pairs["gain_std"] = (pairs["gain_std"] + of_share.to_numpy()) / 2
    return replace(table, runs=runs.assign(gain=gain), pairs=pairs, ceiling=pd.DataFrame())
