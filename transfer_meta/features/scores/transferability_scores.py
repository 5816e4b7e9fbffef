"""Transferability scores of a source checkpoint on target data: all of them by name.

Every score is the higher, the better.  Those of the first table read the target examples' frozen
features; LEEP and NCE read the source model's class probabilities on them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.errors import InputError
from transfer_meta.features.scores.label_transfer import leep, nce
from transfer_meta.features.scores.logme import logme
from transfer_meta.features.scores.probes import knn_score, linear_probe
from transfer_meta.features.scores.separability import gbc, h_score, h_score_shrunk, transrate

FEATURE_SCORES: dict[str, Callable[..., float]] = {
    "logme": logme,
    "h_score": h_score,
    "h_score_shrunk": h_score_shrunk,
    "transrate": transrate,
    "gbc": gbc,
    "knn": knn_score,
    "linear_probe": linear_probe,
}
LABEL_SCORES = ("leep", "nce")
REGRESSION_SCORES = ("logme", "knn", "linear_probe")


def transferability_scores(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    regression: bool = False,
    source_probabilities: ArrayLike | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Every score of one source on one target.

    Parameters
    ----------
    features : array of shape (n, d)
        The source encoder's features of the target's examples.
    labels : array of shape (n,)
        Their classes, or numbers with ``regression=True``.
    regression : bool
        Scores that are defined for classes alone are then missing.
    source_probabilities : array of shape (n, Z), optional
        The source model's class probabilities; None where its head has no classes.

    Returns
    -------
    scores : dict of str to float
        All names of `FEATURE_SCORES` and `LABEL_SCORES`; NaN where a score could not be computed.
    missing : dict of str to str
        For each NaN the reason, in one line.

    Examples
    --------
    >>> scores, missing = transferability_scores([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1])
    >>> round(scores["h_score"], 2), missing["leep"]
    (0.99, 'the source model has no class probabilities on this target')
    """
    scores: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name, score in FEATURE_SCORES.items():
        if not regression:
            compute = _bind(score, features, labels)
        elif name in REGRESSION_SCORES:
            compute = _bind(score, features, labels, regression=True)
        else:
            missing[name] = f"{name} is defined for classes, and the target is a regression"
            continue
        _record(name, compute, scores, missing)
    for name in LABEL_SCORES:
        if regression:
            missing[name] = f"{name} is defined for classes, and the target is a regression"
        elif source_probabilities is None:
            missing[name] = "the source model has no class probabilities on this target"
        elif name == "leep":
            _record(name, _bind(leep, source_probabilities, labels), scores, missing)
        else:
            _record(name, _bind(nce, np.argmax(source_probabilities, axis=1), labels), scores, missing)
    scores |= dict.fromkeys(missing, float("nan"))
    return scores, missing


def _bind(function: Callable[..., float], *arguments: object, **options: object) -> Callable[[], float]:
    return lambda: function(*arguments, **options)


def _record(
    name: str, compute: Callable[[], float], scores: dict[str, float], missing: dict[str, str]
) -> None:
    """Add a score, or the reason why there is none."""
    try:
        scores[name] = compute()
    except InputError as error:
        missing[name] = str(error)
