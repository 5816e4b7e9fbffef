"""Ratios of a feature of the target to the same feature of the source."""

from __future__ import annotations

import numpy as np

from transfer_meta.records import FloatArray

RATIO_LIMIT = 1e6
"""Largest absolute ratio; also the ratio of a nonzero number to zero."""


def safe_ratio(*, target: FloatArray, source: FloatArray) -> FloatArray:
    """Return target / source, finite wherever both are.

    The ratio to zero is 1 if the target is zero too, else ±10⁶ with the target's sign.  All ratios are clipped
    to ±10⁶ (`RATIO_LIMIT`).  NaN stays NaN.

    Examples
    --------
    >>> safe_ratio(target=np.array([3.0, 0.0, -2.0, 5.0]), source=np.array([2.0, 0.0, 0.0, -10.0])).tolist()
    [1.5, 1.0, -1000000.0, -0.5]
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = target / source
    ratio = np.where((source == 0) & (target == 0), 1.0, ratio)
    ratio = np.where((source == 0) & (target != 0), np.sign(target) * RATIO_LIMIT, ratio)
    return np.clip(ratio, -RATIO_LIMIT, RATIO_LIMIT)


def log_ratio(*, target: FloatArray, source: FloatArray) -> FloatArray:
    """Return ln(target / source) if both have the same sign, 0 if both are zero, else NaN.

    The ratio of two negative slopes compares their steepness.  Clipped to ± ln 10⁶, as `safe_ratio`.

    Examples
    --------
    >>> log_ratio(target=np.array([np.e, -1.0, 0.0, 1.0]), source=np.array([1.0, -1.0, 0.0, -1.0])).tolist()
    [1.0, 0.0, 0.0, nan]
    """
    same_sign = np.sign(target) == np.sign(source)
    ratio = np.where(same_sign, safe_ratio(target=target, source=source), np.nan)
    return np.log(np.maximum(ratio, 1 / RATIO_LIMIT))
