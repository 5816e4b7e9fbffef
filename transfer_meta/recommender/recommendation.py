"""Recommendation: ranked sources with probability, interval and reasons, and a verdict in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.recommender.inputs import DESCRIPTION, OUTCOMES, SCORES
from transfer_meta.recommender.library import Evidence
from transfer_meta.results import Result, table_as_text, visible
from transfer_meta.tasks.catalogue import CatalogueSource

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from transfer_meta.recommender.absolute_terms import AbsoluteTerms
    from transfer_meta.recommender.starting_points import StartingPoints

MODE_MEANINGS = {
    "text": "the target's text (statistics and words)",
    "encoder": "the target's text, also through the encoder",
    "sources": "the target's text, also through the encoders that were fine-tuned on the sources",
    "measured": "the target's text and a training run on it",
}
"""What the modes of `inputs.MODES` use, in words."""

BASIS_MEANINGS = {
    OUTCOMES: "of sources with outcomes",
    SCORES: "of sources ranked by their encoders",
    DESCRIPTION: "of sources ranked by descriptions",
}
"""Which sources a figure is of, by what their expected gains rest on."""
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
    evidence : Evidence
        Measured transfers from this source; none for a new one.
    shared : float
        Share of examples in common with the target, 0-1: of the target's or the source's, the larger.
    facts : CatalogueSource or None
        Its entry in the catalogue.
    basis : str
        What the expected gain rests on, one of `inputs.BASES`.
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
    evidence: Evidence = field(default_factory=Evidence)
    shared: float = 0.0
    facts: CatalogueSource | None = None
    basis: str = OUTCOMES

    @property
    def n_outcomes(self) -> int:
        """Number of measured transfers from the source; 0 for a new one."""
        return self.evidence.n_outcomes

    @property
    def address(self) -> str:
        """Address by which commands read it, ``hf:ID``; empty if it is not in the catalogue."""
        return self.facts.address if self.facts is not None else ""

    @property
    def near_duplicate(self) -> bool:
        """Whether the source has texts in common with the target."""
        return self.shared >= NEAR_DUPLICATE_SHARE

    def reasons_text(self, sign: int) -> list[tuple[Reason, str]]:
        """Return the reasons for (sign 1) or against (sign −1) the source, each with its text."""
        found = [reason for reason in self.reasons if reason.effect * sign > 0]
        return [(reason, f"{reason.feature}: {reason.text}") for reason in found]

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        numbers = ("rank", "probability", "expected_gain", "low", "high")
        return {
            "source": self.label,
            **{name: getattr(self, name) for name in numbers},
            "reasons": [reason.to_dict() for reason in self.reasons],
            "n_outcomes": self.n_outcomes,
            "near_duplicate": self.near_duplicate,
            "n_targets": self.evidence.n_targets,
            "encoders": list(self.evidence.encoders),
            "tried": self.n_outcomes > 0,
            "basis": self.basis,
            "address": self.address,
            "command": self.facts.command if self.facts else None,
            "hub": self.facts.hub if self.facts else None,
            "train_size": self.facts.train_size if self.facts else None,
            "licence": self.facts.licence if self.facts else None,
        }


@dataclass(frozen=True)
class RankedSet:
    """Prediction for a set of sources.

    Parameters
    ----------
    source : str
        Its name, as `train` and `search` take it: ``one>two`` or ``one+two``.
    members : tuple of str
        Labels of its sources, of a chain in the order of training.
    expected_gain, low, high : float
        Means over the members, fractions of the target's own score.
    over_best : float
        Expected gain less that of the first source alone.
    """

    source: str
    members: tuple[str, ...]
    expected_gain: float
    low: float
    high: float
    over_best: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return vars(self) | {"members": list(self.members)}


@dataclass(frozen=True)
class Recommendation(Result):
    """Sources for a target; `str` gives them with reasons and notes, as the command prints them.

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
        Entries of the model's card; ``figures`` and ``reliability`` are from held-out targets in ``setting``.
    checkpoints : StartingPoints or None
        Published checkpoints to start from, in place of the encoder.
    absolute : AbsoluteTerms or None
        Scores, labels that bring the same and costs, in mode ``measured``.
    sets : tuple of RankedSet
        Sets of several sources, the best first, if they were asked for.
    """

    target: str
    mode: str
    verdict: str
    sources: tuple[RankedSource, ...]
    n_candidates: int
    notes: tuple[str, ...] = ()
    widened: float = 1.0
    model: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: StartingPoints | None = None
    absolute: AbsoluteTerms | None = None
    sets: tuple[RankedSet, ...] = ()

    def __str__(self) -> str:
        figures, model = self.model["figures"], self.model
        lines = [visible(self.caption), "", self._table(), ""]
        if self.sets:
            lines += [f"{self.sets_caption}:", "", self._table_of_sets(), ""]
        if self.absolute is not None:
            lines += [str(self.absolute), ""]
        for source in self.sources:
            lines.append(visible(source.label))
            for sign, word in ((1, "for"), (-1, "against")):
                lines += [
                    f"  {word:<8} {percent(reason.effect):>7}  {visible(text)}"
                    for reason, text in source.reasons_text(sign)
                ]
        if self.checkpoints is not None:
            lines += ["", str(self.checkpoints)]
        lines += ["", *(visible(f"- {note}") for note in self.notes)]
        learned = (
            f"Mode {self.mode}: {MODE_MEANINGS[self.mode]}. Learned from {model['n_outcomes']:,} outcomes of"
            f" {' and '.join(model['tables'])} on {model['n_targets']} targets"
            f" ({', '.join(model['encoders'])}). Held-out targets"
            f" ({model['setting']}): rank correlation {self._skills()},"
            f" interval covers {100 * figures['coverage']:.0f} %, calibration error"
            f" {figures['calibration_error']:.2f}."
        )
        return "\n".join([*lines, visible(learned)])

    def _skills(self) -> str:
        """Return the rank correlation of each kind of source that is shown."""
        shown = dict.fromkeys(source.basis for source in self.sources)
        skills = {basis: skill_of(self.model["figures"], basis) for basis in shown}
        texts = [
            f"{'not measured' if np.isnan(skill) else f'{skill:.2f}'} {BASIS_MEANINGS[basis]}".replace(
                "-", "−"
            )
            for basis, skill in skills.items()
        ]
        return " and ".join(texts)

    def _table(self) -> str:
        coverage = f"{100 * self.model['figures']['coverage_promised']:.0f} % interval"
        rows = [
            (
                s.rank,
                s.label,
                f"{100 * s.probability:.0f} %",
                percent(s.expected_gain),
                f"{percent(s.low)} to {percent(s.high)}",
                f"{s.n_outcomes:,} on {s.evidence.n_targets} targets"
                if s.n_outcomes
                else "never tried",
                "" if s.facts is None or s.facts.train_size is None else f"{s.facts.train_size:,}",
                "" if s.facts is None else s.facts.licence,
                s.address,
                "shares text" if s.near_duplicate else "",
            )
            for s in self.sources
        ]
        columns = (
            "",
            "source",
            "helps",
            "expected gain",
            coverage,
            "outcomes",
            "size",
            "licence",
            "get it by",
            "",
        )
        return table_as_text(columns, rows)

    @property
    def sets_caption(self) -> str:
        """How the sources of the sets are used."""
        is_joint = self.model["method"] == "multitask"
        how = "together with the target" if is_joint else "one after the other, then the target"
        return f"{len(self.sets[0].members)} sources at once, {how}"

    def _table_of_sets(self) -> str:
        rows = [
            (
                rank,
                s.source,
                percent(s.expected_gain),
                f"{percent(s.low)} to {percent(s.high)}",
                percent(s.over_best),
            )
            for rank, s in enumerate(self.sets, start=1)
        ]
        columns = ("", "sources", "expected gain", "interval", "over the best alone")
        return table_as_text(columns, rows)

    @property
    def caption(self) -> str:
        """The verdict."""
        return f"{self.target}: {self.verdict}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per source, the best first.

        Returns
        -------
        DataFrame
            ``rank``, ``source``, ``probability``, ``expected_gain``, ``low``, ``high`` (fractions), ``n_outcomes``,
            ``near_duplicate``, ``address``, ``train_size``, ``licence``, ``reasons_for`` and ``reasons_against``
            (text).
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "rank": source.rank,
                "source": source.label,
                "probability": source.probability,
                "expected_gain": source.expected_gain,
                "low": source.low,
                "high": source.high,
                "n_outcomes": source.n_outcomes,
                "near_duplicate": source.near_duplicate,
                "address": source.address,
                "train_size": source.facts.train_size if source.facts else None,
                "licence": source.facts.licence if source.facts else None,
                "reasons_for": "; ".join(text for _, text in source.reasons_text(1)),
                "reasons_against": "; ".join(text for _, text in source.reasons_text(-1)),
            }
            for source in self.sources
        )

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the expected gain of every source with its interval, the best on top."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.charts import draw_intervals, intervals_height
        from transfer_meta.figures.svg import plain

        frame = self.to_frame()
        axes = new_axes(axes, height=intervals_height(frame))
        draw_intervals(axes, frame)
        coverage = 100 * self.model["figures"]["coverage_promised"]
        axes.set_xlabel(f"expected gain in percent, {coverage:.0f} % intervals")
        axes.set_title(plain(f"{self.target}: sources"))
        return axes

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, as ``--json`` prints it."""
        sources = [source.to_dict() for source in self.sources]
        return vars(self) | {
            "sources": sources,
            "notes": list(self.notes),
            "model": dict(self.model),
            "checkpoints": None if self.checkpoints is None else self.checkpoints.to_dict(),
            "absolute": None if self.absolute is None else self.absolute.to_dict(),
            "sets": [one.to_dict() for one in self.sets],
        }


def skill_of(figures: Mapping[str, float], basis: str) -> float:
    """Return the held-out rank correlation of sources of a basis, NaN if it was not measured."""
    return float(figures.get("spearman" if basis == OUTCOMES else f"spearman_{basis}", float("nan")))


def verdict_of(sources: tuple[RankedSource, ...], *, coverage: float, skill: float) -> str:
    """Return what to do, in a sentence or two.

    `coverage` is that of the intervals, `skill` the rank correlation of the gains on held-out targets, NaN if it
    was not measured.
    """
    if np.isnan(skill):
        return (
            "No recommendation: how well sources are ranked without outcomes was not measured with this encoder."
            " Try a few sources, or none."
        )
    if skill < MIN_RANK_CORRELATION:
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
