"""Features that do not exist for a task: NaN, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

Group = tuple[Sequence[str], Callable[[], Sequence[float]]]
"""Names of features, and the function that computes them together."""


class MissingError(ValueError):
    """A feature does not exist for a task; the message is the reason."""


def collect_features(groups: Iterable[Group]) -> tuple[dict[str, float], dict[str, str]]:
    """Compute all features and the reasons for missing ones; a failure does not affect the other features.

    Examples
    --------
    >>> def fail():
    ...     raise MissingError("no test split")
    >>> collect_features([(["size"], lambda: [3.0]), (["jsd"], fail)])
    ({'size': 3.0, 'jsd': nan}, {'jsd': 'no test split'})
    """
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for names, function in groups:
        try:
            found = [float(value) for value in function()]
            reason = "not a finite number"
        except MissingError as error:
            found, reason = [math.nan] * len(names), str(error)
        except Exception as error:  # a defect in one feature must not affect the others
            found, reason = [math.nan] * len(names), f"failed: {type(error).__name__}: {error}"
        for name, value in zip(names, found, strict=True):
            values[name] = value if math.isfinite(value) else math.nan
            if not math.isfinite(value):
                missing[name] = reason
    return values, missing
