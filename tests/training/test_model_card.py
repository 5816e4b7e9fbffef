from __future__ import annotations

import pytest
import yaml
from tiny_tasks import ALL_TYPES
from trained_models import LABELS

from transfer_meta.records import TaskType
from transfer_meta.training.model_card import CardRecord, model_card
from transfer_meta.training.trained_facts import TrainedFacts


def facts(type: TaskType, head: str = "transformers", encoder: str = "owner/name") -> TrainedFacts:
    return TrainedFacts(
        task="toy",
        type=type,
        labels=LABELS.get(type, ()),
        encoder=encoder,
        revision="0",
        head=head,
        max_length=64,
        stride=16,
    )


def test_a_card_says_what_was_trained_on_and_what_it_brought() -> None:
    record = CardRecord(
        source="snli",
        method="intermediate",
        verdict="snli helps on dev",
        data={"file": "a|b.csv", "training examples": 80},
        metric="accuracy",
        score=(0.5, 0.7),
        alone=(0.4, 0.5),
        difference=0.15,
        low=-0.1,
        high=0.4,
        seed=1,
        settings={"epochs": 3},
        licences={"snli": "CC BY-SA 4.0"},
        versions={"torch": "2"},
    )
    text = model_card(facts(TaskType.CLASSIFICATION), record)
    for part in (
        "`owner/name` fine-tuned on `toy` after `snli`",
        "Snli helps on dev.",
        "3 labels: `a`, `b`, `c`.",
        "## accuracy on test",
        "| this way to train, snli | 0.600 | 0.500, 0.700 |",
        "| target alone | 0.450 | 0.400, 0.500 |",
        "Mean difference over seeds: +0.150, 95 % interval -0.100 to +0.400.",
        "seed 1",
        r"| file | a\|b.csv |",
        "| snli | CC BY-SA 4.0 |",
        "| epochs | 3 |",
        "| torch | 2 |",
    ):
        assert part in text
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["pipeline_tag"] == "text-classification"
    assert metadata["base_model"] == "owner/name"


@pytest.mark.parametrize("type", ALL_TYPES)
@pytest.mark.parametrize("head", ["mean", "transformers"])
def test_a_card_says_how_to_load_the_model(type: TaskType, head: str) -> None:
    text = model_card(facts(type, head, encoder="offline"), CardRecord())
    assert "tm.load_trained" in text
    assert ("from_pretrained" in text) == (head == "transformers")
    assert "base_model" not in text
    assert "by seed" not in text
