from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from tiny_tasks import ALL_TYPES, EXAMPLES, tiny

from transfer_meta.encoding.encoders import load_encoder
from transfer_meta.encoding.encoding_settings import EncodingSettings, FisherSettings
from transfer_meta.encoding.frozen_features import labelled_vectors
from transfer_meta.encoding.taskemb import fit_head, task_vectors
from transfer_meta.errors import InputError, RunFailed
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task

ENCODER = load_encoder("random:2x32")
READING = EncodingSettings()


def distance(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """The largest relative difference over components."""
    assert a.keys() == b.keys()
    return max(np.linalg.norm(a[k] - b[k]) / np.linalg.norm(b[k]) for k in a)


def test_a_classification_head_is_scikit_learns_logistic_regression() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    fitted = fit_head(ENCODER, task, READING, steps=500)
    labelled = labelled_vectors(ENCODER, task, READING)
    reference = LogisticRegression(max_iter=10_000, tol=1e-8).fit(labelled.vectors, labelled.labels)
    assert fitted.labels == tuple(reference.classes_)
    with torch.no_grad():
        chances = fitted.head.linear(torch.from_numpy(labelled.vectors)).softmax(1).numpy()
    np.testing.assert_allclose(chances, reference.predict_proba(labelled.vectors), atol=2e-3)


def test_a_regression_head_is_ridge_regression() -> None:
    task = tiny(TaskType.REGRESSION)
    fitted = fit_head(ENCODER, task, READING, steps=500)
    labelled = labelled_vectors(ENCODER, task, READING)
    scaled = (labelled.labels - labelled.labels.mean()) / labelled.labels.std()
    reference = Ridge(alpha=0.5).fit(labelled.vectors, scaled)
    with torch.no_grad():
        predicted = fitted.head.linear(torch.from_numpy(labelled.vectors))[:, 0].numpy()
    np.testing.assert_allclose(predicted, reference.predict(labelled.vectors), atol=2e-3)


@pytest.mark.parametrize("type", ALL_TYPES)
@pytest.mark.parametrize("variant", ["empirical", "theoretical", "batch-summed", "gradient"])
def test_every_variant_of_every_type(type: TaskType, variant: str) -> None:
    settings = FisherSettings(variant, draws=2)
    vectors = task_vectors(ENCODER, tiny(type), settings, READING)
    assert len(vectors) == 2 * 9 + (type is not TaskType.QUESTION_ANSWERING)
    assert all(np.isfinite(v).all() and np.any(v) for v in vectors.values())
    assert distance(task_vectors(ENCODER, tiny(type), settings, READING), vectors) == 0


@pytest.mark.parametrize("type", ALL_TYPES)
def test_the_memory_bound_changes_nothing(type: TaskType) -> None:
    vectors = task_vectors(ENCODER, tiny(type), FisherSettings(), READING)
    bounded = task_vectors(ENCODER, tiny(type), FisherSettings(), EncodingSettings(max_tokens=1))
    # The head is fitted to sums of another order: its solver's tolerance shows.
    assert distance(bounded, vectors) < 1e-2


def test_drawn_labels_come_near_the_exact_expectation() -> None:
    task = tiny(TaskType.CLASSIFICATION)
    fitted = fit_head(ENCODER, task, READING, steps=50)
    labelled = labelled_vectors(ENCODER, task, READING)
    with torch.no_grad():
        chances = fitted.head.linear(torch.from_numpy(labelled.vectors)).softmax(1).numpy()
    weight = fitted.head.linear.weight.numpy()
    # By hand for the pooled output, whose gradient is the head's alone: Σ_c p_c (W_c - Σ p W)².
    expected = np.mean(
        [sum(p[c] * (weight[c] - p @ weight) ** 2 for c in range(3)) for p in chances], axis=0
    )
    drawn = task_vectors(ENCODER, task, FisherSettings("theoretical", draws=60), READING)
    error = np.linalg.norm(drawn["pooled_output"] - expected) / np.linalg.norm(expected)
    assert error < 0.25
    other = task_vectors(ENCODER, task, FisherSettings("theoretical", seed=1), READING)
    assert distance(other, drawn) > 0


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="did you mean 'empirical'"):
        FisherSettings("empiricl")
    with pytest.raises(InputError, match="draws = 0"):
        FisherSettings(draws=0)


def test_bad_labels() -> None:
    alone = Task.from_iterable("t", "classification", {"train": [Example("a", "x"), Example("b", "x")]})
    with pytest.raises(InputError, match=r"single class \('x'\)"):
        task_vectors(ENCODER, alone, FisherSettings(), READING)
    none = [*EXAMPLES[TaskType.CLASSIFICATION], Example("unlabelled")]
    with pytest.raises(RunFailed, match="train example 6"):
        task_vectors(
            ENCODER,
            Task.from_iterable("t", "classification", {"train": none}),
            FisherSettings(),
            READING,
        )
