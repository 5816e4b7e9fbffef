"""The outcomes of training pairs as a grid: settings × targets × sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_meta.predictors.base import names
from transfer_meta.predictors.within_target import setting_column
from transfer_meta.records import FloatArray, NameArray

REPEATABLE = 0.65
TYPICAL_LIKENESS = 0.6
PRIOR_PAIRS = 50.0


@dataclass(frozen=True)
class OutcomeTensor:
    """Standardised gains of the training pairs as a grid.

    Parameters
    ----------
    settings, targets, sources : array of str
        NameArray, sorted.
    z : array of shape (settings, targets, sources)
        0 where there is no outcome.
    weight : array of shape (settings, targets, sources)
        How far each is to be trusted, 0 where there is none.
    """

    settings: NameArray
    targets: NameArray
    sources: NameArray
    z: FloatArray
    weight: FloatArray

    @classmethod
    def fitted(cls, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> Self:
        """The grid of training pairs `X` with standardised gains `z` and weights, shape (n,)."""
        columns = (setting_column(X), names(X, "target"), names(X, "source"))
        axes = [np.array(sorted(set(column)), dtype=object) for column in columns]
        place = tuple(np.searchsorted(a, c) for a, c in zip(axes, columns, strict=True))
        total, count = np.zeros([len(a) for a in axes]), np.zeros([len(a) for a in axes])
        np.add.at(total, place, weight * z)
        np.add.at(count, place, weight)
        return cls(axes[0], axes[1], axes[2], total / np.where(count > 0, count, 1.0), count)

    def beyond_popularity(self) -> FloatArray:
        """Gains less the source's mean in the setting, 0 where unknown, shape of `z`."""
        return np.where(self.weight > 0, self.z - weighted_mean(self.z, self.weight, axis=1), 0.0)

    def setting_likeness(self) -> FloatArray:
        """How much of what is true in one setting is true in another, shape (settings, settings), 0 to 1.

        The correlation of the gains over the pairs that both have, divided by `REPEATABLE`, the share
        of a gain's variance that is no noise, and drawn towards `TYPICAL_LIKENESS` as if `PRIOR_PAIRS`
        pairs had said so; then made positive semidefinite.  1 on the diagonal.
        """
        n_settings = len(self.settings)
        weight = self.weight.reshape(n_settings, -1)
        z = self.z.reshape(n_settings, -1)
        both = np.sqrt(weight[:, None] * weight[None])
        products = (both * z[:, None] * z[None]).sum(axis=2)
        squares = (both * z[:, None] ** 2).sum(axis=2)
        scale = np.sqrt(squares * squares.T)
        correlation = products / np.where(scale > 0, scale, 1.0)
        count = both.sum(axis=2)
        likeness = (count * correlation / REPEATABLE + PRIOR_PAIRS * TYPICAL_LIKENESS) / (
            count + PRIOR_PAIRS
        )
        np.fill_diagonal(likeness, 1.0)
        values, vectors = np.linalg.eigh(np.clip(likeness, 0.0, 1.0))
        likeness = (vectors * np.maximum(values, 1e-3)) @ vectors.T
        diagonal = np.sqrt(np.diag(likeness))
        return np.clip(likeness / np.outer(diagonal, diagonal), 0.0, 1.0)

    def role_likeness(self) -> FloatArray:
        """How alike two sources are in whom they help, shape (sources, sources), 0 to 1.

        The correlation over training targets of the gains that they bring beyond their mean, averaged
        over settings, with two targets counted in that say nothing; below 0 it is 0.
        """
        gains = weighted_mean(self.beyond_popularity(), self.weight, axis=0)[0]
        known = (self.weight.sum(axis=0) > 0).astype(float)
        gains = np.where(known > 0, gains - weighted_mean(gains, known, axis=1), 0.0)
        squares = (gains**2).T @ known
        scale = np.sqrt(squares * squares.T) + 2 * float((gains**2).sum() / max(1.0, known.sum()))
        return np.maximum(gains.T @ gains / np.maximum(scale, 1e-12), 0.0)


def weighted_mean(values: FloatArray, weight: FloatArray, axis: int) -> FloatArray:
    """Weighted mean along an axis that is kept; 0 without weight."""
    count = weight.sum(axis=axis, keepdims=True)
    return np.asarray((weight * values).sum(axis=axis, keepdims=True) / np.where(count > 0, count, 1.0))


def find(axis: NameArray, wanted: NameArray) -> NDArray[np.intp]:
    """Positions in a sorted axis, -1 for what is not there."""
    places = np.minimum(np.searchsorted(axis, wanted), len(axis) - 1)
    return np.where(axis[places] == wanted, places, -1)
