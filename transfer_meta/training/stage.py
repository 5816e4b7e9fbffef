"""Fine-tuning runs as stages: a target, how it is trained, and the stage that it starts from.

The baseline of a target T is ``Stage("T")``; intermediate training on S is ``Stage("T",
start=Stage("S"))``; longer chains nest further; multi-task training is ``Stage("T", sources=("S",),
mixing=Mixing())``, with an encoder for each task ``Stage("T", sources=("S",), soft=SoftSharing())``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from transfer_meta.encoding.encoding_settings import (
    HEADS,
    KEEP_HEAD,
    MEAN_HEAD,
    MEMORY,
    SPLIT,
    is_bilstm,
)
from transfer_meta.encoding.model_kinds import ENCODER
from transfer_meta.errors import unknown
from transfer_meta.files import digest
from transfer_meta.training.method_settings import (
    BASELINE_ORDER,
    BY_LOSSES,
    BY_RUN_LOSS,
    FIXED,
    KL_TIE,
    Curriculum,
    Mixing,
    SoftSharing,
)
from transfer_meta.training.training_settings import (
    GRAPHS,
    NEWER_SETTINGS,
    TrainingSettings,
    check_fields,
    has_type,
)

RESULT_VERSION = 1
"""Part of the key of stored runs; increment it when a change in the code changes scores."""


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
    target_examples : int, optional
        Training examples of the target; None: all except the dev split.
    source_examples : int or tuple of int, optional
        Training examples of each source, one number for all or one for each; None: all except the dev split.
    sources : tuple of str
        Tasks trained on together with the target.
    mixing : Mixing, optional
        How `sources` and target share one encoder; there are sources if and only if this or `soft` is given.
    start : Stage, optional
        The stage whose encoder this one starts from; None: the pretrained encoder.
    head : {"mean", "transformers"}
        One linear layer on the mean of the token vectors (tags and spans: on each of them), or the head that the
        architecture has in transformers, such as ``BertForSequenceClassification``.
    soft : SoftSharing, optional
        How encoders of `sources` and target are tied, in the place of `mixing`.
    curriculum : Curriculum, optional
        Order of the training examples of each task by difficulty; None: a random order.
    """

    target: str
    seed: int
    encoder: str
    training: TrainingSettings = field(default_factory=TrainingSettings)
    target_examples: int | None = None
    sources: tuple[str, ...] = ()
    source_examples: int | tuple[int | None, ...] | None = None
    mixing: Mixing | None = None
    start: Stage | None = None
    head: str = MEAN_HEAD
    soft: SoftSharing | None = None
    curriculum: Curriculum | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        if isinstance(self.source_examples, list):
            object.__setattr__(self, "source_examples", tuple(self.source_examples))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that this stage trains on, the target first."""
        return (self.target, *self.sources)

    def examples_of(self, task: str) -> int | None:
        """Return the number of training examples of one of `tasks`; None: all except the dev split."""
        if task == self.target:
            return self.target_examples
        if isinstance(self.source_examples, tuple):
            return self.source_examples[self.sources.index(task)]
        return self.source_examples

    @property
    def chain(self) -> tuple[Stage, ...]:
        """All stages from the first of the chain to this one."""
        return (*(self.start.chain if self.start else ()), self)

    @property
    def prerequisite(self) -> Stage | None:
        """The stage whose run must come first and leave its encoder.

        `start`; or this stage without its curriculum, whose encoder tells the difficulty ``run-loss``.
        """
        order = self.curriculum
        if order is None or order.difficulty != BY_RUN_LOSS or order.order == BASELINE_ORDER:
            return self.start
        return self.start or replace(self, curriculum=None)

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """Names of all tasks that affect the result, sorted: those of every stage of the chain."""
        return tuple(sorted({task for stage in self.chain for task in stage.tasks}))

    def problems(self) -> list[str]:
        """Return one line for each problem of this stage and of the stages before it."""
        found = [problem for stage in reversed(self.chain) for problem in stage._own_problems()]
        return list(dict.fromkeys(found))

    def _own_problems(self) -> list[str]:
        shared = [settings for settings in (self.mixing, self.soft) if settings is not None]
        others = [*shared, *([self.curriculum] if self.curriculum else [])]
        found = [*self.training.problems(), *(p for settings in others for p in settings.problems())]
        if len(set(self.tasks)) < len(self.tasks):
            found.append(f"a task is named twice among target and sources: {', '.join(self.tasks)}")
        if len(shared) > 1:
            found.append("mixing and soft are both given (expected one of them)")
        elif bool(self.sources) != bool(shared):
            found.append("sources and mixing or soft go together: one is given without the other")
        elif self.mixing and self.mixing.weights and len(self.mixing.weights) != len(self.tasks):
            found.append(
                f"{len(self.mixing.weights)} weights for {len(self.tasks)} tasks "
                "(expected the target's, then one a source)"
            )
        several = self.source_examples if isinstance(self.source_examples, tuple) else ()
        if several and len(several) != len(self.sources):
            found.append(f"{len(several)} source_examples for {len(self.sources)} sources")
        counts: list[tuple[str, Any]] = [("target_examples", self.target_examples)]
        counts += [("source_examples", n) for n in several or (self.source_examples,)]
        for name, value in counts:
            if value is not None and (not has_type(value, "int") or value < 1):
                found.append(f"{name} = {value!r} (expected a whole number of at least 1, or none)")
        if not has_type(self.seed, "int") or self.seed < 0:
            found.append(f"seed = {self.seed!r} (expected a whole number of at least 0)")
        if self.head not in HEADS:
            found.append(str(unknown("head", str(self.head), HEADS)))
        elif self.head != MEAN_HEAD and is_bilstm(self.encoder):
            found.append(f"head = '{self.head}' needs a transformer (got encoder '{self.encoder}')")
        long_inputs, order = self.training.long_inputs, self.curriculum
        if long_inputs == MEMORY and self.head != MEAN_HEAD:
            found.append(f"long_inputs = '{MEMORY}' needs head = '{MEAN_HEAD}' (got '{self.head}')")
        if long_inputs == MEMORY and is_bilstm(self.encoder):
            found.append(f"long_inputs = '{MEMORY}' needs a transformer (got encoder '{self.encoder}')")
        if long_inputs in SPLIT and order is not None and order.difficulty in BY_LOSSES:
            found.append(
                f"difficulty = '{order.difficulty}' does not go with long_inputs = '{long_inputs}'"
                " (expected length)"
            )
        if order is not None and order.difficulty == BY_RUN_LOSS and (self.start or self.sources):
            found.append(
                f"difficulty = '{BY_RUN_LOSS}' is of a target alone (expected method 'curriculum', or length or "
                "loss beside sources)"
            )
        if self.start and self.start.encoder != self.encoder:
            found.append(
                f"a run of encoder '{self.encoder}' cannot start from one of '{self.start.encoder}'"
            )
        return found

    def problems_of_kind(self, kind: str) -> list[str]:
        """Return one line for each setting, of this stage and those before it, that needs another kind of model.

        Parameters
        ----------
        kind : str
            Kind of the model that `encoder` names, one of `transfer_meta.encoding.model_kinds.MODEL_KINDS`.
        """
        if kind == ENCODER:
            return []
        wrong = [
            name
            for stage in self.chain
            for name, is_set in (
                (f"head = '{stage.head}'", stage.head != MEAN_HEAD),
                (f"tie = '{KL_TIE}'", stage.soft is not None and stage.soft.tie == KL_TIE),
                *(
                    (f"difficulty = '{name}'", True)
                    for name in BY_LOSSES
                    if stage.curriculum is not None and stage.curriculum.difficulty == name
                ),
                (f"compile = '{GRAPHS}'", stage.training.compile == GRAPHS),
                (
                    f"long_inputs = '{stage.training.long_inputs}'",
                    stage.training.long_inputs != KEEP_HEAD,
                ),
            )
            if is_set
        ]
        return [
            f"{name} needs an encoder (got the {kind} '{self.encoder}')"
            for name in dict.fromkeys(wrong)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain JSON values, with `start` nested; without newer fields that have their default.

        Keys of runs are digests of these values, and stored runs are older than the fields of `_NEWER` and of
        `NEWER_SETTINGS`.
        """
        values = json.loads(json.dumps(asdict(self)))
        inner: dict[str, Any] | None = values
        while inner is not None:
            for name, default in _NEWER.items():
                if inner[name] == default:
                    del inner[name]
            for name, default in NEWER_SETTINGS.items():
                if inner["training"][name] == default:
                    del inner["training"][name]
            if inner["mixing"] and inner["mixing"]["weighting"] == FIXED:
                del inner["mixing"]["weighting"]
            inner = inner["start"]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stage:
        """Return the stage that `to_dict` serialised."""
        check_fields("stage field", data, cls)
        values = dict(data)
        if "training" in values:
            values["training"] = TrainingSettings.from_dict(values["training"])
        if values.get("mixing") is not None:
            values["mixing"] = Mixing.from_dict(values["mixing"])
        if values.get("soft") is not None:
            values["soft"] = SoftSharing.from_dict(values["soft"])
        if values.get("curriculum") is not None:
            values["curriculum"] = Curriculum.from_dict(values["curriculum"])
        if values.get("start") is not None:
            values["start"] = cls.from_dict(values["start"])
        return cls(**values)

    @property
    def run_name(self) -> str:
        """Digest of the stage: a file of weights says by it which run it is from."""
        return digest(json.dumps(self.to_dict(), sort_keys=True))

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


_NEWER: Mapping[str, Any] = {"head": MEAN_HEAD, "soft": None, "curriculum": None}
"""Fields of `Stage` that came after the first stored runs, and their defaults."""
