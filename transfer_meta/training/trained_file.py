"""A trained model in one safetensors file: encoder, head, and the facts that prediction needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import (
    checksum,
    encoder_revision,
    load_encoder,
    tied_weights,
    untied_state,
)
from transfer_meta.encoding.encoding_settings import MEMORY, TRANSFORMERS_HEAD, VOTES
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.language_model import LanguageModel, load_pretrained
from transfer_meta.encoding.transformers_head import TransformersScorer
from transfer_meta.errors import InputError, first_line
from transfer_meta.files import atomic_file
from transfer_meta.training.text_answers import AnswerHead
from transfer_meta.training.trained_facts import TextFacts, TrainedFacts, parse_facts

TRAINED_FORMAT = "transfer-meta trained model 1"
_ENCODER, _HEAD = "encoder.", "head."
"""Prefixes of the names of tensors."""


def save_trained_file(
    path: Path, encoder: Encoder, head: Head | AnswerHead, facts: TrainedFacts, *, run: str = ""
) -> None:
    """Write a trained model, atomically; `run` identifies the run that trained it (`Stage.run_name`)."""
    from safetensors.torch import save_file

    content = {
        prefix + name: weights.detach().cpu().clone().contiguous()
        for prefix, module in ((_ENCODER, encoder.model), (_HEAD, head))
        for name, weights in untied_state(module).items()
    }
    with atomic_file(path) as temporary:
        metadata = {
            "format": TRAINED_FORMAT,
            "facts": json.dumps(facts.to_dict()),
            "run": run,
            "checksum": checksum(content),
        }
        save_file(content, temporary, metadata=metadata)


def load_trained_file(
    path: Path, *, encoder: str | None = None
) -> tuple[Encoder, Head | AnswerHead, TrainedFacts]:
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
    name = encoder or facts.encoder
    loaded, head = _untrained(name, facts) if facts.text is None else _untrained_text(name, facts.text)
    for prefix, module in ((_ENCODER, loaded.model), (_HEAD, head)):
        weights = {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}
        twice = tied_weights(module)
        weights |= {other: weights[first] for other, first in twice.items() if first in weights}
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            what = prefix.rstrip(".")
            raise InputError(f"trained model '{path}': its {what} does not fit '{name}'") from error
        module.eval()
    return loaded, head, facts


def _untrained(name: str, facts: TrainedFacts) -> tuple[Encoder, Head]:
    """Return the encoder and a new head for a model with these facts."""
    is_theirs = facts.head == TRANSFORMERS_HEAD
    loaded = load_encoder(name, pooler_seed=0 if is_theirs else None)
    scorer = TransformersScorer(facts.type, loaded, labels=len(facts.labels)) if is_theirs else None
    head = build_head(
        facts.type, loaded.width, labels=len(facts.labels), targets=np.zeros(1), scorer=scorer
    )
    head.votes = facts.long_inputs == VOTES
    if facts.long_inputs == MEMORY:
        head.add_memory(loaded)
    return loaded, head


def _untrained_text(name: str, text: TextFacts) -> tuple[LanguageModel, AnswerHead]:
    """Return the language model; an InputError if it is of another kind than the one that was trained."""
    loaded = load_pretrained(name)
    if not isinstance(loaded, LanguageModel) or loaded.kind != text.kind:
        raise InputError(f"'{name}' is no {text.kind}, of which the trained model is")
    return loaded, AnswerHead()


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
