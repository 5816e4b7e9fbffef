"""A trained model in one safetensors file: encoder, head, and the facts that prediction needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import checksum, encoder_revision, load_encoder
from transfer_meta.encoding.encoding_settings import (
    HEADS,
    KEEP_HEAD,
    LONG_INPUTS,
    MEMORY,
    TRANSFORMERS_HEAD,
    EncodingSettings,
)
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.transformers_head import TransformersScorer
from transfer_meta.errors import InputError, first_line
from transfer_meta.files import atomic_file
from transfer_meta.records import TaskType

TRAINED_FORMAT = "transfer-meta trained model 1"
_ENCODER, _HEAD = "encoder.", "head."
"""Prefixes of the names of tensors."""


@dataclass(frozen=True)
class TrainedFacts:
    """What a trained model was trained on, and what prediction needs to know.

    Parameters
    ----------
    task : str
        Name of the task.
    type : TaskType
    labels : tuple of str
        Classes or tags in the order of the head's outputs; empty for other types.
    encoder, revision : str
        The pretrained encoder, and its version (`transfer_meta.encoding.encoders.encoder_revision`).
    head : str
        One of `transfer_meta.encoding.encoding_settings.HEADS`.
    max_length : int
        Maximum number of tokens per input.
    stride : int
        Tokens that neighbouring windows of a context share (question answering).
    may_be_empty : bool
        Whether questions of the training split have no answer (question answering).
    long_inputs : str
        How texts of more than `max_length` tokens are read, one of
        `transfer_meta.encoding.encoding_settings.LONG_INPUTS`.
    """

    task: str
    type: TaskType
    labels: tuple[str, ...]
    encoder: str
    revision: str
    head: str
    max_length: int
    stride: int
    may_be_empty: bool = False
    long_inputs: str = KEEP_HEAD

    def encoding(self) -> EncodingSettings:
        """Return how texts are tokenised."""
        return EncodingSettings(self.max_length, stride=self.stride, long_inputs=self.long_inputs)


def save_trained_file(
    path: Path, encoder: Encoder, head: Head, facts: TrainedFacts, *, run: str = ""
) -> None:
    """Write a trained model, atomically; `run` identifies the run that trained it (`Stage.run_name`)."""
    from safetensors.torch import save_file

    content = {
        prefix + name: weights.detach().cpu().clone().contiguous()
        for prefix, module in ((_ENCODER, encoder.model), (_HEAD, head))
        for name, weights in module.state_dict().items()
    }
    with atomic_file(path) as temporary:
        metadata = {
            "format": TRAINED_FORMAT,
            "facts": json.dumps(asdict(facts)),
            "run": run,
            "checksum": checksum(content),
        }
        save_file(content, temporary, metadata=metadata)


def load_trained_file(path: Path, *, encoder: str | None = None) -> tuple[Encoder, Head, TrainedFacts]:
    """Read a trained model, in evaluation mode on the CPU.

    Parameters
    ----------
    path : Path
    encoder : str, optional
        Name or folder of the pretrained encoder, for its architecture and tokenizer; None: the one that the file
        names, which has to be of the version that was trained.

    Raises
    ------
    InputError
        The file cannot be read or is no trained model, its tensors do not fit, or its encoder is not there or has
        changed.
    """
    content, facts = _read(path)
    if encoder is None and (revision := encoder_revision(facts.encoder)) != facts.revision:
        raise InputError(
            f"trained model '{path}': the encoder '{facts.encoder}' has changed since (revision {revision[:12]}, "
            f"trained from {facts.revision[:12]})"
        )
    is_theirs = facts.head == TRANSFORMERS_HEAD
    loaded = load_encoder(encoder or facts.encoder, pooler_seed=0 if is_theirs else None)
    scorer = TransformersScorer(facts.type, loaded, labels=len(facts.labels)) if is_theirs else None
    head = build_head(
        facts.type, loaded.width, labels=len(facts.labels), targets=np.zeros(1), scorer=scorer
    )
    if facts.long_inputs == MEMORY:
        head.add_memory(loaded)
    for prefix, module in ((_ENCODER, loaded.model), (_HEAD, head)):
        weights = {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            what = prefix.rstrip(".")
            raise InputError(
                f"trained model '{path}': its {what} does not fit '{encoder or facts.encoder}'"
            ) from error
        module.eval()
    return loaded, head, facts


def read_trained_facts(path: Path) -> TrainedFacts:
    """Read the facts of a trained model's file without its tensors; InputError if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"trained model '{path}' cannot be read: {first_line(error)}") from error
    if metadata.get("format") != TRAINED_FORMAT:
        raise InputError(f"'{path}' is not a trained model of this version ({TRAINED_FORMAT})")
    try:
        return parse_facts(json.loads(metadata["facts"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"trained model '{path}': its facts cannot be read: {first_line(error)}"
        ) from error


def parse_facts(values: Mapping[str, Any]) -> TrainedFacts:
    """Return the facts that JSON values stand for; KeyError, TypeError or ValueError where they do not."""
    given = {**values, "type": TaskType(values["type"]), "labels": tuple(values["labels"])}
    facts = TrainedFacts(**given)
    wrong = [f.name for f in fields(facts) if not _is_valid(getattr(facts, f.name), f.name)]
    if not facts.labels and facts.type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        wrong.append("labels")
    if wrong:
        raise ValueError(f"{wrong[0]} = {getattr(facts, wrong[0])!r}")
    return facts


def _read(path: Path) -> tuple[dict[str, torch.Tensor], TrainedFacts]:
    from safetensors import SafetensorError, safe_open

    facts = read_trained_facts(path)
    try:
        with safe_open(path, framework="pt") as file:
            expected = (file.metadata() or {}).get("checksum")
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"trained model '{path}' cannot be read: {first_line(error)}") from error
    # Files of earlier versions have no checksum.
    if expected not in (None, checksum(content)):
        raise InputError(f"trained model '{path}' is damaged: its weights are not what was saved")
    return content, facts


def _is_valid(value: object, name: str) -> bool:
    """Return whether a field of the facts has a value of its type."""
    if name == "labels":
        return isinstance(value, tuple) and all(isinstance(label, str) for label in value)
    if name in ("max_length", "stride"):
        return type(value) is int and value >= 0
    if name == "may_be_empty":
        return isinstance(value, bool)
    if name == "long_inputs":
        return value in LONG_INPUTS
    return value in HEADS if name == "head" else isinstance(value, str)
