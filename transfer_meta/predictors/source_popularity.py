"""Source popularity: the mean gain that a source brought to the training targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import Prediction, TransferPredictor, id_column
from transfer_meta.predictors.state_kinds import ByName, Kind, Number, Numbers, Record
from transfer_meta.predictors.within_target import setting_column

_MEANS = Record({"overall": Numbers(2, plain=True), "sources": ByName(Numbers(2, plain=True))})


class SourcePopularityPredictor(TransferPredictor):
    """Shrunk mean gain of the source over the training targets, in the setting of the pair.

    The expected gain is (Σ gain + λ·m) / (n + λ) over the source's n training pairs in the setting, with m the
    mean of all training pairs in the setting; the probability is (helped + ½ + λ·r) / (n + 1 + λ) with r the
    share of gains among all of them.  A source unknown in the setting gets m and r; in an unknown setting all
    settings are pooled.

    Parameters
    ----------
    shrinkage : float
        λ, in training pairs.
    """

    uses_features: ClassVar[bool] = False
    stored: ClassVar[Mapping[str, Kind]] = {
        "shrinkage": Number(),
        "overall_": _MEANS,
        "settings_": ByName(_MEANS),
    }

    def __init__(self, shrinkage: float = 1.0) -> None:
        self.shrinkage = shrinkage

    def fit(self, X: Any, y: Any) -> Self:
        table = pd.DataFrame({"setting": setting_column(X), "source": id_column(X, "source")})
        table["gain"] = np.asarray(y, dtype=float)
        self.overall_ = self._means(table)
        self.settings_ = {str(s): self._means(part) for s, part in table.groupby("setting")}
        return self

    def predict_pairs(self, X: Any) -> Prediction:
        rows = zip(setting_column(X), id_column(X, "source"), strict=True)
        found = [self._look_up(self.settings_.get(setting, self.overall_), s) for setting, s in rows]
        rate, gain = np.array(found, dtype=float).reshape(-1, 2).T
        return Prediction(rate, gain, gain)

    def _means(self, table: pd.DataFrame) -> dict[str, Any]:
        """Return share of gains and mean gain, overall and of each source."""
        helped, gain = table["gain"] > 0, table["gain"]
        overall = [float((helped.sum() + 0.5) / (len(table) + 1)), float(gain.mean())]
        by_source = pd.DataFrame({"helped": helped, "gain": gain}).groupby(table["source"])
        n, sums = by_source.size(), by_source.sum()
        rate = (sums["helped"] + 0.5 + self.shrinkage * overall[0]) / (n + 1 + self.shrinkage)
        mean = (sums["gain"] + self.shrinkage * overall[1]) / (n + self.shrinkage)
        return {
            "overall": overall,
            "sources": {str(s): [float(rate[s]), float(mean[s])] for s in n.index},
        }

    @staticmethod
    def _look_up(means: dict[str, Any], source: str) -> list[float]:
        return means["sources"].get(source, means["overall"])
