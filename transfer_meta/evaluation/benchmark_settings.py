"""Settings of a benchmark: what to run, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer_meta.errors import InputError, unknown
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.evaluation.splits import DEFAULT_PROTOCOL, Protocol, find_protocol
from transfer_meta.outcomes.gain_definition import MEAN_GAIN, GainDefinition, find_gain_definition
from transfer_meta.predictors import BY_TARGET, OF_SETS, PREDICTORS, UNTUNED

N_SHUFFLES = 100
"""Repeats of a shuffled protocol, as in Bingel & Søgaard 2017."""
GROUP_SETS = ("groups",)
"""`BenchmarkSettings.features` that stands for an ablation of the groups of features."""
N_CONTROL_DRAWS = 20
"""Draws of the random controls under a protocol that is not shuffled."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """What a benchmark runs; where several names are expected, one may be given as it is.

    Parameters
    ----------
    protocol : Protocol
        One of `evaluation.splits.PROTOCOLS`, or its name.
    predictors : tuple of str
        Keys of `predictors.PREDICTORS`; empty: all untuned ones, those of sets of sources if the table has some,
        under a shuffled protocol without those of `predictors.BY_TARGET`.
    features : tuple of str
        Feature sets for the predictors that use features; empty: ``all``, and for ``logistic`` every set in the
        table; `GROUP_SETS`: all, each group of features, and all but each group.
    metrics : tuple of str
        Keys of `evaluation.metrics.METRICS`; empty: all.
    repeats : int or None
        Repeats of a shuffled protocol, draws of the random controls otherwise; None: 100 and 20.
    seed : int
        Seed of shuffles, controls and predictors.
    workers : int
        Worker processes; results do not depend on it.
    compare : str or None
        Per-target metric by which predictors are compared with each other; None: Spearman's correlation, or the
        first per-target metric among `metrics`, and no comparison under a shuffled protocol.
    gain_definition : GainDefinition
        One of `outcomes.gain_definition.GAIN_DEFINITIONS`, or its name; used in training and in every figure.
    vectors : Path or None
        Task vectors written by ``embed``: their similarities are added as features of the pairs.
    """

    protocol: Protocol = DEFAULT_PROTOCOL
    predictors: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    repeats: int | None = None
    seed: int = 0
    workers: int = 1
    compare: str | None = None
    gain_definition: GainDefinition = MEAN_GAIN
    vectors: Path | None = None

    def __post_init__(self) -> None:
        for name in ("predictors", "features", "metrics"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        if isinstance(self.protocol, str):
            object.__setattr__(self, "protocol", find_protocol(self.protocol))
        if isinstance(self.gain_definition, str):
            object.__setattr__(self, "gain_definition", find_gain_definition(self.gain_definition))
        for kind, given, valid in (
            ("predictor", self.predictors, PREDICTORS),
            ("metric", (*self.metrics, *filter(None, [self.compare])), METRICS),
        ):
            for name in given:
                if name not in valid:
                    raise unknown(kind, name, valid)
        if self.compare and not METRICS[self.compare].per_target:
            within = ", ".join(name for name, metric in METRICS.items() if metric.per_target)
            raise InputError(
                f"'{self.compare}' is computed over all pairs, but predictors are compared target by target: "
                f"expected one of {within}"
            )
        if self.repeats is not None and self.repeats < 1:
            raise InputError(f"repeats must be at least 1, got {self.repeats}")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, got {self.seed}")
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")

    @property
    def draws(self) -> int:
        """Number of repeats, or of draws of the random controls."""
        return self.repeats or (N_SHUFFLES if self.protocol.is_shuffled else N_CONTROL_DRAWS)

    @property
    def compared(self) -> str | None:
        """The metric by which predictors are compared, or None."""
        if self.compare or self.protocol.is_shuffled:
            return self.compare
        within = [name for name in self.metrics or METRICS if METRICS[name].per_target]
        return "spearman" if "spearman" in within else next(iter(within), None)

    def chosen_predictors(self, *, with_sets: bool) -> tuple[str, ...]:
        """Return the predictors to run on a table, of which some source may be a set of several."""
        left_out = BY_TARGET if self.protocol.is_shuffled else ()
        names = (*UNTUNED, *OF_SETS) if with_sets else UNTUNED
        return self.predictors or tuple(name for name in names if name not in left_out)
