"""The answer: ranked sources with probability, interval and reasons, and a verdict in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHANCE = 0.1
"""Rank correlation on held-out targets below which a model's ranking is not put forward as advice."""


@dataclass(frozen=True)
class Reason:
    """One reason.

    Parameters
    ----------
    feature : str
        In words.
    value : float, str or None
        Of the source, or of the pair; gains are fractions.
    effect : float
        What it adds to the expected gain (a fraction), against the target's typical known source.
    text : str
        The same as a phrase.
    """

    feature: str
    value: float | str | None
    effect: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As the JSON answer has it."""
        return {"feature": self.feature, "value": self.value, "effect": self.effect}


@dataclass(frozen=True)
class RankedSource:
    """What is expected of one source.

    Parameters
    ----------
    source : str
    rank : int
        From 1.
    probability : float
        That it helps: gain > 0.
    expected_gain, low, high : float
        Fractions of the target's own score; the interval is that of `Recommendation.model` ``coverage``.
    reasons : tuple of Reason
        For and against, the strongest first.
    n_outcomes : int
        Measured transfers from this source that stand behind it; 0: a new source.
    near_duplicate : bool
        The source shares texts with the target.
    shared : float
        The larger of the shares of either one's examples that the other has too.
    """

    source: str
    rank: int
    probability: float
    expected_gain: float
    low: float
    high: float
    reasons: tuple[Reason, ...]
    n_outcomes: int
    near_duplicate: bool
    shared: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As the JSON answer has it."""
        return {
            "source": self.source,
            "rank": self.rank,
            "probability": self.probability,
            "expected_gain": self.expected_gain,
            "low": self.low,
            "high": self.high,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "n_outcomes": self.n_outcomes,
            "near_duplicate": self.near_duplicate,
        }


@dataclass(frozen=True)
class Recommendation:
    """The sources worth trying for a target.

    Parameters
    ----------
    target : str
    mode : str
        What was known of the target: ``text``, ``encoder`` or ``measured``.
    verdict : str
        In plain words.
    sources : tuple of SourceAdvice
        The best first.
    n_candidates : int
        Sources that were ranked.
    notes : tuple of str
        What to know before one believes it.
    widened : float
        Factor of the intervals' width for a target unlike the known ones; 1: it is like them.
    model : mapping
        ``dataset``, ``method``, ``regime``, ``n_targets``, ``n_outcomes``, and under ``figures``
        how the model did on held-out targets.
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
        """As JSON has it."""
        return {
            "target": self.target,
            "mode": self.mode,
            "verdict": self.verdict,
            "sources": [source.to_dict() for source in self.sources],
            "n_candidates": self.n_candidates,
            "notes": list(self.notes),
            "widened": self.widened,
            "model": dict(self.model),
        }


def verdict_of(sources: tuple[RankedSource, ...], *, coverage: float, skill: float) -> str:
    """What to do, in a sentence or two.

    Parameters
    ----------
    sources
        By rank.
    coverage
        Of their intervals.
    skill
        Rank correlation of such rankings with the measured gains, on held-out targets.
    """
    if not skill >= CHANCE:
        correlation = f"{skill:.2f}".replace("-", "−")
        return (
            "Nothing to go by: on held-out targets such rankings were no better than chance (rank correlation"
            f" {correlation}). Try a few sources, or none."
        )
    best = sources[0]
    chance = f"{100 * best.probability:.0f} %"
    gain = percent(best.expected_gain)
    if best.probability < 0.5 or best.expected_gain <= 0:
        return (
            f"No source is likely to help: the best, {best.source}, does so with probability {chance}"
            f" (expected gain {gain}). Train on the target alone."
        )
    likely = [s for s in sources if s.probability >= 0.5 and s.expected_gain > 0]
    more = f"; then {', '.join(s.source for s in likely[1:3])}" if len(likely) > 1 else ""
    text = f"Try {best.source} first: it helps with probability {chance}, expected gain {gain}{more}."
    if best.low < 0:
        text += (
            f" A loss is possible ({100 * coverage:.0f} % interval from {percent(best.low)}):"
            " compare with the target alone."
        )
    return text


def percent(gain: float) -> str:
    """A gain for reading.

    Examples
    --------
    >>> percent(-0.0123), percent(0.5)
    ('−1.2 %', '+50.0 %')
    """
    return f"{100 * gain:+.1f} %".replace("-", "−")
