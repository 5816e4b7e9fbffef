"""Outcomes of training pairs as a tensor settings × targets × sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from transfer_meta.predictors.base import IntArray, id_column
from transfer_meta.predictors.state_kinds import Names, Numbers, Record
from transfer_meta.predictors.within_target import setting_column
from transfer_meta.records import FloatArray, NameArray

REPEATABLE_SHARE = 0.65
"""Share of the variance of a standardised gain that is not noise."""
PRIOR_SETTING_SIMILARITY = 0.6
PRIOR_PAIRS = 50.0
"""Weight of `PRIOR_SETTING_SIMILARITY`, in pairs."""
STORED_TENSOR = Record(
    {
        "settings": Names("settings", ordered=True),
        "targets": Names("targets", ordered=True, within="tasks"),
        "sources": Names("sources", ordered=True, within="tasks"),
        "z": Numbers("settings", "targets", "sources", low=-1e3, high=1e3),
        "weight": Numbers("settings", "targets", "sources", low=0, high=1e12),
    }
)
"""Kinds of the fields of a stored `OutcomeTensor`, of tasks of a stored kernel."""


@dataclass(frozen=True)
class OutcomeTensor:
    """Standardised gains of the training pairs.

    Parameters
    ----------
    settings, targets, sources : array of str
        Sorted names along the axes.
    z : array of shape (settings, targets, sources)
        Standardised gains, 0 where there is no outcome.
    weight : array of shape (settings, targets, sources)
        Reliability of each outcome, 0 where there is none.
    """

    settings: NameArray
    targets: NameArray
    sources: NameArray
    z: FloatArray
    weight: FloatArray

    @classmethod
    def from_pairs(cls, X: pd.DataFrame, z: FloatArray, weight: FloatArray) -> Self:
        """Return the tensor of pairs `X` with standardised gains `z` and weights, both of shape (n,)."""
        columns = (setting_column(X), id_column(X, "target"), id_column(X, "source"))
        axes = [np.array(sorted(set(column)), dtype=object) for column in columns]
        place = tuple(np.searchsorted(a, c) for a, c in zip(axes, columns, strict=True))
        total, count = np.zeros([len(a) for a in axes]), np.zeros([len(a) for a in axes])
        np.add.at(total, place, weight * z)
        np.add.at(count, place, weight)
        return cls(axes[0], axes[1], axes[2], total / np.where(count > 0, count, 1.0), count)

    def beyond_popularity(self) -> FloatArray:
        """Return the gains less the mean of the source in the setting, shape of `z`; 0 where unknown."""
        return np.where(self.weight > 0, self.z - weighted_mean(self.z, self.weight, axis=1), 0.0)

    def setting_similarity(self) -> FloatArray:
        """Return the similarity of settings in 0-1, shape (settings, settings), 1 on the diagonal.

        It is the correlation of the gains over the pairs that two settings share, divided by `REPEATABLE_SHARE`,
        averaged with `PRIOR_SETTING_SIMILARITY` at the weight of `PRIOR_PAIRS` pairs, and made positive
        semidefinite.
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
        similarity = (
            count * correlation / REPEATABLE_SHARE + PRIOR_PAIRS * PRIOR_SETTING_SIMILARITY
        ) / (count + PRIOR_PAIRS)
        np.fill_diagonal(similarity, 1.0)
        values, vectors = np.linalg.eigh(np.clip(similarity, 0.0, 1.0))
        similarity = (vectors * np.maximum(values, 1e-3)) @ vectors.T
        diagonal = np.sqrt(np.diag(similarity))
        return np.clip(similarity / np.outer(diagonal, diagonal), 0.0, 1.0)

    def role_similarity(self) -> FloatArray:
        """Return the similarity in 0-1 of sources by the targets they help, shape (sources, sources).

        It is the correlation over training targets of the gains beyond the source's mean, averaged over settings
        and shrunk as if two uncorrelated targets were added; negative values are set to 0.
        """
        gains = weighted_mean(self.beyond_popularity(), self.weight, axis=0)[0]
        known = (self.weight.sum(axis=0) > 0).astype(float)
        gains = np.where(known > 0, gains - weighted_mean(gains, known, axis=1), 0.0)
        squares = (gains**2).T @ known
        scale = np.sqrt(squares * squares.T) + 2 * float((gains**2).sum() / max(1.0, known.sum()))
        return np.maximum(gains.T @ gains / np.maximum(scale, 1e-12), 0.0)


def weighted_mean(values: FloatArray, weight: FloatArray, axis: int) -> FloatArray:
    """Return the weighted mean along an axis, which is kept; 0 without weight."""
    count = weight.sum(axis=axis, keepdims=True)
    return np.asarray((weight * values).sum(axis=axis, keepdims=True) / np.where(count > 0, count, 1.0))


def index_in(axis: NameArray, wanted: NameArray) -> IntArray:
    """Return the positions of names in a sorted axis, -1 for an absent name."""
    places = np.minimum(np.searchsorted(axis, wanted), len(axis) - 1)
    return np.where(axis[places] == wanted, places, -1)
