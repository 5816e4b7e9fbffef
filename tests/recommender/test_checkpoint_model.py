"""Model of the gain from published checkpoints, on made-up checkpoints."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from transfer_meta.recommender.checkpoint_model import (
    CheckpointModel,
    Nearness,
    TargetFacts,
    same_texts,
)

SINGLE = TargetFacts("single", "Reviews of films, good or bad", 0.0, 1000)
PAIRED = TargetFacts("paired", "Pairs of sentences; does one follow from the other", 1.0, 1000)


def toy_model(n_sources: int = 40, n_targets: int = 20, *, seed: int = 0) -> CheckpointModel:
    """Half of the targets have pairs of texts; the first checkpoint is best there, the second on the others."""
    random = np.random.default_rng(seed)
    paired = np.arange(n_targets) % 2 == 0
    sizes = random.integers(200, 100_000, n_targets)
    gains = random.normal(0, 1, (n_sources, 1)) + random.normal(0, 1, (n_sources, n_targets))
    gains[0] = np.where(paired, 5, -5)
    gains[1] = np.where(paired, -5, 5)
    facts = tuple(
        TargetFacts(f"t{i}", (PAIRED if p else SINGLE).description, float(p), int(size))
        for i, (p, size) in enumerate(zip(paired, sizes, strict=True))
    )
    return CheckpointModel(gains / np.sqrt(sizes), facts)


def test_a_description_without_words_is_like_nothing() -> None:
    assert math.isnan(SINGLE.likeness(replace(SINGLE, description="")))
    assert SINGLE.likeness(SINGLE) == pytest.approx(1)


def test_nearness_is_one_for_the_same_facts_and_falls_with_every_difference() -> None:
    others = [
        SINGLE,
        replace(SINGLE, description="Reviews of hotels, good or bad"),
        replace(SINGLE, pair_share=1.0),
        replace(SINGLE, n_examples=100),
    ]
    weights = Nearness().weights(SINGLE, others)
    assert weights[0] == pytest.approx(1)
    assert (weights[1:] < 1).all()


def test_what_is_unknown_of_a_target_makes_no_difference() -> None:
    others = [SINGLE, PAIRED, replace(PAIRED, n_examples=10)]
    assert Nearness().weights(TargetFacts("mine"), others).tolist() == [1, 1, 1]
    # What is unknown of a measured target is taken as the mean of the others.
    size_only = Nearness(description=0, pair=0)
    mean = replace(SINGLE, n_examples=None)
    weights = size_only.weights(SINGLE, [SINGLE, replace(SINGLE, n_examples=10), mean])
    assert weights[1] < weights[2] < weights[0]


@pytest.mark.parametrize(("target", "best"), [(PAIRED, 0), (SINGLE, 1)])
@pytest.mark.parametrize("n_components", [0, 5])
def test_near_targets_decide(target: TargetFacts, best: int, n_components: int) -> None:
    model = replace(toy_model(), n_components=n_components)
    assert int(np.argmax(model.ranking(target))) == best
    assert int(np.argmax(model.predict(target).expected)) == best


def test_a_left_out_target_is_not_used() -> None:
    model = toy_model()
    changed = model.gains.copy()
    changed[:, 3] = changed[::-1, 3]
    target = model.targets[3]
    first, second = (
        replace(model, gains=gains).ranking(target, {target.name}) for gains in (model.gains, changed)
    )
    np.testing.assert_allclose(first, second)
    np.testing.assert_allclose(first, model.without({target.name}).ranking(target))
    np.testing.assert_allclose(first, model.left_out_rankings[:, 3])
    assert not np.allclose(model.ranking(target), replace(model, gains=changed).ranking(target))


def test_a_checkpoint_measured_once_is_shrunk() -> None:
    model = toy_model()
    gains = model.gains.copy()
    gains[0, 1:] = np.nan
    few = replace(model, gains=gains, n_components=0)
    assert 0 < few.ranking(PAIRED)[0] < model.ranking(PAIRED)[0]
    assert np.isfinite(few.predict(PAIRED).expected).all()


def test_a_checkpoint_trained_on_like_data_is_expected_to_gain_more() -> None:
    model = toy_model()
    films = TargetFacts("films", "Reviews of films with stars")
    informed = replace(model, data=((), (), (films,), *((),) * 37))
    more = informed.ranking(SINGLE) - model.ranking(SINGLE)
    assert more[2] > 0
    assert np.delete(more, 2).tolist() == [0] * 39
    assert informed.ranking(PAIRED)[2] < model.ranking(PAIRED)[2]
    # Nothing is known of a target without a description.
    bare = replace(SINGLE, description="")
    np.testing.assert_allclose(informed.ranking(bare), model.ranking(bare))


def test_gains_spread_more_on_small_targets() -> None:
    model = toy_model()
    small, large = (model.spread(replace(PAIRED, n_examples=n)) for n in (200, 100_000))
    unknown = model.spread(replace(PAIRED, n_examples=None))
    assert small > unknown > large


def test_intervals_and_probabilities_hold_on_left_out_targets() -> None:
    model = toy_model(200, 40)
    covered, probability, helped = [], [], []
    for column, target in enumerate(model.targets):
        predicted = model.without({target.name}).predict(target)
        gain = model.gains[:, column]
        assert (predicted.low <= predicted.expected).all()
        assert (predicted.expected <= predicted.high).all()
        covered.append(((gain >= predicted.low) & (gain <= predicted.high)).mean())
        probability.append(predicted.probability.mean())
        helped.append((gain > 0).mean())
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)
    assert np.mean(probability) == pytest.approx(np.mean(helped), abs=0.03)


@pytest.mark.parametrize("name", ["sst2", "sst_5bins", "rotten_tomatoes"])
def test_targets_of_the_same_texts_are_left_out_together(name: str) -> None:
    assert same_texts(name) == {"sst2", "sst_5bins", "rotten_tomatoes"}
