"""Checks of logged numbers and scores."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from transfer_meta.errors import InputError
from transfer_meta.outcomes.metric_units import lower_is_better

_CORRELATION = re.compile(r"pearson|spearman|matthews|mcc|kendall|kappa|corr|r2", re.IGNORECASE)
"""Metrics that may be negative or undefined, which counts as 0."""
_ROUNDING = 1e-6


def main_score(names: Iterable[str]) -> str | None:
    """Return the first metric where higher is better; None if there is none."""
    return next((name for name in names if not lower_is_better(name)), None)


def logged_number(name: str, value: Any) -> float:
    """Return a number, a NumPy scalar or a torch scalar as a float; an InputError for anything else."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        # A torch scalar with a gradient warns if it is converted by float.
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        shown = " ".join(repr(value).split())[:60]
        raise InputError(f"{name} = {shown} (expected a number)") from None


def unit_score(metric: str, value: Any) -> float:
    """Return a score on 0-1; correlations below 0, and undefined ones, count as 0.

    Examples
    --------
    >>> unit_score("accuracy", 0.71), unit_score("pearson", -0.1)
    (0.71, 0.0)
    """
    number = logged_number(metric, value)
    if _CORRELATION.search(metric) and not number > 0:
        return 0.0
    if 0 <= number <= 1 + _ROUNDING:
        return min(number, 1.0)
    percent = f": {number / 100:g} if it is in percent" if 1 < number <= 100 else ""
    raise InputError(f"{metric} = {number:g} (expected a score on 0-1{percent})")
