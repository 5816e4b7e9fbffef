"""Reasons for and against a source: the terms of the linear gain model, grouped and put into words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.recommender.candidates import CandidatePairs
from transfer_meta.recommender.gain_model import GainModel
from transfer_meta.recommender.inputs import SCORE_FEATURES, TYPE_PREFIX
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.recommendation import Reason, percent

MAX_REASONS = 3
"""Reasons shown for a source, and as many against it."""
MIN_EFFECT = 5e-4
"""Smaller effects, which would be printed as 0.0 %, are not shown."""

GAIN_ON_OTHERS = "gain on other targets"
REVERSE_GAIN = "gain the other way round"
TASK_TYPE = "task type"
OWN_ENCODER = "its encoder on the target"
SHOWN_SCORE = "linear_probe"
"""The score that is shown: accuracy, or R² of a regression, by cross-validation."""
# The means over all other targets and over similar ones are so correlated that only their sum can be interpreted.
_HISTORY = {
    "popularity": GAIN_ON_OTHERS,
    "near": GAIN_ON_OTHERS,
    "nearest": GAIN_ON_OTHERS,
    "mutual": REVERSE_GAIN,
}
FEATURE_WORDS = {
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
    "desctext": "words of the descriptions",
    "taskemb": "similarity of what is learned",
}
_MEASURES = {
    "tfidf": "cosine of TF-IDF",
    "textemb": "cosine of TextEmb",
    "descemb": "cosine of DescEmb",
    "desctext": "cosine of n-grams",
    "taskemb": "mean cosine of TaskEmb",
}


def reason_of(column: str) -> str:
    """Return the reason that a column of `GainModel.columns` belongs to.

    Examples
    --------
    >>> [reason_of(c) for c in ("history.near_all", "ratio.n_labels", "pair.centred_textemb", "pair.same_type")]
    ['gain on other targets', 'number of labels', 'similarity of the texts', 'task type']
    """
    role, _, name = column.partition(".")
    if role == "history":
        return _HISTORY[name.removesuffix("_all")]
    if name in SCORE_FEATURES:
        return OWN_ENCODER
    if name == "same_type" or name.startswith(TYPE_PREFIX):
        return TASK_TYPE
    return FEATURE_WORDS[name.removeprefix("mean_").removeprefix("centred_")]


class Explainer:
    """Reasons for the candidates of one target.

    Parameters
    ----------
    gain_model : GainModel
    library : Library
    pairs : CandidatePairs
    effects : DataFrame
        `GainModel.effects` of the pairs.
    """

    def __init__(
        self, gain_model: GainModel, library: Library, pairs: CandidatePairs, effects: pd.DataFrame
    ) -> None:
        self.pairs = pairs
        # Columns of one reason are views of the same thing: their effects add up.
        columns = [reason_of(str(c)) for c in effects]
        self.effects = effects.T.groupby(columns, sort=False).sum().T
        self.typical = pairs.X.loc[pairs.is_known].mean(numeric_only=True)
        outcomes = library.pairs[library.pairs["target"].isin(set(gain_model.ridge.grid_["targets"]))]
        self.gains = outcomes.pivot_table(index="target", columns="source", values="gain")
        self.elsewhere: set[str] = set()
        if pairs.setting is not None:
            here = outcomes[outcomes["setting"] == pairs.setting]
            self.elsewhere = {str(name) for name in self.gains} - set(here["source"])
            own = here.pivot_table(index="target", columns="source", values="gain")
            # The gains of the setting that was asked for, where the source was tried in it.
            self.gains[own.columns] = own.reindex(self.gains.index)
        kernel = TaskKernel(**gain_model.ridge.space_).extended(pairs.X)
        names = self.gains.index.to_numpy(dtype=object)
        near = kernel.kernel(np.array([pairs.target.name], dtype=object), names)[0] ** 4
        self.near = pd.Series(near, index=self.gains.index)

    def reasons(self, row: int) -> tuple[Reason, ...]:
        """Return the strongest reasons for and against one candidate, the strongest first."""
        found = []
        for name, effect in self.effects.iloc[row].items():
            value, text = self._describe(str(name), row)
            if value is not None and abs(effect) >= MIN_EFFECT:
                found.append(Reason(str(name), value, float(effect), text))
        found.sort(key=lambda reason: -abs(reason.effect))
        shown = [*[r for r in found if r.effect > 0][:MAX_REASONS],
                 *[r for r in found if r.effect < 0][:MAX_REASONS]]  # fmt: skip
        return tuple(sorted(shown, key=lambda reason: -abs(reason.effect)))

    def _describe(self, name: str, row: int) -> tuple[float | str | None, str]:
        """Return a reason's value and a phrase; None for one that cannot be shown."""
        target, source = self.pairs.target, self.pairs.candidates[row]
        features = self.pairs.X.iloc[row]
        if name == GAIN_ON_OTHERS:
            return self._gain_on_others(source.label)
        if name == REVERSE_GAIN:
            return None, ""
        if name == TASK_TYPE:
            type = source.profile.type
            return str(type), f"{type}, {'as' if type == target.type else 'unlike'} the target"
        if name == OWN_ENCODER:
            value, typical = (float(f[f"pair.{SHOWN_SCORE}"]) for f in (features, self.typical))
            text = f"a linear model on its vectors reaches {value:.2f}"
            text += f", typical is {typical:.2f}" if np.isfinite(typical) else ""
            return (value if np.isfinite(value) else None), text
        key = next(key for key, words in FEATURE_WORDS.items() if words == name)
        if f"pair.mean_{key}" in self.pairs.X:
            value, typical = (float(f[f"pair.mean_{key}"]) for f in (features, self.typical))
            text = f"{_MEASURES[key]} {value:.2f}, typical is {typical:.2f}"
        else:
            value, own = float(features[f"source.{key}"]), float(features[f"target.{key}"])
            text = f"{_number(value)}" + (f", the target's {_number(own)}" if np.isfinite(own) else "")
        return (value if np.isfinite(value) else None), text

    def _gain_on_others(self, source: str) -> tuple[float | None, str]:
        if source not in self.gains:
            return None, ""
        gains = self.gains[source].dropna()
        gains = gains[gains.index != self.pairs.target.name]
        near = self.near[gains.index].sort_values(ascending=False)
        mean = float(gains.mean())
        text = f"{percent(mean)} on average on {len(gains)} other targets"
        text += " with other encoders" if source in self.elsewhere else ""
        if near.sum() > 0:
            similar = float(np.average(gains[near.index], weights=near))
            names = ", ".join(near.index[:2])
            text += f", {percent(similar)} weighted by similarity to this one (most similar: {names})"
        return mean, text


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"
