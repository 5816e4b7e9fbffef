"""Input checks shared by the transferability scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfer_meta.errors import InputError
from transfer_meta.records import FloatArray

_LARGEST = 1e60
"""Largest magnitude whose fourth power, summed over many values, is a float."""


def check_features(
    features: ArrayLike, labels: ArrayLike, *, regression: bool = False
) -> tuple[FloatArray, NDArray]:
    """Return features as floats of shape (n, d), and labels of shape (n,) as class indices or floats.

    Features whose squares might overflow or vanish are scaled by a power of two: no score depends on their unit.

    Raises
    ------
    InputError
        Shapes do not match, values are NaN or infinite, fewer than two classes, or a regression target that is
        constant, or whose squares overflow or vanish.
    """
    matrix = np.asarray(features, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"features of shape {matrix.shape} (expected examples x dimensions)")
    if not np.isfinite(matrix).all():
        raise InputError("features hold NaN or infinite values")
    largest = np.abs(matrix).max()
    if largest and not 1 / _LARGEST < largest < _LARGEST:
        matrix = np.ldexp(matrix, -int(np.frexp(largest)[1]))
    if not regression:
        return matrix, check_classes(labels, len(matrix))
    targets = np.asarray(labels, dtype=np.float64)
    if targets.shape != (len(matrix),):
        raise InputError(f"labels of shape {targets.shape} for {len(matrix)} examples")
    if not np.isfinite(targets).all():
        raise InputError("labels hold NaN or infinite values")
    if np.ptp(targets) == 0:
        raise InputError(f"the regression target is constant ({targets[0]:g})")
    if np.abs(targets).max() > _LARGEST or np.ptp(targets) < 1 / _LARGEST:
        raise InputError(
            f"a regression target from {targets.min():g} to {targets.max():g}: its squares cannot be computed"
        )
    return matrix, targets


def check_classes(labels: ArrayLike, count: int) -> NDArray[np.intp]:
    """Return labels as class indices 0 … C-1; raises InputError for fewer than two classes."""
    values = np.asarray(labels)
    if values.shape != (count,):
        raise InputError(f"labels of shape {values.shape} for {count} examples")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise InputError("labels hold NaN")
    classes, indices = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"a single class ('{classes[0]}') among {count} labels (expected at least two)"
        )
    return indices


def centre(features: FloatArray) -> FloatArray:
    """Return features minus their means; a constant column is exactly zero, whatever the rounding of its mean."""
    centred = features - features.mean(axis=0)
    centred[:, np.ptp(features, axis=0) == 0] = 0.0
    return centred


def one_hot(indices: NDArray[np.intp]) -> FloatArray:
    """Return class indices (n,) as an indicator matrix (n, C)."""
    return np.eye(int(indices.max()) + 1)[indices]
