"""All transferability scores of a source checkpoint on target data, by name.

Higher is better for every score.  `FEATURE_SCORES` use frozen features of the target examples, `LABEL_SCORES`
the source model's class probabilities on them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.errors import InputError, first_line
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
FEWSHOT = "fewshot_neg_loss"
"""Score that needs fine-tuning, see `transfer_meta.encoding.fewshot`."""
SCORES = (*FEATURE_SCORES, *LABEL_SCORES, FEWSHOT)
"""Columns of a table of transferability scores."""
REGRESSION_SCORES = ("logme", "knn", "linear_probe")


def transferability_scores(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    regression: bool = False,
    source_probabilities: ArrayLike | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Compute every score of one source on one target.

    Parameters
    ----------
    features : array of shape (n, d)
        Features of the target's examples from the source's encoder.
    labels : array of shape (n,)
        Classes, or numbers with ``regression=True``.
    regression : bool
        Compute only `REGRESSION_SCORES`.
    source_probabilities : array of shape (n, Z), optional
        Class probabilities of the source model; None if its head has no classes.

    Returns
    -------
    scores : dict of str to float
        All names of `FEATURE_SCORES` and `LABEL_SCORES`; NaN where a score could not be computed.
    missing : dict of str to str
        The reason for each NaN; a numerical failure of one score is one.

    Examples
    --------
    >>> scores, missing = transferability_scores([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1])
    >>> round(scores["h_score"], 2), missing["leep"]
    (0.99, 'the source model has no class probabilities on this target')
    """
    scores: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name in (*FEATURE_SCORES, *LABEL_SCORES):
        try:
            if regression and name not in REGRESSION_SCORES:
                raise InputError(f"{name} is defined for classes, and the target is a regression")
            if name in FEATURE_SCORES:
                options = {"regression": True} if regression else {}
                scores[name] = FEATURE_SCORES[name](features, labels, **options)
            elif source_probabilities is None:
                raise InputError("the source model has no class probabilities on this target")
            elif name == "leep":
                scores[name] = leep(source_probabilities, labels)
            else:
                scores[name] = nce(np.argmax(source_probabilities, axis=1), labels)
        except InputError as error:
            scores[name], missing[name] = float("nan"), str(error)
        except (ValueError, ArithmeticError) as error:  # LinAlgError is a ValueError
            scores[name], missing[name] = float("nan"), f"cannot be computed: {first_line(error)}"
        if name not in missing and not np.isfinite(scores[name]):
            scores[name], missing[name] = float("nan"), "it is not a finite number"
    return scores, missing
