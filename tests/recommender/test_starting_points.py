"""Published checkpoints to start from, from the table that ships."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.recommender.checkpoint_model import (
    CheckpointModel,
    CheckpointPrediction,
    Nearness,
    TargetFacts,
    same_texts,
)
from transfer_meta.recommender.starting_points import (
    BaseModel,
    StartingPoints,
    catalogue_facts,
    find_base,
    load_base_models,
    profile_facts,
    starting_points,
    with_measured,
)
from transfer_meta.records import TaskProfile, TaskType

MINE = TargetFacts("mine", "Reviews of hotels, good or bad", 0.0, 5000)


@pytest.mark.parametrize(
    ("encoder", "base"),
    [
        ("roberta-base", "roberta-base"),
        ("FacebookAI/roberta-base", "roberta-base"),
        ("google-bert/bert-base-uncased", "bert-base-uncased"),
        ("BERT-base-cased", "bert-base-cased"),
        ("deberta-v3-base", "microsoft/deberta-v3-base"),
        ("google-t5/t5-base", "t5-base"),
    ],
)
def test_names_of_a_base_model(encoder: str, base: str) -> None:
    assert find_base(encoder) == base


@pytest.mark.parametrize("encoder", ["roberta-bse", "someone/roberta-base"])
def test_another_encoder_has_none_and_the_nearest_name_is_said(encoder: str) -> None:
    with pytest.raises(InputError, match="did you mean 'roberta-base'"):
        find_base(encoder)
    answer = starting_points(encoder, MINE)
    assert answer.points == ()
    assert answer.base is None
    assert "did you mean 'roberta-base'" in answer.notes[0]
    assert answer.to_dict()["spearman"] is None


@pytest.fixture(scope="module")
def answer() -> StartingPoints:
    return starting_points("roberta-base", MINE, top=None)


def test_checkpoints_are_ranked(answer: StartingPoints) -> None:
    points = answer.points
    assert answer.n_candidates == len(points) == len({p.checkpoint for p in points}) > 200
    assert [p.rank for p in points] == list(range(1, len(points) + 1))
    assert all(a.expected_gain >= b.expected_gain for a, b in pairwise(points))
    assert all(a.probability >= b.probability for a, b in pairwise(points))
    assert all(p.low < p.expected_gain < p.high for p in points)
    assert all(p.checkpoint.startswith(f"{p.owner}/") for p in points)
    assert {p.basis for p in points} == {"predicted"}
    named = {p.checkpoint: p.trained_on for p in points}
    assert named["deepset/roberta-base-squad2-distilled"] == "squad_v2"
    assert "unknown" in named.values()


def test_the_answer_as_values_and_as_text(answer: StartingPoints) -> None:
    values = json.loads(json.dumps(answer.to_dict()))
    assert values["points"][0]["checkpoint"] == answer.points[0].checkpoint
    assert values["base"] == "roberta-base"
    text = str(starting_points("roberta-base", MINE, top=3))
    assert answer.points[2].checkpoint in text
    assert answer.points[3].checkpoint not in text
    assert "no random sample" in text


def test_near_targets_are_named(answer: StartingPoints) -> None:
    assert {"rotten_tomatoes", "sst_5bins"} < set(answer.nearest_targets)
    entailment = TargetFacts("mine", "Pairs of sentences; does the first entail the second", 1.0, 2000)
    near = starting_points("roberta-base", entailment).nearest_targets
    assert not {"imdb", "ag_news", "dbpedia"} & set(near)


@pytest.mark.parametrize("name", ["sst2", "SST-2"])
def test_the_results_of_a_target_of_this_name_are_not_used(name: str) -> None:
    facts = catalogue_facts("sst2")
    named = TargetFacts(name, facts.description, facts.pair_share, facts.n_examples)
    found = starting_points("bert-base-uncased", named, top=None)
    model = load_base_models()["bert-base-uncased"].model
    predicted = model.predict(named, same_texts("sst2"))
    expected = np.sort(predicted.expected)[::-1]
    np.testing.assert_allclose([p.expected_gain for p in found.points], expected)
    assert not same_texts("sst2") & set(found.nearest_targets)


def test_the_results_of_a_measured_target_are_used() -> None:
    found = starting_points("roberta-base", catalogue_facts("rte"), measured_as="rte", top=None)
    blind = starting_points("roberta-base", catalogue_facts("rte"), top=None)
    before = {p.checkpoint: p for p in blind.points}
    for point in found.points:
        assert point.basis == "measured"
        assert point.measured_gain is not None
        ends = sorted((before[point.checkpoint].expected_gain, point.measured_gain))
        assert ends[0] <= point.expected_gain <= ends[1]
        assert point.high - point.low < before[point.checkpoint].high - before[point.checkpoint].low
    assert "rte is itself a measured target" in found.notes[1]
    with pytest.raises(InputError, match="did you mean 'rte'"):
        starting_points("roberta-base", MINE, measured_as="rtee")


def test_a_measured_gain_counts_by_its_precision() -> None:
    half = 0.1 * 1.6448536
    arrays = (np.array([value]) for value in (0.0, 0.5, 0.0, -half, half))
    predicted = CheckpointPrediction(*arrays)
    joined = with_measured(predicted, np.array([0.2]), noise=0.1, coverage=0.9)
    assert joined.expected[0] == pytest.approx(0.1)
    assert joined.high[0] - 0.1 == pytest.approx(half / np.sqrt(2), rel=1e-4)
    assert joined.probability[0] == pytest.approx(0.921, abs=0.001)
    absent = with_measured(predicted, np.array([np.nan]), noise=0.1, coverage=0.9)
    assert (absent.expected[0], absent.high[0], absent.probability[0]) == (0, half, 0.5)


def test_notes_say_what_the_answer_does_not_rest_on() -> None:
    few = TargetFacts("mine", n_examples=20)
    notes = starting_points("t5-base", few, type=TaskType.TOKEN_CLASSIFICATION).notes
    assert [word in note for word, note in zip(("random sample", "means little"), notes, strict=False)]
    assert "no token-classification target was measured" in notes[2]
    assert "20 training examples are fewer than any measured target has (250)" in notes[3]
    assert len(starting_points("roberta-base", MINE, type=TaskType.CLASSIFICATION).notes) == 1


def test_facts_of_a_profile() -> None:
    profile = TaskProfile("mine", TaskType.CLASSIFICATION, {"size": 120.0, "pair_share": 0.5})
    assert profile_facts(profile, description="Questions") == TargetFacts("mine", "Questions", 0.5, 120)
    assert profile_facts(profile, n_examples=9000).n_examples == 9000
    bare = TaskProfile("mine", TaskType.CLASSIFICATION, {})
    assert profile_facts(bare) == TargetFacts("mine")


def test_all_measured_targets_are_in_the_catalogue() -> None:
    for base in load_base_models().values():
        assert all(fact.description for fact in base.model.targets)
        assert {fact.pair_share for fact in base.model.targets} == {0.0, 1.0}
    assert catalogue_facts("copa").pair_share == 1
    assert catalogue_facts("nowhere") == TargetFacts("nowhere")


def test_left_out_targets_are_ranked_better_than_by_the_mean() -> None:
    bases = load_base_models()
    assert set(bases) >= {"roberta-base", "bert-base-uncased"}
    gained = [base.spearman - _mean_gain(base) for base in bases.values()]
    assert min(gained) > 0
    assert np.mean([base.spearman for base in bases.values()]) == pytest.approx(0.357, abs=0.01)
    assert bases["roberta-base"].spearman == pytest.approx(0.315, abs=0.01)


def _mean_gain(base: BaseModel) -> float:
    """Rank correlation of the mean standardised gain over the other targets."""
    plain = CheckpointModel(
        base.model.gains, base.model.targets, nearness=Nearness(0, 0, 0, 0), n_components=0
    )
    return float(np.nanmean(base.spearman_by_target(plain.left_out_rankings)))
