from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_tasks import ALL_TYPES, EXAMPLES
from trained_models import CONFIGS, SMALL, small_encoder

from transfer_meta.encoding.batching import encode_examples
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.heads import Head, build_head
from transfer_meta.encoding.transformers_head import TransformersScorer, default_head, whole_model
from transfer_meta.errors import InputError
from transfer_meta.records import TaskType


def new_head(type: TaskType, encoder: Encoder, labels: int, seed: int = 5) -> Head:
    scorer = TransformersScorer(type, encoder, labels=labels)
    scorer.initialise(seed)
    targets = np.array([1.0, 3.0, 8.0])
    return build_head(type, encoder.width, labels=labels, targets=targets, scorer=scorer).eval()


@pytest.mark.parametrize("type", ALL_TYPES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_outputs_are_those_of_the_whole_model(kind: str, type: TaskType) -> None:
    encoder = small_encoder(kind)
    labels = {TaskType.CLASSIFICATION: "abc", TaskType.TOKEN_CLASSIFICATION: "DNVP"}.get(type, "")
    head = new_head(type, encoder, len(labels))
    settings = EncodingSettings(max_length=60)
    _, batcher = encode_examples(encoder, type, EXAMPLES[type], settings, labels)
    batch = batcher.batch(np.arange(len(batcher)))
    assert batch.mask is not None
    whole = whole_model(encoder, head, labels=tuple(labels))
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
    if encoder.uses_types:
        inputs["token_type_ids"] = batch.types
    with torch.inference_mode():
        hidden, pooled = encoder.outputs(batch.ids, batch.types, batch.mask)
        ours = head(hidden, batch, pooled)
        if type is TaskType.MULTIPLE_CHOICE:
            assert batch.slots is not None
            # One example after the other: they have different numbers of choices.
            slots = [row[row >= 0] for row in batch.slots]
            theirs = [whole(**{k: v[s][None] for k, v in inputs.items()}).logits[0] for s in slots]
            pairs = [(ours[i, : len(found)], found) for i, found in enumerate(theirs)]
        elif type is TaskType.QUESTION_ANSWERING:
            found = whole(**inputs)
            there = torch.stack([found.start_logits, found.end_logits], dim=2)
            pairs = [(ours[batch.context], there[batch.context])]
        elif type is TaskType.TOKEN_CLASSIFICATION:
            pairs = [(ours[batch.mask], whole(**inputs).logits[batch.mask])]
        else:
            logits = whole(**inputs).logits
            is_number = type is TaskType.REGRESSION
            pairs = [(head.predict(ours) if is_number else ours, logits[:, 0] if is_number else logits)]
    for mine, theirs_ in pairs:
        torch.testing.assert_close(mine, theirs_, rtol=1e-5, atol=1e-5)
        assert mine.std() > 1e-3  # not the same for every input
    if labels:
        assert list(whole.config.id2label.values()) == list(labels)


def test_the_same_seed_draws_the_same_head_whatever_the_callers_random_numbers() -> None:
    encoder = small_encoder("bert")
    first = new_head(TaskType.CLASSIFICATION, encoder, 3).state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = new_head(TaskType.CLASSIFICATION, encoder, 3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    other = new_head(TaskType.CLASSIFICATION, encoder, 3, seed=6).state_dict()
    name = "scorer.model.classifier.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert first[name].std() == pytest.approx(SMALL["initializer_range"], rel=0.5)


def test_the_encoder_is_no_part_of_the_head() -> None:
    head = new_head(TaskType.CLASSIFICATION, small_encoder("roberta"), 3)
    assert {name.rpartition(".")[0] for name in head.state_dict()} == {
        "scorer.model.classifier.dense",
        "scorer.model.classifier.out_proj",
    }


def test_an_architecture_without_a_head_is_refused_in_one_line() -> None:
    encoder = small_encoder("bert")
    encoder.model.config = transformers.Wav2Vec2Config()
    with pytest.raises(InputError, match="'wav2vec2' has no head for multiple-choice in transformers"):
        TransformersScorer(TaskType.MULTIPLE_CHOICE, encoder, labels=0)


@pytest.mark.parametrize(
    ("pooling", "head"),
    [
        (None, "transformers"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "transformers"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls", "mean"]}, "mean"),
        ({"pooling_mode": "cls"}, "transformers"),
        ("not json", "transformers"),
    ],
)
def test_the_files_of_an_encoder_decide_its_head(tmp_path: Path, pooling: Any, head: str) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    if pooling is not None:
        modules = [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_Pooling",
                "type": "sentence_transformers.models.Pooling",
            },
        ]
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        (tmp_path / "1_Pooling").mkdir()
        text = pooling if isinstance(pooling, str) else json.dumps(pooling)
        (tmp_path / "1_Pooling" / "config.json").write_text(text)
    assert default_head(str(tmp_path)) == head
    assert default_head(f"random:{tmp_path}") == head


@pytest.mark.parametrize("name", ["offline", "random:2x32", "bilstm", "random:offline"])
def test_encoders_that_get_our_head(name: str) -> None:
    assert default_head(name) == "mean"
