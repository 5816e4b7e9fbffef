"""Published results that a report compares with its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table of results, and the matching figures of ours.

    Parameters
    ----------
    label : str
    predictor, features : str
        Our predictor and feature set.
    accuracy, f1 : float or None
        Published values, fractions; None for a row that is not in the paper.
    f1_predictor : str
        Our predictor for F1, if another one.
    """

    label: str
    predictor: str
    features: str = "–"
    accuracy: float | None = None
    f1: float | None = None
    f1_predictor: str = ""


@dataclass(frozen=True)
class Published:
    """Published results on a table of outcomes.

    Parameters
    ----------
    source, results_source, coefficients_source : str
        Paper and tables.
    protocol : str
        The paper's protocol, in our names.
    results : tuple of PublishedRow
    coefficients : tuple of (role, feature, sign)
        Largest coefficients in order, with sign +1 or −1.
    """

    source: str
    results_source: str
    coefficients_source: str
    protocol: str
    results: tuple[PublishedRow, ...]
    coefficients: tuple[tuple[str, str, int], ...]


PUBLISHED = {
    "bingel-soegaard-2017": Published(
        source="Bingel & Søgaard 2017",
        results_source="Table 3",
        coefficients_source="Table 4",
        protocol="pairs-5fold",
        results=(
            PublishedRow(
                "Majority class (accuracy: always loss; F1: always gain)",
                "always-loss",
                accuracy=0.555,
                f1=0.615,
                f1_predictor="always-gain",
            ),
            PublishedRow("All features, curve fit as published", "logistic", "all", 0.749, 0.669),
            PublishedRow("All features, curve fit with today's SciPy", "logistic", "all-refit"),
            PublishedRow(
                "Best combination (features chosen on all pairs: optimistic)",
                "logistic-rfe-optimistic",
                "all",
                0.785,
                0.713,
            ),
            PublishedRow("Features chosen inside the training folds", "logistic-rfe", "all"),
            PublishedRow("Data features only", "logistic", "data", 0.665, 0.542),
            PublishedRow("Control: the target's gain rate", "target-gain-rate"),
            PublishedRow("Control: random numbers as features", "random-fingerprints"),
        ),
        coefficients=(
            ("target", "grad_30", -1),
            ("target", "grad_20", -1),
            ("target", "curve_c_published_fit", 1),
        ),
    )
}
