"""Fine-tuning runs as stages: settings, mixture of tasks, and the stage that one starts from.

The baseline of a target T is ``Stage("T")``; intermediate training on S is ``Stage("T",
start=Stage("S"))``; longer chains nest further; multi-task training is ``Stage("T", sources=("S",),
mixing=Mixing())``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfer_meta.encoding.encoding_settings import HEADS, MEAN_HEAD, is_bilstm
from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.files import digest

RESULT_VERSION = 1
"""Part of the key of stored runs; increment it when a change in the code changes scores."""

CHECKPOINTS = ("last", "best")
PRECISIONS = ("auto", "fp32", "bf16")
GRAPHS = "graphs"
SAMPLINGS = ("uniform", "proportional", "temperature")
LARGEST: Mapping[str, int] = {
    "epochs": 100_000,
    "batch_size": 1_000_000,
    "max_length": 1_000_000,
    "dev_examples": 1_000_000_000,
    "evaluations": 100_000,
    "lora_rank": 65_536,
}
"""Largest values of training settings: beyond are slips of the pen, which would take memory or years."""


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
        Maximum number of tokens per input; longer texts are truncated (question answering: split into
        windows).
    stride : int
        Tokens that neighbouring windows of a context share (question answering).
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
            if not _has_type(getattr(self, field.name), str(field.type))
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
        for name, valid in (("checkpoint", CHECKPOINTS), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in valid:
                found.append(str(unknown(name, value, valid)))
        if self.checkpoint == "best" and 0 in (self.dev_examples, self.evaluations):
            found.append("checkpoint = 'best' needs dev_examples and evaluations above 0")
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingSettings:
        """Return settings from a mapping; an InputError names every unknown key."""
        _check_keys("training setting", data, cls)
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


@dataclass(frozen=True)
class Mixing:
    """Mixture of the target with its sources in multi-task training.

    Either every step draws one task and trains on one of its batches (`sampling`), or every step sums the
    weighted losses of one batch of each task (`weights`).  In both cases the target is passed over
    `epochs` times, in expectation: steps = epochs x batches of the target / its probability.

    Parameters
    ----------
    sampling : {"uniform", "proportional", "temperature"}
        ``uniform`` over tasks (Bingel & Søgaard 2017); ``proportional`` to the number of training
        examples; ``temperature``: proportional to examples^(1 / temperature).
    temperature : float
        1 is proportional; larger values are closer to uniform.
    weights : tuple of float
        Loss weights, the target's first and then one per source, summing to 1.  Empty: use sampling.
    """

    sampling: str = "uniform"
    temperature: float = 2.0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))
        object.__setattr__(self, "temperature", float(self.temperature))

    def problems(self) -> list[str]:
        """Return one line for each invalid setting."""
        found = []
        if self.sampling not in SAMPLINGS:
            found.append(str(unknown("sampling", str(self.sampling), SAMPLINGS)))
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            found.append(f"temperature = {self.temperature} (expected a positive number)")
        if self.weights and any(not (math.isfinite(w) and w >= 0) for w in self.weights):
            found.append(f"weights = {list(self.weights)} (expected numbers of at least 0)")
        elif self.weights and abs(sum(self.weights) - 1) > 1e-6:
            found.append(f"weights = {list(self.weights)} sum to {sum(self.weights):g} (expected 1)")
        elif self.weights and self.weights[0] == 0:
            found.append(f"weights = {list(self.weights)} (the target's, the first, must be above 0)")
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Mixing:
        """Return a mixture from a mapping; an InputError names every unknown key."""
        _check_keys("mixing setting", data, cls)
        return cls(**data)

    def probabilities(self, examples: tuple[int, ...]) -> tuple[float, ...]:
        """Return the probability of drawing each task, given their numbers of training examples.

        Examples
        --------
        >>> Mixing("proportional").probabilities((100, 300))
        (0.25, 0.75)
        """
        exponent = {"uniform": 0.0, "proportional": 1.0}.get(self.sampling, 1 / self.temperature)
        shares = [n**exponent for n in examples]
        return tuple(share / sum(shares) for share in shares)


@dataclass(frozen=True)
class Stage:
    """One fine-tuning run: an encoder trained on a target, alone or together with sources.

    Parameters
    ----------
    target : str
        Name of the task whose test score is the result.
    seed : int
        Seed of subsets, initial heads, order of examples and dropout.
    encoder : str
        Name or folder of an encoder, see `transfer_meta.encoding.encoders.load_encoder`.
    training : TrainingSettings
    target_examples, source_examples : int, optional
        Training examples of the target and of each source; None: all except the dev split.
    sources : tuple of str
        Tasks trained on together with the target.
    mixing : Mixing, optional
        Required if and only if there are `sources`.
    start : Stage, optional
        The stage whose encoder this one starts from; None: the pretrained encoder.
    head : {"mean", "transformers"}
        One linear layer on the mean of the token vectors (tags and spans: on each of them), or the head that the
        architecture has in transformers, such as ``BertForSequenceClassification``.
    """

    target: str
    seed: int
    encoder: str
    training: TrainingSettings = TrainingSettings()
    target_examples: int | None = None
    sources: tuple[str, ...] = ()
    source_examples: int | None = None
    mixing: Mixing | None = None
    start: Stage | None = None
    head: str = MEAN_HEAD

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that this stage trains on, the target first."""
        return (self.target, *self.sources)

    @property
    def chain(self) -> tuple[Stage, ...]:
        """All stages from the first of the chain to this one."""
        return (*(self.start.chain if self.start else ()), self)

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """Names of all tasks that affect the result, sorted: those of every stage of the chain."""
        return tuple(sorted({task for stage in self.chain for task in stage.tasks}))

    def problems(self) -> list[str]:
        """Return one line for each problem of this stage and of the stages before it."""
        found = [problem for stage in reversed(self.chain) for problem in stage._own_problems()]
        return list(dict.fromkeys(found))

    def _own_problems(self) -> list[str]:
        found = [*self.training.problems(), *(self.mixing.problems() if self.mixing else [])]
        if len(set(self.tasks)) < len(self.tasks):
            found.append(f"a task is named twice among target and sources: {', '.join(self.tasks)}")
        if bool(self.sources) != (self.mixing is not None):
            found.append("sources and mixing go together: one is given without the other")
        elif self.mixing and self.mixing.weights and len(self.mixing.weights) != len(self.tasks):
            found.append(
                f"{len(self.mixing.weights)} weights for {len(self.tasks)} tasks "
                "(expected the target's, then one a source)"
            )
        for name in ("target_examples", "source_examples"):
            value = getattr(self, name)
            if value is not None and (not _has_type(value, "int") or value < 1):
                found.append(f"{name} = {value!r} (expected a whole number of at least 1, or none)")
        if not _has_type(self.seed, "int") or self.seed < 0:
            found.append(f"seed = {self.seed!r} (expected a whole number of at least 0)")
        if self.head not in HEADS:
            found.append(str(unknown("head", str(self.head), HEADS)))
        elif self.head != MEAN_HEAD and is_bilstm(self.encoder):
            found.append(f"head = '{self.head}' needs a transformer (got encoder '{self.encoder}')")
        if self.start and self.start.encoder != self.encoder:
            found.append(
                f"a run of encoder '{self.encoder}' cannot start from one of '{self.start.encoder}'"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain JSON values, with `start` nested; without `head` where it is the default.

        Keys of runs are digests of these values, and stored runs are older than `head`.
        """
        values = json.loads(json.dumps(asdict(self)))
        inner: dict[str, Any] | None = values
        while inner is not None:
            if inner["head"] == MEAN_HEAD:
                del inner["head"]
            inner = inner["start"]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """Return the stage that `to_dict` serialised."""
        _check_keys("stage field", data, cls)
        values = dict(data)
        if "training" in values:
            values["training"] = TrainingSettings.from_dict(values["training"])
        if values.get("mixing") is not None:
            values["mixing"] = Mixing.from_dict(values["mixing"])
        if values.get("start") is not None:
            values["start"] = cls.from_dict(values["start"])
        return cls(**values)

    def key(self, task_digests: Mapping[str, str], encoder_revision: str) -> str:
        """Return the digest of everything that determines the result.

        Parameters
        ----------
        task_digests : mapping of str to str
            Digests of the contents of `all_tasks`.
        encoder_revision : str
            Revision of the encoder, see `transfer_meta.encoding.encoders.encoder_revision`.
        """
        content = {
            "version": RESULT_VERSION,
            "stage": self.to_dict(),
            "tasks": {name: task_digests[name] for name in self.all_tasks},
            "encoder_revision": encoder_revision,
        }
        return digest(json.dumps(content, sort_keys=True))


def _check_keys(kind: str, data: Mapping[str, Any], cls: type) -> None:
    """Raise an InputError that names every key of `data` that is not a field of `cls`."""
    valid = [field.name for field in fields(cls)]
    found = [f"unknown {kind} '{key}'{nearest(key, valid)}" for key in data if key not in valid]
    if found:
        raise InputError(f"{'; '.join(found)} (expected some of: {', '.join(valid)})")


def _has_type(value: object, expected: str) -> bool:
    """Whether a value is of a field's annotated type; booleans are not numbers."""
    allowed = set(expected.split(" | "))
    if isinstance(value, bool):
        return "bool" in allowed
    types = {"int": int, "float": int | float, "str": str, "bool": bool, "None": type(None)}
    return any(isinstance(value, types[name]) for name in allowed)
