"""Settings of `train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_meta.api.train_sources import AUTO, NO_SOURCE
from transfer_meta.encoding.encoding_settings import KEEP_HEAD, LONG_INPUTS, check_positive
from transfer_meta.errors import InputError, unknown
from transfer_meta.tasks.source_sets import TOGETHER
from transfer_meta.training.method_settings import (
    BASELINE_ORDER,
    FIXED,
    ORDERS,
    TO_TARGET,
    UNCERTAINTY,
    WEIGHTINGS,
    Mixing,
)
from transfer_meta.training.training_settings import (
    PRECISIONS,
    SOURCE_EXAMPLES,
    SOURCE_TRAINING,
    TrainingSettings,
)

if TYPE_CHECKING:
    from transfer_meta.runs.plan import EncoderFacts

DEFAULT_TRIES = 2
MIXED_BY = ("sampling", TO_TARGET, UNCERTAINTY, "soft")
"""Ways to train on sources and target together."""
CURRICULA = tuple(order for order in ORDERS if order != BASELINE_ORDER)
"""Orders of the training examples by length."""
MAX_SMALL_WEIGHTS = 30_000_000
"""Weights, without embeddings, of encoders that are trained with the learning rate of the shipped grid."""
LARGE_RATE, LARGE_LORA_RATE = 3e-5, 3e-4
"""Learning rates for larger encoders, of all weights and of LoRA updates."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of `train`.

    Parameters
    ----------
    out : str or Path
        Folder of the model.
    source : str, or sequence of str
        What to train on before the target: a name among `sources` or of the catalogue, a file, ``hf:DATASET``,
        a set of them, ``one>two`` (one after the other) or ``one+two`` (together with the target),
        ``checkpoint:ENCODER`` (start from that encoder), ``none``, or ``auto`` (the default): what `recommend` puts
        first.  A sequence is a chain, or with `mix` a mixture.
    sources : sequence of str or Path
        Files, task cards and folders of tasks that may serve as sources.
    mix : bool
        Train on sources and target together, not one after the other.
    mix_by : {"sampling", "to-target", "uncertainty", "soft"}
        How `mix` shares.  ``sampling``: one encoder, a task drawn at every step.  ``to-target``, ``uncertainty``:
        one encoder, the losses of all tasks added up, with weights that move to the target or that are learned
        (`transfer_meta.training.method_settings.Mixing`).  ``soft``: an encoder for each task, tied by their
        weights.
    curriculum : {"naive", "mixed", "combined"}, optional
        Order of the training examples by length, see `transfer_meta.training.method_settings.Curriculum`, of the
        target alone and of all runs with sources; the target alone in a random order is compared too.
    tries : int
        Sources that ``auto`` tries; short runs decide which of them is trained on in full.
    encoder : str
        ``offline``, a folder, or a name on the Hugging Face Hub; a decoder or an encoder-decoder, too.
    seeds : int
        Number of seeds, counted from 0.
    examples : int, optional
        Training examples of the target; by default all, less those held out to choose on.
    source_examples : int
        Training examples of each source; one with fewer gives all.
    epochs : int
        Passes over the examples; the weights of the epoch with the best score on the examples held out are taken.
    learning_rate : float, optional
        By default that of the shipped grid, 2e-4, for small encoders, and 3e-5 for those with more than 30 million
        weights beside the embeddings; for LoRA 1e-3 and 3e-4.
    max_length : int
        Maximum number of tokens of a text, of a decoder those of prompt and answer together.
    long_inputs : str
        How longer texts are read, see `transfer_meta.training.training_settings.TrainingSettings`.
    device : str
        ``auto`` (all CUDA devices, else the CPU), ``cpu``, or ``cuda:0,cuda:1``.
    precision : str
        ``auto``, ``fp32`` or ``bf16``.
    lora_rank : int, optional
        Rank of LoRA updates; by default all weights are trained.
    store : str, Path or None
        Run store: a file (SQLite) or ``postgresql://USER@HOST/DATABASE``.  Default: ``$TRANSFER_META_STORE``, else
        ``runs.sqlite``.
    overwrite : bool
        Replace a model that is in `out`.

    Raises
    ------
    InputError
        A value out of range, or one that has no effect together with another.
    """

    out: str | Path = "model"
    source: str | Sequence[str] = ()
    sources: Sequence[str | Path] = ()
    mix: bool = False
    mix_by: str = MIXED_BY[0]
    curriculum: str | None = None
    tries: int = DEFAULT_TRIES
    encoder: str = "offline"
    seeds: int = 3
    examples: int | None = None
    source_examples: int = SOURCE_EXAMPLES
    epochs: int = 4
    learning_rate: float | None = None
    max_length: int = 128
    long_inputs: str = KEEP_HEAD
    device: str = "auto"
    precision: str = "auto"
    lora_rank: int | None = None
    store: str | Path | None = field(default=None, repr=False)  # may hold a password
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "sources"):
            given = getattr(self, name)
            several = (given,) if isinstance(given, str | Path) else tuple(given)
            object.__setattr__(self, name, tuple(map(str, several)))
        object.__setattr__(self, "source", self.source or (AUTO,))
        check_positive(
            self, "tries", "seeds", "examples", "source_examples", "epochs", "lora_rank", "max_length"
        )
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise InputError(f"learning_rate = {self.learning_rate} (expected between 0 and 1)")
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.long_inputs not in LONG_INPUTS:
            raise unknown("long_inputs", self.long_inputs, LONG_INPUTS)
        for word in (AUTO, NO_SOURCE):
            if word in self.source and len(self.source) > 1:
                raise InputError(f"source '{word}' together with others (expected it alone)")
        if not self.is_auto and self.tries != DEFAULT_TRIES:
            raise InputError(f"tries has no effect with source {', '.join(self.source)}")
        if self.mix and self.source == (NO_SOURCE,):
            raise InputError(f"mix has no effect with source {NO_SOURCE}")
        if self.mix_by not in MIXED_BY:
            raise unknown("mix_by", self.mix_by, MIXED_BY)
        if not (self.mix or any(TOGETHER in source for source in self.source)):
            self.check_mixed()
        if self.curriculum is not None and self.curriculum not in CURRICULA:
            raise unknown("curriculum", self.curriculum, CURRICULA)

    def check_mixed(self) -> None:
        """Raise an InputError if `mix_by` has no effect, because nothing is mixed."""
        if self.mix_by != MIXED_BY[0] and not self.mix:
            raise InputError(f"mix_by = '{self.mix_by}' has no effect without mix")

    @property
    def is_auto(self) -> bool:
        """Whether the recommender says which sources to try."""
        return self.source == (AUTO,)

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that the sources are used by."""
        if not self.mix:
            return "intermediate", "chain"
        return ("soft",) if self.mix_by == "soft" else ("multitask",)

    @property
    def mixing(self) -> Mixing:
        """The mixture for ``multitask``."""
        return Mixing(weighting=self.mix_by if self.mix_by in WEIGHTINGS else FIXED)

    def training(self, encoder: EncoderFacts) -> TrainingSettings:
        """Return the training settings for an encoder."""
        from transfer_meta.runs.rung_runner import MINILM_GRID_TRAINING

        rate = self.learning_rate
        is_small = encoder.weights - encoder.embeddings <= MAX_SMALL_WEIGHTS
        if rate is None and self.lora_rank:
            rate = SOURCE_TRAINING.learning_rate if is_small else LARGE_LORA_RATE
        elif rate is None:
            rate = MINILM_GRID_TRAINING.learning_rate if is_small else LARGE_RATE
        return replace(
            MINILM_GRID_TRAINING,
            epochs=self.epochs,
            evaluations=self.epochs,
            checkpoint="best",
            learning_rate=rate,
            precision=self.precision,
            lora_rank=self.lora_rank,
            max_length=self.max_length,
            stride=min(MINILM_GRID_TRAINING.stride, self.max_length // 2),
            long_inputs=self.long_inputs,
        )
