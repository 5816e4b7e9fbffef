from __future__ import annotations

import math

import pytest
import torch

from transfer_meta.encoding.likelihood import draw_target, log_likelihood
from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.records import TaskType

LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])


def test_classes_and_choices() -> None:
    for type in (TaskType.CLASSIFICATION, TaskType.MULTIPLE_CHOICE):
        values = log_likelihood(type, LOGITS, torch.tensor([1, 1]))
        torch.testing.assert_close(values, torch.tensor([math.log(3 / 4), math.log(1 / 5)]))


def test_a_missing_choice_takes_no_part() -> None:
    outputs = torch.tensor([[0.0, 0.0, -torch.inf]])
    value = log_likelihood(TaskType.MULTIPLE_CHOICE, outputs, torch.tensor([0]))
    assert value.item() == pytest.approx(math.log(0.5))


def test_tags_are_summed_over_words() -> None:
    target = torch.tensor([[IGNORED, 0], [1, 0]])
    values = log_likelihood(TaskType.TOKEN_CLASSIFICATION, LOGITS.expand(2, 2, 2), target)
    expected = [math.log(4 / 5), math.log(3 / 4) + math.log(4 / 5)]
    torch.testing.assert_close(values, torch.tensor(expected))


def test_spans_are_first_and_last_token() -> None:
    outputs = torch.stack([LOGITS[0], LOGITS[1]], dim=-1)[None]  # (1, tokens, 2)
    value = log_likelihood(TaskType.QUESTION_ANSWERING, outputs, torch.tensor([[1, 0]]))
    assert value.item() == pytest.approx(math.log(3 / 4) + math.log(4 / 5))


def test_regression_is_a_gaussian_up_to_its_constant() -> None:
    outputs, target = torch.tensor([[1.0], [0.0]]), torch.tensor([3.0, 0.5])
    values = log_likelihood(TaskType.REGRESSION, outputs, target)
    gaussian = torch.distributions.Normal(outputs.squeeze(1), 1.0)
    constant = math.log(math.sqrt(2 * math.pi))
    torch.testing.assert_close(values, gaussian.log_prob(target) + constant)


def test_draws_follow_the_model() -> None:
    random = torch.Generator().manual_seed(0)
    many = LOGITS[:1].expand(20_000, 2)
    drawn = draw_target(TaskType.CLASSIFICATION, many, torch.zeros(20_000), random)
    assert drawn.float().mean().item() == pytest.approx(0.75, abs=0.015)
    numbers = draw_target(
        TaskType.REGRESSION, torch.full((20_000, 1), 2.0), torch.zeros(20_000), random
    )
    assert numbers.mean().item() == pytest.approx(2, abs=0.04)
    assert numbers.std().item() == pytest.approx(1, abs=0.03)


def test_draws_have_the_shape_of_the_labels() -> None:
    random = torch.Generator().manual_seed(0)
    tags = torch.tensor([[IGNORED, 0, 1], [1, IGNORED, IGNORED]])
    drawn = draw_target(TaskType.TOKEN_CLASSIFICATION, torch.zeros(2, 3, 4), tags, random)
    assert torch.equal(drawn == IGNORED, tags == IGNORED)
    # Position 0 is out of the question in the first column, all but 0 in the second.
    outputs = torch.zeros(50, 3, 2)
    outputs[:, 0, 0] = -1e4
    outputs[:, 1:, 1] = -1e4
    spans = draw_target(
        TaskType.QUESTION_ANSWERING, outputs, torch.zeros(50, 2, dtype=torch.long), random
    )
    assert spans.shape == (50, 2)
    assert set(spans[:, 0].tolist()) == {1, 2}
    assert set(spans[:, 1].tolist()) == {0}
