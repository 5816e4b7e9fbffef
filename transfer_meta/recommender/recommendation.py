"""Recommendation: ranked sources with probability, interval and reasons, and a verdict in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIN_RANK_CORRELATION = 0.1
"""A model whose rank correlation on held-out targets is lower gives no advice."""
NEAR_DUPLICATE_SHARE = 0.05
"""Share of common examples from which a source is marked as a near duplicate of the target."""


@dataclass(frozen=True)
class Reason:
    """A reason for or against a source.

    Parameters
    ----------
    feature : str
        In words.
    value : float, str or None
        Of the source, or of the pair; gains are fractions.
    effect : float
        Contribution to the expected gain (a fraction), relative to the target's typical known source.
    text : str
        The value as a phrase.
    """

    feature: str
    value: float | str | None
    effect: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {"feature": self.feature, "value": self.value, "effect": self.effect}


@dataclass(frozen=True)
class RankedSource:
    """Prediction for one source.

    Parameters
    ----------
    source : str
        Name of the task.
    label : str
        The name as printed, unique in the recommendation.
    is_own : bool
        Whether it is a task of the user rather than one of the library.
    rank : int
        From 1.
    probability : float
        Of gain > 0.
    expected_gain, low, high : float
        Fractions of the target's own score; the interval has the coverage given in `Recommendation.model`.
    reasons : tuple of Reason
        For and against, the strongest first.
    n_outcomes : int
        Measured transfers from this source; 0 for a new one.
    shared : float
        Share of examples in common with the target, 0-1: of the target's or the source's, the larger.
    """

    source: str
    label: str
    is_own: bool
    rank: int
    probability: float
    expected_gain: float
    low: float
    high: float
    reasons: tuple[Reason, ...]
    n_outcomes: int
    shared: float = 0.0

    @property
    def near_duplicate(self) -> bool:
        """Whether the source has texts in common with the target."""
        return self.shared >= NEAR_DUPLICATE_SHARE

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        numbers = ("rank", "probability", "expected_gain", "low", "high")
        return {
            "source": self.label,
            **{name: getattr(self, name) for name in numbers},
            "reasons": [reason.to_dict() for reason in self.reasons],
            "n_outcomes": self.n_outcomes,
            "near_duplicate": self.near_duplicate,
        }


@dataclass(frozen=True)
class Recommendation:
    """Sources for a target.

    Parameters
    ----------
    target : str
    mode : str
        One of `inputs.MODES`.
    verdict : str
        What to do, in a sentence or two.
    sources : tuple of RankedSource
        The best first.
    n_candidates : int
        Sources that were ranked.
    notes : tuple of str
        Caveats.
    widened : float
        Factor of the intervals' width, above 1 for a target unlike the known tasks.
    model : mapping
        Entries of the model's card; ``figures`` and ``reliability`` are from held-out targets.
    """

    target: str
    mode: str
    verdict: str
    sources: tuple[RankedSource, ...]
    n_candidates: int
    notes: tuple[str, ...] = ()
    widened: float = 1.0
    model: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        sources = [source.to_dict() for source in self.sources]
        return vars(self) | {
            "sources": sources,
            "notes": list(self.notes),
            "model": dict(self.model),
        }


def verdict_of(sources: tuple[RankedSource, ...], *, coverage: float, skill: float) -> str:
    """Return what to do, in a sentence or two.

    `coverage` is that of the intervals, `skill` the rank correlation of the gains on held-out targets.
    """
    if not skill >= MIN_RANK_CORRELATION:
        correlation = f"{skill:.2f}".replace("-", "−")
        return (
            "No recommendation: on held-out targets the rankings were no better than chance (rank correlation"
            f" {correlation}). Try a few sources, or none."
        )
    best = sources[0]
    chance = f"{100 * best.probability:.0f} %"
    gain = percent(best.expected_gain)
    if best.probability < 0.5 or best.expected_gain <= 0:
        return (
            f"No source is likely to help: the best, {best.label}, does so with probability {chance}"
            f" (expected gain {gain}). Train on the target alone."
        )
    likely = [s.label for s in sources if s.probability >= 0.5 and s.expected_gain > 0]
    more = f"; then {', '.join(likely[1:3])}" if len(likely) > 1 else ""
    text = f"Try {best.label} first: it helps with probability {chance}, expected gain {gain}{more}."
    if best.low < 0:
        text += (
            f" A loss is possible ({100 * coverage:.0f} % interval from {percent(best.low)}):"
            " compare with the target alone."
        )
    return text


def percent(gain: float) -> str:
    """Return a gain as text.

    Examples
    --------
    >>> percent(-0.0123), percent(0.5)
    ('−1.2 %', '+50.0 %')
    """
    return f"{100 * gain:+.1f} %".replace("-", "−")
