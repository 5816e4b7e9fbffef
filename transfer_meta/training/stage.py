"""What one fine-tuning run is: its settings, its mixture of tasks, and its place in a chain of runs.

Every method compiles to stages: the baseline of T is ``Stage("T")``; an intermediate task S before T is
``Stage("T", start=Stage("S"))``; a chain nests further; multi-task training is
``Stage("T", sources=("S",), mixing=Mixing())``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from transfer_meta.errors import InputError, nearest, unknown
from transfer_meta.files import digest

# Raise it when a change in the training code changes scores: stored runs are then no longer found.
RESULT_VERSION = 1

CHECKPOINTS = ("last", "best")
PRECISIONS = ("auto", "fp32", "bf16")
GRAPHS = "graphs"
SAMPLINGS = ("uniform", "proportional", "temperature")


@dataclass(frozen=True)
class TrainingSettings:
    """How one stage is trained.

    Parameters
    ----------
    epochs
        Passes over the target's training examples.
    batch_size
        Examples an update step; out of memory splits the batch, never shrinks it.
    learning_rate
        Peak learning rate of AdamW, after linear warm-up and before linear decay to zero.
    weight_decay
        Decoupled weight decay, times the learning rate a step; not of biases, LayerNorm and embeddings.
    warmup_fraction
        Share of the steps over which the learning rate rises, 0-1.
    max_grad_norm
        The gradient is scaled down to this L2 norm; 0: never.
    max_length
        Tokens an input; longer ones are cut (question answering: read in windows).
    stride
        Tokens that two neighbouring windows of a long context share (question answering).
    dev_examples
        Examples cut from the training split to measure the curve on; at most a fifth of the split.
    evaluations
        How often, evenly over the steps, the dev split is measured; the last time is the last step.
    checkpoint
        ``last``: the weights after the last step; ``best``: those of the evaluation with the highest
        dev score, the earlier of equals.
    precision
        ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 on CUDA, fp32 on the CPU.
    lora_rank
        Rank of LoRA updates of the encoder's linear layers (PEFT); None: every weight is trained.
    compile
        Run the encoder through ``torch.compile``, which pays for long runs on CUDA only; ``"graphs"``:
        with CUDA graphs too, one a batch shape, for encoders so small that launching kernels takes longer
        than they do.
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
        # A file may say 1 where it means 1.0; the key of a run must not depend on that.
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float" and type(value) is int:
                object.__setattr__(self, field.name, float(value))

    def problems(self) -> list[str]:
        """What is wrong with these settings, one line each; empty where nothing is."""
        found = [
            f"{field.name} = {getattr(self, field.name)!r} (expected {field.type})"
            for field in fields(self)
            if not _has_type(getattr(self, field.name), str(field.type))
        ]
        if found:
            return found
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                found.append(f"{name} = {getattr(self, name)} (expected at least 1)")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            found.append(f"learning_rate = {self.learning_rate} (expected a positive number)")
        for name in ("weight_decay", "max_grad_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                found.append(f"{name} = {getattr(self, name)} (expected 0 or a positive number)")
        if not 0 <= self.warmup_fraction <= 1:
            found.append(
                f"warmup_fraction = {self.warmup_fraction} (expected a number between 0 and 1)"
            )
        if self.max_length < 8:
            found.append(f"max_length = {self.max_length} (expected at least 8 tokens)")
        if not 0 <= self.stride <= self.max_length // 2:
            found.append(
                f"stride = {self.stride} (expected 0 to half of max_length, {self.max_length})"
            )
        for name in ("dev_examples", "evaluations"):
            if getattr(self, name) < 0:
                found.append(f"{name} = {getattr(self, name)} (expected 0 or more)")
        for name, valid in (("checkpoint", CHECKPOINTS), ("precision", PRECISIONS)):
            if getattr(self, name) not in valid:
                value = getattr(self, name)
                found.append(str(unknown(name, value, valid)))
        if self.compile not in (False, True, GRAPHS):
            found.append(f"compile = {self.compile!r} (expected true, false or '{GRAPHS}')")
        if self.checkpoint == "best" and 0 in (self.dev_examples, self.evaluations):
            found.append("checkpoint = 'best' needs dev_examples and evaluations above 0")
        if self.lora_rank is not None and self.lora_rank < 1:
            found.append(f"lora_rank = {self.lora_rank} (expected at least 1)")
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingSettings:
        """Settings by name; an InputError names every key that there is not."""
        _check_keys("training setting", data, cls)
        return cls(**data)


@dataclass(frozen=True)
class Mixing:
    """How multi-task training mixes the target with its sources.

    Either every step draws one task and trains on one batch of it (`sampling`), or every step sums the
    losses of one batch of each task (`weights`).  Either way the target is passed over `epochs` times,
    on average over the draws: the number of steps is epochs x batches of the target / its probability.

    Parameters
    ----------
    sampling
        ``uniform`` over tasks (Bingel & Søgaard 2017), ``proportional`` to the number of training
        examples, or ``temperature``: proportional to examples^(1 / temperature).
    temperature
        1 is proportional; the larger, the nearer to uniform.  Used by ``temperature`` alone.
    weights
        Loss weights λ, the target's first and then one a source; they sum to 1.  Empty: sampling.
    """

    sampling: str = "uniform"
    temperature: float = 2.0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(float(w) for w in self.weights))
        object.__setattr__(self, "temperature", float(self.temperature))

    def problems(self) -> list[str]:
        """What is wrong with this mixture, one line each."""
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
        """A mixture by name; an InputError names every key that there is not."""
        _check_keys("mixing setting", data, cls)
        return cls(**data)

    def probabilities(self, examples: tuple[int, ...]) -> tuple[float, ...]:
        """Probability of a step for each task, from their numbers of training examples.

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
    """One fine-tuning run: an encoder, trained on a target, alone or together with sources.

    Parameters
    ----------
    target
        Name of the task whose test score is the result.
    seed
        Decides the subsets, the heads' first weights, the order of examples and dropout.
    encoder
        Name or folder of a pretrained encoder (see `transfer_meta.encoding.encoders`).
    training
        How it is trained.
    target_examples, source_examples
        Training examples of the target and of each of `sources`; None: all of them but the dev split.
    sources
        Tasks trained on at the same time.
    mixing
        How; needed exactly where there are `sources`.
    start
        The stage whose encoder this one starts from; None: the pretrained one.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks this stage trains on, the target first."""
        return (self.target, *self.sources)

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """The tasks that decide the result: this stage's and those of the stages before it, sorted."""
        earlier = self.start.all_tasks if self.start else ()
        return tuple(sorted({*self.tasks, *earlier}))

    def problems(self) -> list[str]:
        """What is wrong with this stage and those before it, one line each."""
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
        if self.start:
            if self.start.encoder != self.encoder:
                found.append(
                    f"a run of encoder '{self.encoder}' cannot start from one of '{self.start.encoder}'"
                )
            found.extend(self.start.problems())
        return list(dict.fromkeys(found))

    def to_dict(self) -> dict[str, Any]:
        """The stage as plain JSON values; `start` nested."""
        data = asdict(self)
        return json.loads(json.dumps(data))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """The stage that `to_dict` wrote."""
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
        """Digest of everything that decides the result.

        Parameters
        ----------
        task_digests
            Digest of the content of every task of `all_tasks`.
        encoder_revision
            Digest or revision of the pretrained encoder's files.
        """
        content = {
            "version": RESULT_VERSION,
            "stage": self.to_dict(),
            "tasks": {name: task_digests[name] for name in self.all_tasks},
            "encoder_revision": encoder_revision,
        }
        return digest(json.dumps(content, sort_keys=True))


def _check_keys(kind: str, data: Mapping[str, Any], cls: type) -> None:
    """Raise an InputError that names every key of `data` that `cls` has no field for."""
    valid = [field.name for field in fields(cls)]
    found = [f"unknown {kind} '{key}'{nearest(key, valid)}" for key in data if key not in valid]
    if found:
        raise InputError(f"{'; '.join(found)} (expected some of: {', '.join(valid)})")


def _has_type(value: object, expected: str) -> bool:
    """Whether a value is of a field's annotated type; True is no number."""
    allowed = set(expected.split(" | "))
    if isinstance(value, bool):
        return "bool" in allowed
    types = {"int": int, "float": int | float, "str": str, "bool": bool, "None": type(None)}
    return any(isinstance(value, types[name]) for name in allowed)
