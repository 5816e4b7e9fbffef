from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings
from transfer_meta.encoding.fewshot import FewShot, class_probabilities, few_shot_loss
from transfer_meta.encoding.frozen_features import labelled_vectors
from transfer_meta.encoding.taskemb import fit_head
from transfer_meta.errors import InputError
from transfer_meta.features.scores.transferability_scores import transferability_scores
from transfer_meta.records import TaskType

ENCODER = load_encoder("random:2x32")


@pytest.mark.parametrize("type", ALL_TYPES)
def test_the_loss_falls_and_the_encoder_stays_as_it_was(type: TaskType) -> None:
    before = {k: v.clone() for k, v in ENCODER.model.state_dict().items()}
    few, many = (
        few_shot_loss(ENCODER, tiny(type), FewShot(steps=n, learning_rate=1e-3)) for n in (1, 60)
    )
    assert 0 <= many < few
    assert all(torch.equal(v, before[k]) for k, v in ENCODER.model.state_dict().items())


def test_the_first_loss_is_that_of_a_guess() -> None:
    settings = FewShot(steps=1, learning_rate=1e-9)
    loss = few_shot_loss(ENCODER, tiny(TaskType.CLASSIFICATION), settings)
    assert loss == pytest.approx(np.log(3), abs=1e-4)
    # Standardised labels, predicted by 0: their variance.
    assert few_shot_loss(ENCODER, tiny(TaskType.REGRESSION), settings) == pytest.approx(1, abs=1e-4)


def test_is_reproducible_and_reads_the_first_examples_alone() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    short = replace(task, splits={"train": EXAMPLES[task.type][:3]})
    value = few_shot_loss(ENCODER, task, FewShot(steps=3, examples=3))
    assert few_shot_loss(ENCODER, short, FewShot(steps=3)) == value


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="steps = 0"):
        FewShot(steps=0)


@pytest.mark.parametrize("source", ALL_TYPES)
@pytest.mark.parametrize("target", ALL_TYPES)
def test_every_score_for_every_pair_of_types_or_why_not(source: TaskType, target: TaskType) -> None:
    fitted = fit_head(ENCODER, tiny(source), EncodingSettings(), steps=5)
    labelled = labelled_vectors(ENCODER, tiny(target), EncodingSettings())
    chances = class_probabilities(fitted, labelled.vectors)
    has_classes = source in (TaskType.CLASSIFICATION, TaskType.TOKEN_CLASSIFICATION)
    assert (chances is not None) == has_classes
    scores, missing = transferability_scores(
        labelled.vectors,
        labelled.labels,
        regression=labelled.regression,
        source_probabilities=chances,
    )
    assert all(np.isfinite(v) != (k in missing) for k, v in scores.items())
    assert ("leep" in missing) == (labelled.regression or not has_classes)
    assert "logme" in set(scores) - set(missing)
