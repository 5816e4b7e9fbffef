"""Transfer or not, and from which: what following a predictor would have brought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.fold_jobs import PredictionKey
from transfer_meta.evaluation.metric_rows import group_targets
from transfer_meta.evaluation.metrics import within_groups
from transfer_meta.predictors import Prediction
from transfer_meta.records import FloatArray

NEVER, POPULAR, ORACLE = "never-transfer", "always-best-popular", "oracle"
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
    """Realised mean gain of the rule "take the source ranked first, if its expected gain is above 0".

    Parameters
    ----------
    gain : array of shape (n,)
        Measured gains, fractions.
    groups, targets : arrays of shape (n,)
        Within which a source is chosen, and the targets that the bootstrap draws.
    predictions : mapping
        Out-of-fold, arrays of shape (repeats, n).
    popular : Prediction
        Of the source popularity predictor, arrays of shape (1, n).
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        A row a predictor after three references: ``never-transfer`` (gain 0), ``always-best-popular`` (the source
        with the best mean gain on the training targets, shrunken, whatever its sign) and ``oracle`` (the best
        source, if it helps).  ``gain`` is the mean over targets and settings of the realised gain, 0 where the rule
        says no, with its 95 % interval ``ci_low``, ``ci_high`` over targets; ``over_popular`` the mean of its
        difference to ``always-best-popular`` with its interval; ``always`` the mean gain of the source ranked
        first, taken whatever is expected of it; ``transfers`` the share of targets where the rule says yes, and
        ``helped`` the share of those where the source helped; ``n`` targets.  Of sources ranked equally first, one
        is taken at random: figures are expectations.
    """
    owner = group_targets(groups, targets)
    best = within_groups(lambda truth, _: truth.max(axis=-1), groups, gain, gain)
    baseline = _followed(gain, groups, popular)["always"]
    followed = {(NEVER, "–"): _reference(np.zeros(len(owner)), np.zeros(len(owner)))}
    followed[POPULAR, "–"] = _followed(gain, groups, popular) | {
        "gain": baseline,
        "transfers": np.ones(len(owner)),
    }
    followed[ORACLE, "–"] = _reference(np.maximum(best, 0.0), (best > 0).astype(float))
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
    """By group, mean over repeats: realised gain, gain of the first source, whether it is taken, and helps then."""
    order = np.arange(len(gain), dtype=float)

    def first(values: FloatArray) -> FloatArray:
        """Mean of the values over the sources that are ranked first."""

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
