"""Score as a power law of the number of training examples, fitted to runs on a few sizes.

With N the largest size and d = log2(n / N) the number of doublings from there, the score on n examples is

    score(n) = level + step · q · (1 - q^d) / (1 - q)

where `step` is the gain of the last doubling and each doubling brings q times the gain of the one before it: the
power law a - b · n^-c with c = -log2(q), negative where growth still accelerates.  Three noisy sizes do not
determine three parameters, so `step` and `q` have prior distributions, and everything that is predicted is read off
draws from the posterior distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from transfer_meta.features.missing import MissingError
from transfer_meta.records import FloatArray

SIZE_COVERAGE = 0.9
"""Nominal coverage of the intervals."""
MAX_FACTOR = 4
"""Sizes up to this multiple of the largest one are predicted, no larger ones."""


class SizePrior(NamedTuple):
    """Prior of a size curve, chosen by ``examples/label_equivalents.py`` on its development tasks.

    Parameters
    ----------
    ratio, ratio_spread : float
        Mean and standard deviation of `q`; above 1 the score still grows faster with each doubling.
    step : float
        Mean of the gain of the last doubling, as a share of what is missing to a score of 1.
    noise, noise_weight : float
        Standard deviation of a score over seeds at the largest size, and the degrees of freedom that it counts.
    noise_decay : float
        The variance over seeds is proportional to size^-noise_decay.
    misfit : float
        Standard deviation of a mean score around the curve, noise of the seeds apart.
    """

    ratio: float = 0.9
    ratio_spread: float = 0.5
    step: float = 0.5
    noise: float = 0.01
    noise_weight: float = 3.0
    noise_decay: float = 1.0
    misfit: float = 0.005


SIZE_PRIOR = SizePrior()

_DRAWS = 2000
_RATIOS = np.linspace(0.205, 1.405, 41)
_STEPS = np.linspace(0.0, 0.5, 101)
_DOUBLINGS = np.linspace(0.0, np.log2(MAX_FACTOR), 257)


class Predicted(NamedTuple):
    """A predicted value with the ends of its interval of coverage `SIZE_COVERAGE`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SizeCurve:
    """Scores by number of training examples, as draws from the posterior distribution.

    Parameters
    ----------
    largest : int
        The largest size that was measured.
    level : array, shape (n_draws,)
        Score at the largest size.
    step : array, shape (n_draws,)
        Gain of the last doubling.
    ratio : array, shape (n_draws,)
        Gain of a doubling over that of the doubling before it.
    """

    largest: int
    level: FloatArray = field(repr=False)
    step: FloatArray = field(repr=False)
    ratio: FloatArray = field(repr=False)

    def score(self, size: float) -> Predicted:
        """Return the predicted score on a number of training examples.

        Raises
        ------
        ValueError
            More than `MAX_FACTOR` times the largest size.
        """
        doublings = np.log2(size / self.largest)
        if doublings > np.log2(MAX_FACTOR) + 1e-9:
            raise ValueError(
                f"{size} examples are more than {MAX_FACTOR} times the largest size, {self.largest}"
            )
        return _predicted(np.clip(self.level + self._rise(np.array([doublings]))[:, 0], 0, 1))

    def more_examples(self, gain: float) -> Predicted:
        """Return how many examples beyond the largest size raise the score by a fraction of itself.

        Infinity stands for more than `MAX_FACTOR` times the largest size; no gain needs no example.
        """
        if gain <= 0:
            return Predicted(0.0, 0.0, 0.0)
        reached = self._rise(_DOUBLINGS) >= gain * self.level[:, None]
        first = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
        more = np.where(first < 0, np.inf, self.largest * (2 ** _DOUBLINGS[first] - 1))
        return _predicted(more)

    def _rise(self, doublings: FloatArray) -> FloatArray:
        """Return the rise over the level, shape (n_draws, n_doublings)."""
        q = self.ratio[:, None]
        return self.step[:, None] * q * (1 - q**doublings) / (1 - q)


def fit_size_curve(
    sizes: ArrayLike, scores: ArrayLike, prior: SizePrior = SIZE_PRIOR, *, seed: int = 0
) -> SizeCurve:
    """Fit a power law to the scores of runs on several sizes.

    Parameters
    ----------
    sizes : array, shape (n_sizes,)
        Numbers of training examples, ascending.
    scores : array, shape (n_seeds, n_sizes)
        0-1, the higher the better.
    prior : SizePrior
    seed : int
        Of the draws.

    Raises
    ------
    MissingError
        Fewer than two sizes, a score that is no number, 0 on average at a size, or no higher on the largest size
        than on the smallest.

    Examples
    --------
    >>> sizes = [50, 100, 200]
    >>> curve = fit_size_curve(sizes, [[0.62, 0.71, 0.77], [0.60, 0.70, 0.76], [0.61, 0.69, 0.77]])
    >>> 0.79 < curve.score(400).value < 0.83
    True
    >>> curve.more_examples(0.5).value
    inf
    """
    n, y = np.asarray(sizes, dtype=float), np.asarray(scores, dtype=float)
    if len(n) < 2:
        raise MissingError("fewer than two sizes")
    if not np.isfinite(y).all():
        raise MissingError("a run has no score")
    means = y.mean(axis=0)
    if means.min() <= 0:
        raise MissingError(f"the score is 0 with {n[means.argmin()]:.0f} examples")
    if means[-1] <= means[0]:
        raise MissingError(
            f"the score is no higher with {n[-1]:.0f} examples than with {n[0]:.0f}"
            f" ({means[-1]:.3f}, {means[0]:.3f})"
        )
    spread = (n[-1] / n) ** prior.noise_decay
    freedom = (len(y) - 1) * len(n)
    squares = float(((y - means) ** 2 / spread).sum()) + prior.noise_weight * prior.noise**2
    noise = squares / (freedom + prior.noise_weight)
    precision = 1 / (noise * spread / len(y) + prior.misfit**2)

    # On a grid of q and step the level has a normal distribution.
    doublings = np.log2(n / n[-1])
    q, step = (part.ravel() for part in np.meshgrid(_RATIOS, _STEPS, indexing="ij"))
    rises = (step * q / (1 - q))[:, None] * (1 - q[:, None] ** doublings)
    level = (means - rises) @ precision / precision.sum()
    chi = (means - rises - level[:, None]) ** 2 @ precision
    log_prior = -(((q - prior.ratio) / prior.ratio_spread) ** 2) / 2
    log_prior -= step / max(prior.step * (1 - means[-1]), 1e-3)
    # At four times the size a score of 1 is not passed.
    limit = level + step * (q + q**2)
    log_weight = np.where(limit <= 1 + precision[-1] ** -0.5, log_prior - chi / 2, -np.inf)
    weight = np.exp(log_weight - log_weight.max())
    random = np.random.default_rng(seed)
    drawn = random.choice(len(weight), size=_DRAWS, p=weight / weight.sum())
    return SizeCurve(
        int(n[-1]),
        np.clip(level[drawn] + precision.sum() ** -0.5 * random.normal(size=_DRAWS), 1e-6, 1),
        step[drawn],
        q[drawn],
    )


def _predicted(draws: FloatArray) -> Predicted:
    """Return median and interval; quantiles are draws, since some may be infinite."""
    ends = (1 - SIZE_COVERAGE) / 2
    value, low, high = np.quantile(draws, [0.5, ends, 1 - ends], method="inverted_cdf")
    return Predicted(float(value), float(low), float(high))
