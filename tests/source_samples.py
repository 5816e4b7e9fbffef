"""Source encoders of an untrained encoder whose linear layers were changed by products of narrow matrices."""

from __future__ import annotations

from pathlib import Path

import torch

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import encoder_revision, load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.source_encoders import (
    LinearHead,
    SourceEncoder,
    linear_layers,
    low_rank_difference,
    save_source_encoder,
)
from transfer_meta.encoding.source_files import SourceEncoderFacts
from transfer_meta.encoding.taskemb import fit_head
from transfer_meta.records import TaskType
from transfer_meta.tasks import Task

ENCODER = "random:2x32"
RANK = 4


def changed_encoder(seed: int = 0, encoder: str = ENCODER, size: float = 0.05) -> Encoder:
    """An encoder whose linear layers differ from the pretrained ones by products of rank `RANK`."""
    changed = load_encoder(encoder)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in linear_layers(changed.model).values():
            up = torch.randn(layer.weight.shape[0], RANK, generator=random)
            down = torch.randn(RANK, layer.weight.shape[1], generator=random)
            layer.weight.add_(size * up @ down)
    return changed


def source_of(
    changed: Encoder, task: Task, *, name: str = "films", encoder: str = ENCODER
) -> SourceEncoder:
    """The source encoder of a changed encoder, with a head fitted to a task that has classes."""
    before = {name: layer.weight for name, layer in linear_layers(load_encoder(encoder).model).items()}
    head, labels = None, ()
    if task.type in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION):
        fitted = fit_head(changed, task, EncodingSettings(), steps=20)
        head = LinearHead(fitted.head.linear.weight.detach(), fitted.head.linear.bias.detach())
        labels = tuple(fitted.labels)
    facts = SourceEncoderFacts(
        name=name,
        type=task.type,
        labels=labels,
        encoder=encoder,
        revision=encoder_revision(encoder),
        digest=task.digest,
        rank=RANK,
        examples=12,
        metric="accuracy",
        score=0.5,
    )
    return SourceEncoder(facts, low_rank_difference(before, changed.model, rank=RANK), head)


def save_sample(path: Path, task: Task, *, seed: int = 0, encoder: str = ENCODER) -> Path:
    """Write the source encoder of a task, named as the file."""
    changed = changed_encoder(seed, encoder)
    save_source_encoder(source_of(changed, task, name=path.stem, encoder=encoder), path)
    return path
