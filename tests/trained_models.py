"""Small trained models of every architecture and type with random weights, for the tests of model folders."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.transformers_head import TransformersScorer
from transfer_meta.records import TaskType
from transfer_meta.training.model_folder import write_model_folder
from transfer_meta.training.trained_facts import TrainedFacts

MAX_LENGTH = 64
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    "electra": {"embedding_size": 8},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "pooler_hidden_size": 16,
    },
    "mpnet": {},
    "albert": {"embedding_size": 8},
    "modernbert": {
        "local_attention": 4,
        "global_attn_every_n_layers": 2,
        "classifier_pooling": "mean",
        "cls_token_id": 1,
        "sep_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}
ARCHITECTURES = ("bert", "roberta", "distilbert", "deberta-v2")
"""Those whose folders are tested."""
LABELS = {
    TaskType.CLASSIFICATION: ("a", "b", "c"),
    TaskType.TOKEN_CLASSIFICATION: ("B-K", "I-K", "O"),
}


def small_encoder(kind: str) -> Encoder:
    """An encoder of an architecture with random weights and, where it has one, a pooler."""
    tokens = copy.deepcopy(load_encoder("random:1x16").tokenizer)
    uses_types = kind in ("bert", "electra", "albert")
    if not uses_types:
        tokens.model_input_names = ["input_ids", "attention_mask"]
    values = {**SMALL, **CONFIGS[kind], "vocab_size": len(tokens)}
    if "dim" in values:
        values = {k: v for k, v in values.items() if k not in ("hidden_size", "num_hidden_layers")}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **values))
    return Encoder(model.eval(), tokens, width=16, max_length=MAX_LENGTH, uses_types=uses_types)


def small_model(
    type: TaskType,
    *,
    kind: str = "bert",
    head: str = "transformers",
    labels: tuple[str, ...] | None = None,
) -> tuple[Encoder, Head, TrainedFacts]:
    """An encoder, a head with random weights, and their facts."""
    labels = LABELS.get(type, ()) if labels is None else labels
    encoder = small_encoder(kind)
    scorer = None
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if head == "transformers":
            scorer = TransformersScorer(type, encoder, labels=len(labels))
            scorer.initialise(5)
        made = build_head(
            type, 16, labels=len(labels), targets=np.array([1.0, 3.0, 8.0]), scorer=scorer
        )
    facts = TrainedFacts(
        task="toy",
        type=type,
        labels=labels,
        encoder=f"small-{kind}",
        revision="0",
        head=head,
        max_length=MAX_LENGTH,
        stride=15,
    )
    return encoder, made.eval(), facts


def small_folder(folder: Path, type: TaskType, **values: Any) -> Path:
    """Write a small model and return its folder."""
    write_model_folder(folder, *small_model(type, **values), card="# A model\n")
    return folder
