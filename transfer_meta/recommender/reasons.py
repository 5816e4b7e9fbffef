"""What speaks for a source and against it: the terms of a linear model, put together and put into words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import TYPE_PREFIX
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.recommendation import Reason, percent
from transfer_meta.records import TaskProfile

REASONS_SHOWN = 3
"""Reasons for, and as many against."""
SMALLEST = 5e-4
"""An effect that would be told as 0.0 % is no reason."""

OTHERS = "gain on other targets"
BACK = "gain the other way round"
TYPE = "task type"
# Means over all other targets and over those like this one go together so closely that the model may weigh one
# against the other: only their sum can be read.
_HISTORY = {"popularity": OTHERS, "near": OTHERS, "nearest": OTHERS, "mutual": BACK}
WORDS = {
    "n_labels": "number of labels",
    "label_entropy_normalised": "evenness of the labels",
    "majority_share": "share of the commonest label",
    "length_mean": "mean length in tokens",
    "length_p95": "length of the longest texts in tokens",
    "pair_share": "share of examples with two texts",
    "loss_done_10": "share of its loss gone after 10 % of training",
    "loss_done_30": "share of its loss gone after 30 % of training",
    "loss_done_50": "share of its loss gone after half of training",
    "relative_slope_30": "slope of its loss at 30 % of training",
    "tfidf": "similarity of the words",
    "textemb": "similarity of the texts",
    "descemb": "similarity of the descriptions",
    "taskemb": "similarity of what is learned",
}
_MEASURES = {
    "tfidf": "cosine of TF-IDF",
    "textemb": "cosine of TextEmb",
    "descemb": "cosine of DescEmb",
    "taskemb": "mean cosine of TaskEmb",
}


def reason_of(column: str) -> str:
    """Which reason a column of `GainModel.columns` belongs to.

    Examples
    --------
    >>> [reason_of(c) for c in ("history.near_all", "ratio.n_labels", "pair.centred_textemb", "pair.same_type")]
    ['gain on other targets', 'number of labels', 'similarity of the texts', 'task type']
    """
    role, _, name = column.partition(".")
    if role == "history":
        return _HISTORY[name.removesuffix("_all")]
    if name == "same_type" or name.startswith(TYPE_PREFIX):
        return TYPE
    return WORDS[name.removeprefix("mean_").removeprefix("centred_")]


def gather(effects: pd.DataFrame) -> pd.DataFrame:
    """Effects by reason: the columns of one reason are different views of one thing, so their effects add up."""
    return effects.T.groupby([reason_of(str(c)) for c in effects], sort=False).sum().T


class Explainer:
    """Puts the effects of one target's sources into words.

    Parameters
    ----------
    advisor, library
        What the effects come from.
    effects : DataFrame
        Those of `GainModel.effects`.
    X : DataFrame
        The pairs, all of one target.
    reference : array of shape (n,)
        The known sources.
    profiles : sequence of TaskProfile
        Of the sources.
    target : TaskProfile
        Named as in `X`.
    """

    def __init__(
        self,
        advisor: GainModel,
        library: Library,
        *,
        effects: pd.DataFrame,
        X: pd.DataFrame,
        reference: NDArray[np.bool_],
        profiles: Sequence[TaskProfile],
        target: TaskProfile,
    ) -> None:
        self.X, self.profiles, self.target = X, profiles, target
        self.effects = effects
        self.typical = X.loc[reference].mean(numeric_only=True)
        pairs = library.outcomes.pairs
        learned = set(advisor.ridge.grid_["targets"])
        pairs = pairs[pairs["target"].isin(learned)]
        self.gains = pairs.pivot_table(index="target", columns="source", values="gain")
        space = TaskKernel(**advisor.ridge.space_).located(X)
        names = self.gains.index.to_numpy(dtype=object)
        kernel = space.kernel(np.array([target.name], dtype=object), names)[0] ** 4
        self.near = pd.Series(kernel, index=self.gains.index)

    def reasons(self, row: int) -> tuple[Reason, ...]:
        """The strongest reasons for and against one source, by the size of their effect."""
        found = []
        for name, effect in gather(self.effects.iloc[[row]]).iloc[0].items():
            value, text = self._say(str(name), row)
            if value is not None and abs(effect) >= SMALLEST:
                found.append(Reason(str(name), value, float(effect), text))
        found.sort(key=lambda reason: -abs(reason.effect))
        shown = [
            r for sign in (1, -1) for r in [r for r in found if r.effect * sign > 0][:REASONS_SHOWN]
        ]
        return tuple(sorted(shown, key=lambda reason: -abs(reason.effect)))

    def _say(self, name: str, row: int) -> tuple[float | str | None, str]:
        source, at = self.profiles[row], self.X.iloc[row]
        if name == OTHERS:
            if source.name not in self.gains:
                return None, ""
            gains = self.gains[source.name].dropna()
            gains = gains[gains.index != self.target.name]
            near = self.near[gains.index].sort_values(ascending=False)
            mean = float(gains.mean())
            text = f"{percent(mean)} on average on {len(gains)} other targets"
            if near.sum() > 0:
                alike = float(np.average(gains[near.index], weights=near))
                text += (
                    f", {percent(alike)} on those like this one, above all {', '.join(near.index[:2])}"
                )
            return mean, text
        if name == BACK:
            return None, ""
        if name == TYPE:
            same = "as" if source.type == self.target.type else "unlike"
            return str(source.type), f"{source.type}, {same} the target"
        key = next(key for key, words in WORDS.items() if words == name)
        if f"pair.mean_{key}" in self.X:
            value, typical = float(at[f"pair.mean_{key}"]), float(self.typical[f"pair.mean_{key}"])
            return _known(value), f"{_MEASURES[key]} {value:.2f}, typical is {typical:.2f}"
        value, own = float(at[f"source.{key}"]), float(at[f"target.{key}"])
        text = f"{_number(value)}" + (f", the target's {_number(own)}" if np.isfinite(own) else "")
        return _known(value), text


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"
