"""Realised gain of choosing sources, or no transfer, by a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.fold_jobs import NO_FEATURE_SET, PredictionKey
from transfer_meta.evaluation.metric_rows import group_targets
from transfer_meta.evaluation.metrics import within_groups
from transfer_meta.predictors import Prediction
from transfer_meta.records import FloatArray

NEVER, POPULAR, ORACLE = "never-transfer", "always-best-popular", "oracle"
"""References: gain 0; the most popular source, whatever its sign; the best source, if it helps."""
DECISION_COLUMNS = (
    "predictor", "features", "gain", "ci_low", "ci_high", "over_popular", "over_popular_low", "over_popular_high",
    "always", "transfers", "helped", "n",
)  # fmt: skip


def judge_decisions(
    gain: FloatArray,
    groups: Any,
    targets: Any,
    predictions: Mapping[PredictionKey, Prediction],
    popular: Prediction,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Evaluate the rule "take the source ranked first if its expected gain is above 0, else none".

    Parameters
    ----------
    gain : array of shape (n,)
        Measured gains, fractions.
    groups, targets : arrays of shape (n,)
        Groups within which a source is chosen, and their targets for the bootstrap.
    predictions : mapping
        Out-of-fold, arrays of shape (repeats, n).
    popular : Prediction
        Of ``source-popularity``, arrays of shape (1, n).
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per reference (`NEVER`, `POPULAR`, `ORACLE`) and predictor: ``gain``, the mean over targets and
        settings of the realised gain (0 without transfer), with its 95 % interval over targets ``ci_low``,
        ``ci_high``; ``over_popular``, the mean difference to ``always-best-popular``, with its interval;
        ``always``, the mean gain of the source ranked first, always taken; ``transfers``, the share of targets with
        transfer, and ``helped``, the share of those where the source helped; ``n`` targets.  Figures are
        expectations over a random choice among sources tied for the first rank.
    """
    owner = group_targets(groups, targets)
    best = within_groups(lambda truth, _: truth.max(axis=-1), groups, gain, gain)
    baseline = _followed(gain, groups, popular)["always"]
    followed = {(NEVER, NO_FEATURE_SET): _reference(np.zeros(len(owner)), np.zeros(len(owner)))}
    followed[POPULAR, NO_FEATURE_SET] = _followed(gain, groups, popular) | {
        "gain": baseline,
        "transfers": np.ones(len(owner)),
    }
    followed[ORACLE, NO_FEATURE_SET] = _reference(np.maximum(best, 0.0), (best > 0).astype(float))
    followed |= {key: _followed(gain, groups, prediction) for key, prediction in predictions.items()}
    rows = []
    for (predictor, features), by_group in followed.items():
        realised, ahead = by_group["gain"], by_group["gain"] - baseline
        transfers = by_group["transfers"].mean()
        rows.append(
            (
                predictor,
                features,
                float(realised.mean()),
                *bootstrap_over_targets(realised, clusters=owner, seed=seed),
                float(ahead.mean()),
                *bootstrap_over_targets(ahead, clusters=owner, seed=seed),
                float(by_group["always"].mean()),
                float(transfers),
                float(by_group["helped"].mean() / transfers) if transfers > 0 else np.nan,
                len(np.unique(owner)),
            )
        )
    return pd.DataFrame(rows, columns=list(DECISION_COLUMNS))


def _followed(gain: FloatArray, groups: Any, prediction: Prediction) -> dict[str, FloatArray]:
    """Return the columns of the table by group, averaged over repeats."""
    order = np.arange(len(gain), dtype=float)

    def first(values: FloatArray) -> FloatArray:
        """Return the mean of the values over the sources tied for the first rank."""

        def of_group(rows: FloatArray, ranking: FloatArray) -> FloatArray:
            top = ranking == ranking.max(axis=-1, keepdims=True)
            taken = values[..., rows.astype(int)]
            return np.asarray((taken * top).sum(axis=-1) / top.sum(axis=-1))

        return within_groups(of_group, groups, order, prediction.ranking)

    always, helps = first(gain[None]), first((gain > 0).astype(float)[None])
    taken = (first(prediction.gain) > 0).astype(float)
    found = {"gain": always * taken, "always": always, "transfers": taken, "helped": helps * taken}
    return {name: values.mean(axis=0) for name, values in found.items()}


def _reference(gain: FloatArray, transfers: FloatArray) -> dict[str, FloatArray]:
    return {"gain": gain, "always": gain, "transfers": transfers, "helped": transfers}
