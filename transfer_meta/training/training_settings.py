"""Hyperparameters of one training run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfer_meta.encoding.encoding_settings import KEEP_HEAD, LONG_INPUTS, MEMORY
from transfer_meta.errors import InputError, nearest, unknown

CHECKPOINTS = ("last", "best")
PRECISIONS = ("auto", "fp32", "bf16")
GRAPHS = "graphs"
LARGEST: Mapping[str, int] = {
    "epochs": 100_000,
    "batch_size": 1_000_000,
    "max_length": 1_000_000,
    "dev_examples": 1_000_000_000,
    "evaluations": 100_000,
    "lora_rank": 65_536,
}
"""Largest values of training settings: beyond are slips of the pen, which would take memory or years."""
NEWER_SETTINGS: dict[str, Any] = {"long_inputs": KEEP_HEAD}
"""Fields of `TrainingSettings` that came after the first stored runs, and their defaults."""


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of one stage.

    Parameters
    ----------
    epochs : int
        Passes over the target's training examples.
    batch_size : int
        Examples per update; if memory runs out, the batch is split into micro-batches.
    learning_rate : float
        Peak learning rate of AdamW, after linear warm-up and before linear decay to zero.
    weight_decay : float
        Decoupled weight decay, not applied to biases, LayerNorm and embeddings.
    warmup_fraction : float
        Share of the steps over which the learning rate rises, 0-1.
    max_grad_norm : float
        Maximum L2 norm of the gradient; 0: no clipping.
    max_length : int
        Maximum number of tokens per input; longer texts are read as `long_inputs` says (question answering:
        split into windows).
    stride : int
        Tokens that neighbouring windows of a context (question answering) or segments of a text share.
    dev_examples : int
        Examples held out of the training split for the dev curve, at most a fifth of the split.
    evaluations : int
        Number of evaluations on the dev split, evenly spaced, the last one after the last step.
    checkpoint : {"last", "best"}
        Keep the weights after the last step, or those of the evaluation with the highest dev score (the
        earliest among equals).
    precision : {"auto", "fp32", "bf16"}
        ``bf16`` is autocast; ``auto``: bf16 on CUDA, fp32 on the CPU.
    lora_rank : int, optional
        Rank of LoRA updates of the encoder's linear layers (PEFT); None: train all weights.
    compile : bool or "graphs"
        Run the encoder through ``torch.compile``, worthwhile for long runs on CUDA only; ``"graphs"``:
        also CUDA graphs, one per batch shape, for encoders so small that kernel launches dominate.
    long_inputs : {"head", "tail", "head-tail", "segments", "votes", "memory"}
        What is read of a text of more than `max_length` tokens, of a pair the longer text.  ``head``: its first
        tokens; ``tail``: its last ones; ``head-tail``: both, a quarter of them from the beginning [1]_;
        ``segments``: all, in segments of `max_length` tokens that share `stride` ones; the outputs of the task head
        are averaged over them, in training too; ``votes``: each segment is trained on the text's class, and most
        votes decide (classification); ``memory``: all, in segments that learned vectors link [2]_ (see
        `transfer_meta.encoding.recurrent_memory`).  All but ``head`` are for classification and regression only,
        ``tail`` and ``head-tail`` for multiple choice too.

    References
    ----------
    .. [1] Sun, Qiu, Xu & Huang (2019). How to Fine-Tune BERT for Text Classification? CCL.
    .. [2] Bulatov, Kuratov & Burtsev (2022). Recurrent Memory Transformer. NeurIPS.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    max_grad_norm: float = 1.0
    max_length: int = 256
    stride: int = 64
    dev_examples: int = 100
    evaluations: int = 5
    checkpoint: str = "last"
    precision: str = "auto"
    lora_rank: int | None = None
    compile: bool | str = False
    long_inputs: str = KEEP_HEAD

    def __post_init__(self) -> None:
        # A TOML file may give 1 for 1.0; the key of a run must not depend on that.
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float" and type(value) is int:
                object.__setattr__(self, field.name, float(value))

    def problems(self) -> list[str]:
        """Return one line for each invalid setting."""
        found = [
            f"{field.name} = {getattr(self, field.name)!r} (expected {field.type})"
            for field in fields(self)
            if not has_type(getattr(self, field.name), str(field.type))
        ]
        if found:
            return found
        checks = (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "a positive number"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or a positive number"),
            ("max_grad_norm", 0 <= self.max_grad_norm < math.inf, "0 or a positive number"),
            ("warmup_fraction", 0 <= self.warmup_fraction <= 1, "a number between 0 and 1"),
            ("max_length", self.max_length >= 8, "at least 8 tokens"),
            (
                "stride",
                0 <= self.stride <= self.max_length // 2,
                f"0 to half of max_length, {self.max_length}",
            ),
            ("dev_examples", self.dev_examples >= 0, "0 or more"),
            ("evaluations", self.evaluations >= 0, "0 or more"),
            ("lora_rank", self.lora_rank is None or self.lora_rank >= 1, "at least 1"),
            ("compile", self.compile in (False, True, GRAPHS), f"true, false or '{GRAPHS}'"),
        )
        found = [
            f"{name} = {getattr(self, name)!r} (expected {expected})"
            for name, is_valid, expected in checks
            if not is_valid
        ]
        found += [
            f"{name} = {getattr(self, name)} (expected at most {largest})"
            for name, largest in LARGEST.items()
            if (getattr(self, name) or 0) > largest
        ]
        for name, valid in (
            ("checkpoint", CHECKPOINTS),
            ("precision", PRECISIONS),
            ("long_inputs", LONG_INPUTS),
        ):
            value = getattr(self, name)
            if value not in valid:
                found.append(str(unknown(name, value, valid)))
        if self.checkpoint == "best" and 0 in (self.dev_examples, self.evaluations):
            found.append("checkpoint = 'best' needs dev_examples and evaluations above 0")
        if self.long_inputs == MEMORY and self.compile:
            found.append(f"long_inputs = '{MEMORY}' does not go with compile (expected one of them)")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, without newer ones that have their default."""
        values = asdict(self)
        return {k: v for k, v in values.items() if k not in NEWER_SETTINGS or v != NEWER_SETTINGS[k]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingSettings:
        """Return settings from a mapping; an InputError names every unknown key."""
        check_fields("training setting", data, cls)
        return cls(**data)


SOURCE_TRAINING = TrainingSettings(
    epochs=4,
    learning_rate=1e-3,
    batch_size=16,
    max_length=128,
    dev_examples=100,
    evaluations=1,
    precision="bf16",
    lora_rank=16,
)
"""Training of source encoders (`transfer_meta.training.train_source`) where none is named."""
SOURCE_EXAMPLES = 1000
"""Training examples of a source encoder where no number is named."""


def check_fields(kind: str, data: Mapping[str, Any], cls: type) -> None:
    """Raise an InputError that names every key of `data` that is not a field of `cls`."""
    valid = [field.name for field in fields(cls)]
    found = [f"unknown {kind} '{key}'{nearest(key, valid)}" for key in data if key not in valid]
    if found:
        raise InputError(f"{'; '.join(found)} (expected some of: {', '.join(valid)})")


def has_type(value: object, expected: str) -> bool:
    """Whether a value is of a field's annotated type; booleans are not numbers."""
    allowed = set(expected.split(" | "))
    if isinstance(value, bool):
        return "bool" in allowed
    types = {"int": int, "float": int | float, "str": str, "bool": bool, "None": type(None)}
    return any(isinstance(value, types[name]) for name in allowed)
