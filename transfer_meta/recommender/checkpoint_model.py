"""Model of the gain from published checkpoints: their results on the measured targets most like a new one.

The ranking for a target is the mean standardised gain of each checkpoint over the measured targets, weighted by
their nearness to the target and reduced to the main components of the checkpoints' results.  Nearness uses what is
known before any training: the description, whether examples have two texts, the number of examples.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from transfer_meta.evaluation.conformal import COVERAGE, Conformal, fit_conformal
from transfer_meta.features.text.tokenize import tokenize
from transfer_meta.predictors.platt import fit_line, fit_platt, platt_probability
from transfer_meta.predictors.within_target import standardised_gains
from transfer_meta.records import FloatArray
from transfer_meta.tasks.catalogue import load_catalogue

SAME_TEXTS = (frozenset({"sst2", "sst_5bins", "rotten_tomatoes"}), frozenset({"trec", "trec_fine"}))
"""Measured targets with the same texts: a target is left out together with these."""
N_COMPONENTS = 5
"""Components of the checkpoints' results that a ranking is reduced to."""
SHRINKAGE = 1.0
"""Number of targets without effect that are added where the result of a checkpoint is filled in."""
SPREAD_PENALTY = 1.0
"""Ridge penalty of the regression of the spread of gains."""


@dataclass(frozen=True)
class TargetFacts:
    """What is known of a target before any training.

    Parameters
    ----------
    name : str
    description : str
        A sentence or two on texts and labels; empty if unknown.
    pair_share : float or None
        Share of examples with a second text or choices, 0-1.
    n_examples : int or None
        Training examples.
    """

    name: str
    description: str = ""
    pair_share: float | None = None
    n_examples: int | None = None

    @functools.cached_property
    def words(self) -> dict[str, float]:
        """TF-IDF of the description's words, of unit length; empty without a description."""
        counts = Counter(word for word in tokenize(self.description) if word.isalnum())
        n, seen = _words_of_catalogue()
        weights = {
            word: (1 + math.log(count)) * (1 + math.log((1 + n) / (1 + seen[word])))
            for word, count in counts.items()
        }
        length = math.sqrt(sum(weight**2 for weight in weights.values()))
        return {word: weight / length for word, weight in weights.items()}

    def likeness(self, other: TargetFacts) -> float:
        """Return the cosine of the `words` of two descriptions, 0-1; NaN if one of them is empty.

        Examples
        --------
        >>> films, hotels = TargetFacts("films", "Reviews of films"), TargetFacts("hotels", "hotel reviews")
        >>> 0 < films.likeness(hotels) < films.likeness(films)
        True
        """
        if not self.words or not other.words:
            return math.nan
        return sum(weight * other.words.get(word, 0.0) for word, weight in self.words.items())


@dataclass(frozen=True)
class Nearness:
    """Nearness of two targets: exp(a·(cosine − 1) − b·|difference of pair share| − c·|difference of ln size|).

    A term whose fact is unknown of the new target is left out; of a measured target it is the others' mean.

    Parameters
    ----------
    description, pair, size : float
        a, b and c; the defaults were chosen on the shipped table by leave-one-target-out.
    named_data : float
        Standardised gain that a checkpoint is expected to have more, for a cosine of 1 between the descriptions of
        the target and of the data that its name tells; chosen likewise.
    """

    description: float = 6.0
    pair: float = 1.0
    size: float = 0.2
    named_data: float = 0.6

    def weights(self, target: TargetFacts, others: Sequence[TargetFacts]) -> FloatArray:
        """Return the nearness of a target to others, shape (n,)."""
        exponent = np.zeros(len(others))
        if target.description.strip():
            cosines = [target.likeness(other) for other in others]
            exponent += self.description * (_filled(cosines) - 1)
        if target.pair_share is not None:
            shares = [other.pair_share for other in others]
            exponent -= self.pair * np.abs(_filled(shares) - target.pair_share)
        if target.n_examples is not None:
            sizes = [_log_size(other) for other in others]
            exponent -= self.size * np.abs(_filled(sizes) - np.log(max(1, target.n_examples)))
        return np.asarray(np.exp(exponent))


@dataclass(frozen=True)
class CheckpointPrediction:
    """Prediction for the checkpoints of a base model, arrays of shape (n_sources,).

    Parameters
    ----------
    ranking : array
        Expected standardised gain.
    probability : array
        Of gain > 0.
    expected, low, high : array
        Gain and its interval, fractions of the base model's score.
    """

    ranking: FloatArray
    probability: FloatArray
    expected: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class CheckpointModel:
    """Gains of the checkpoints of one base model, calibrated on left-out targets.

    Parameters
    ----------
    gains : array of shape (n_sources, n_targets)
        Fractions of the base model's score; NaN where not measured.
    targets : tuple of TargetFacts
    data : tuple of tuples of TargetFacts
        What each source was trained on as far as known; empty: of no source.
    nearness : Nearness
    n_components : int
        0: rankings are not reduced to components.
    coverage : float
        Nominal coverage of the intervals.
    """

    gains: FloatArray
    targets: tuple[TargetFacts, ...]
    data: tuple[tuple[TargetFacts, ...], ...] = ()
    nearness: Nearness = field(default_factory=Nearness)
    n_components: int = N_COMPONENTS
    coverage: float = COVERAGE

    def without(self, names: Collection[str]) -> Self:
        """Return the model of the other targets."""
        kept = self._kept(names)
        return replace(self, gains=self.gains[:, kept], targets=tuple(self.targets[i] for i in kept))

    def ranking(self, target: TargetFacts, leave_out: Collection[str] = ()) -> FloatArray:
        """Return the expected standardised gain of each source, shape (n_sources,), without some targets."""
        kept = self._kept(leave_out)
        z = _without_gaps(self._z[:, kept])
        weights = self.nearness.weights(target, [self.targets[i] for i in kept])
        weights /= weights.sum()
        if 0 < self.n_components < len(kept):
            components = np.linalg.eigh(z.T @ z)[1][:, -self.n_components :]
            weights = components @ (components.T @ weights)
        ranking = z @ weights
        if self.data and self.nearness.named_data:
            usual = self._data_likeness[:, kept].mean(axis=1)
            bonus = self.nearness.named_data * (self.likeness_of_data(target) - usual)
            ranking = ranking + np.nan_to_num(bonus)
        return np.asarray(ranking)

    def likeness_of_data(self, target: TargetFacts) -> FloatArray:
        """Return the likeness of the target to the nearest data of each source; NaN if unknown."""
        found = {fact.name: fact.likeness(target) for facts in self.data for fact in facts}
        return np.array([max((found[f.name] for f in facts), default=np.nan) for facts in self.data])

    def spread(self, target: TargetFacts, leave_out: Collection[str] = ()) -> float:
        """Return the expected standard deviation of the gains on a target, a fraction.

        It is learned from the other targets: the fewer examples a target has, the more do gains differ.
        """
        kept = self._kept(leave_out)
        y = self._log_spread[kept]
        sizes = _filled([_log_size(self.targets[i]) for i in kept])
        centre, scale = sizes.mean(), sizes.std() or 1.0
        x = (sizes - centre) / scale
        slope = float(x @ (y - y.mean())) / (float(x @ x) + SPREAD_PENALTY)
        size = _log_size(target)
        return float(np.exp(y.mean() + (0.0 if np.isnan(size) else slope * (size - centre) / scale)))

    def predict(self, target: TargetFacts, leave_out: Collection[str] = ()) -> CheckpointPrediction:
        """Return the calibrated prediction for a target; the calibration uses all measured targets."""
        ranking, unit = self.ranking(target, leave_out), self.spread(target, leave_out)
        slope, intercept = self._line
        expected = unit * (slope * ranking + intercept)
        low, high = self._conformal.interval(expected / unit)
        return CheckpointPrediction(
            ranking, platt_probability(ranking, self._platt), expected, unit * low, unit * high
        )

    @property
    def standardised(self) -> FloatArray:
        """Gains standardised within each target; where not measured, the shrunk mean of the source."""
        return _without_gaps(self._z)

    @functools.cached_property
    def left_out_rankings(self) -> FloatArray:
        """Ranking for each target, learned without it and those of the same texts, shape of `gains`."""
        return np.column_stack([self.ranking(t, same_texts(t.name)) for t in self.targets])

    @functools.cached_property
    def _units(self) -> FloatArray:
        return np.array([self.spread(target, same_texts(target.name)) for target in self.targets])

    @functools.cached_property
    def _known(self) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.object_]]:
        """Left-out ranking, gain and unit of the measured pairs, and their target."""
        known = np.isfinite(self.gains)
        units = np.broadcast_to(self._units, known.shape)[known]
        names = np.array([target.name for target in self.targets], dtype=object)
        owner = np.broadcast_to(names, known.shape)[known]
        return self.left_out_rankings[known], self.gains[known], units, owner

    @functools.cached_property
    def _line(self) -> FloatArray:
        ranking, gain, unit, _ = self._known
        return fit_line(ranking, gain / unit)

    @functools.cached_property
    def _platt(self) -> FloatArray:
        ranking, gain, _, _ = self._known
        return fit_platt(ranking, gain > 0)

    @functools.cached_property
    def _conformal(self) -> Conformal:
        ranking, gain, unit, owner = self._known
        expected = self._line[0] * ranking + self._line[1]
        return fit_conformal(expected, gain / unit, owner, coverage=self.coverage)

    @functools.cached_property
    def _z(self) -> FloatArray:
        """Gains standardised within each target, NaN where not measured."""
        z = np.full(self.gains.shape, np.nan)
        for column, gain in zip(z.T, self.gains.T, strict=True):
            known = np.isfinite(gain)
            column[known] = standardised_gains(gain[known], np.zeros(int(known.sum()), dtype=np.intp))
        return z

    @functools.cached_property
    def _data_likeness(self) -> FloatArray:
        return np.column_stack([self.likeness_of_data(target) for target in self.targets])

    @functools.cached_property
    def _log_spread(self) -> FloatArray:
        return np.log(np.maximum(np.nanstd(self.gains, axis=0), 1e-6))

    def _kept(self, leave_out: Collection[str]) -> list[int]:
        return [i for i, target in enumerate(self.targets) if target.name not in leave_out]


def same_texts(name: str) -> frozenset[str]:
    """Return a target and the measured targets with the same texts.

    Examples
    --------
    >>> sorted(same_texts("trec")), sorted(same_texts("rte"))
    (['trec', 'trec_fine'], ['rte'])
    """
    return next((group for group in SAME_TEXTS if name in group), frozenset({name}))


@functools.cache
def _words_of_catalogue() -> tuple[int, Counter[str]]:
    """Return the number of the catalogue's descriptions, and in how many of them each word occurs."""
    texts = [source.description for source in load_catalogue()]
    return len(texts), Counter(word for text in texts for word in set(tokenize(text)))


def _without_gaps(z: FloatArray) -> FloatArray:
    """Return standardised gains, with the shrunk mean of a source where it was not measured."""
    known = np.isfinite(z)
    mean = np.where(known, z, 0.0).sum(axis=1) / (known.sum(axis=1) + SHRINKAGE)
    return np.where(known, z, mean[:, None])


def _log_size(target: TargetFacts) -> float:
    return np.nan if target.n_examples is None else float(np.log(max(1, target.n_examples)))


def _filled(values: Sequence[float | None]) -> FloatArray:
    """Return values with the mean of the known ones in the place of unknown ones; zeros if none is known."""
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    known = np.isfinite(array)
    return np.where(known, array, array[known].mean() if known.any() else 0.0)
