from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from known_tasks import FILM, HARMFUL, HELPFUL, NAMES, RAIN, make_task, task_named, write_csv

import transfer_meta
from transfer_meta.errors import InputError
from transfer_meta.pages.recommendation_page import render_recommendation
from transfer_meta.recommender.candidates import known_as
from transfer_meta.recommender.describe_target import TargetDescription, describe_target
from transfer_meta.recommender.library import Library
from transfer_meta.recommender.persistence import shipped_recommender
from transfer_meta.recommender.recommend import RecommendSettings, recommend, recommend_described
from transfer_meta.recommender.recommendation import Recommendation
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task

TEXT = RecommendSettings(mode="text")
TEXT_8 = RecommendSettings(mode="text", top=8)


@pytest.fixture(scope="module")
def target() -> Task:
    return make_task("cinema", FILM, seed=50)


@pytest.fixture(scope="module")
def recommendation(data: Path, target: Task) -> Recommendation:
    return recommend(target, settings=TEXT_8)


def test_public_name_is_the_function(recommendation: Recommendation) -> None:
    assert transfer_meta.recommend is recommend


def test_the_true_best_is_first_and_the_worst_last(recommendation: Recommendation) -> None:
    ranked = [s.source for s in recommendation.sources]
    assert ranked[0] == HELPFUL
    assert ranked[-1] == HARMFUL
    assert {name[:4] for name in ranked[:4]} == {"film"}
    assert [s.rank for s in recommendation.sources] == list(range(1, 9))
    expected = [s.expected_gain for s in recommendation.sources]
    assert expected == sorted(expected, reverse=True)
    assert recommendation.sources[0].probability > 0.6 > recommendation.sources[-1].probability
    assert all(s.low <= s.expected_gain <= s.high for s in recommendation.sources)
    assert recommendation.verdict.startswith(f"Try {HELPFUL} first")


def test_json_has_the_keys_that_are_promised(recommendation: Recommendation) -> None:
    value = recommendation.to_dict()
    assert list(value) == [
        "target", "mode", "verdict", "sources", "n_candidates", "notes", "widened", "model", "checkpoints",
        "absolute", "sets",
    ]  # fmt: skip
    assert list(value["sources"][0]) == [
        "source", "rank", "probability", "expected_gain", "low", "high", "reasons", "n_outcomes", "near_duplicate",
        "n_targets", "encoders", "tried", "basis", "address", "command", "hub", "train_size", "licence",
    ]  # fmt: skip
    assert list(value["sources"][0]["reasons"][0]) == ["feature", "value", "effect"]
    assert (value["target"], value["mode"]) == ("cinema", "text")


def test_reasons_add_up_and_say_the_measured_means(recommendation: Recommendation) -> None:
    best = recommendation.sources[0]
    reason = next(r for r in best.reasons if r.feature == "gain on other targets")
    # On three film targets it gains .09 and on four rain targets .03.
    assert reason.value == pytest.approx((3 * 0.09 + 4 * 0.03) / 7, abs=0.01)
    assert reason.effect > 0
    assert "on 7 other targets" in reason.text
    assert all(
        sum(r.effect * sign > 0 for r in s.reasons) <= 3
        for s in recommendation.sources
        for sign in (1, -1)
    )
    assert best.n_outcomes == 14


def test_no_source_is_likely_to_help(data: Path, target: Task) -> None:
    recommendation = recommend(target, sources=[HARMFUL, "rain_d"], settings=TEXT)
    assert [s.source for s in recommendation.sources] == ["rain_d", HARMFUL]
    assert recommendation.verdict.startswith("No source is likely to help")
    assert "Train on the target alone" in recommendation.verdict


def test_a_source_is_told_the_same_whatever_else_is_asked(
    data: Path, target: Task, recommendation: Recommendation
) -> None:
    alone = recommend(target, sources=["film_c"], settings=TEXT).sources[0]
    among = next(s for s in recommendation.sources if s.source == "film_c")
    assert replace(alone, rank=among.rank) == among


def test_data_in_memory_are_a_target_and_a_source(data: Path, target: Task) -> None:
    pair = tuple(zip(*((e.text, e.label) for e in target.examples()), strict=True))
    frame = pd.DataFrame({"text": pair[0], "label": pair[1]})
    by_pair, by_frame = (recommend(given, TEXT, sources=["film_a"]) for given in (pair, frame))
    assert by_pair.sources == by_frame.sources
    assert by_pair.target == "task"
    (own,) = recommend(target, TEXT, sources=[frame.assign(text=frame["text"] + " rain")]).sources
    assert (own.source, own.n_outcomes) == ("task", 0)
    with pytest.raises(InputError, match="expected a file, a task card"):
        recommend(3, TEXT)


def test_top(data: Path, target: Task) -> None:
    recommendation = recommend(target, settings=RecommendSettings(mode="text", top=2))
    assert len(recommendation.sources) == 2
    assert recommendation.n_candidates == 8


@pytest.mark.parametrize(("method", "sign"), [("intermediate", ">"), ("multitask", "+")])
def test_sets_have_the_mean_of_their_sources(
    library: Library, data: Path, target: Task, method: str, sign: str
) -> None:
    described = describe_target(target, library, "text")
    recommender = shipped_recommender(library, "text")
    settings = RecommendSettings(mode="text", top=8, sources_at_once=3)
    found = recommend_described(described, replace(library, method=method), recommender, settings)
    alone = {s.source: s for s in found.sources}
    assert len(found.sets) == 8
    assert {len(one.members) for one in found.sets} == {3}
    first = found.sets[0]
    assert first.source == sign.join(s.source for s in found.sources[:3])
    for one in found.sets:
        members = [alone[name] for name in one.members]
        for name in ("expected_gain", "low", "high"):
            assert getattr(one, name) == pytest.approx(np.mean([getattr(s, name) for s in members]))
        assert one.over_best == pytest.approx(one.expected_gain - found.sources[0].expected_gain)
    gains = [one.expected_gain for one in found.sets]
    assert gains == sorted(gains, reverse=True)
    assert any("90 % intervals held 84 % and 85 %" in note for note in found.notes)
    assert any("sets of 3 were measured zero-shot alone" in note for note in found.notes)
    assert first.source in str(found)
    assert found.to_dict()["sets"][0] == vars(first) | {"members": list(first.members)}


def test_sets_are_of_the_sources_asked_for_and_not_of_descriptions(data: Path, target: Task) -> None:
    own = make_task("my_films", FILM, seed=60)
    settings = RecommendSettings(mode="text", top=3, sources_at_once=2)
    found = recommend(target, settings, sources=[own, HELPFUL, "rain_d"])
    (one,) = found.sets
    assert set(one.members) == {HELPFUL, "rain_d"}
    assert not any("zero-shot" in note for note in found.notes)
    fewer = recommend(target, settings, sources=[own, HELPFUL])
    assert fewer.sets == ()
    assert "no set of 2 sources: 1 are ranked by more than a description" in fewer.notes
    assert "sources at once" not in str(fewer)


def test_own_sources_are_ranked_by_content_and_marked(
    data: Path, target: Task, recommendation: Recommendation
) -> None:
    own = [make_task("my_films", FILM, seed=60), make_task("my_weather", RAIN, seed=61)]
    found = recommend(target, sources=own, settings=TEXT)
    assert [s.source for s in found.sources] == ["my_films", "my_weather"]
    assert [s.n_outcomes for s in found.sources] == [0, 0]
    assert any("no outcomes of my_films, my_weather are known" in note for note in found.notes)
    assert not any("gain on" in r.feature for s in found.sources for r in s.reasons)
    mixed = recommend(target, sources=[*own, HELPFUL], settings=TEXT)
    assert mixed.sources[0].source == HELPFUL
    known = next(s for s in recommendation.sources if s.source == HELPFUL)
    assert mixed.sources[0].expected_gain == pytest.approx(known.expected_gain, abs=1e-12)


def test_an_own_source_with_the_name_of_a_known_one(data: Path, target: Task, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "film_a.csv", make_task("film_a", FILM, seed=70))
    found = recommend(target, sources=[str(path), "film_a"], settings=TEXT)
    assert {(s.source, s.is_own) for s in found.sources} == {("film_a", False), ("film_a", True)}
    printed = {source["source"] for source in found.to_dict()["sources"]}
    assert printed == {"film_a", "film_a (own file)"}


def test_a_target_named_like_a_source_is_a_new_task(data: Path) -> None:
    found = recommend(make_task("rain_a", FILM, seed=80), settings=TEXT_8)
    assert found.target == "rain_a"
    assert "rain_a" in [s.source for s in found.sources]
    assert found.sources[0].source == HELPFUL


@pytest.mark.parametrize("part", [60, 25])
def test_a_target_that_is_a_known_task_is_left_out(data: Path, library: Library, part: int) -> None:
    whole = task_named("film_b")
    task = replace(whole, name="renamed", splits={"train": list(whole.examples())[:part]})
    found = recommend(task, settings=TEXT_8)
    assert "film_b" not in [s.source for s in found.sources]
    assert len(found.sources) == 7
    assert any("is the known task film_b" in note for note in found.notes)
    # Its outcomes as a target are not counted, as they are out of the model.
    assert {s.n_outcomes for s in found.sources} == {12}


def test_same_texts_with_other_labels_are_another_task(library: Library) -> None:
    examples = [
        e._replace(label=f"other{i % 3}") for i, e in enumerate(task_named("film_b").examples())
    ]
    task = Task.from_iterable("relabelled", TaskType.CLASSIFICATION, {"train": examples})
    assert known_as(describe_target(task, library, "text"), library) is None


def test_shared_texts_are_told(data: Path) -> None:
    borrowed = list(task_named("film_c").examples())[:10]
    own = list(make_task("t", FILM, seed=90).examples())[:50]
    task = Task.from_iterable("t", TaskType.CLASSIFICATION, {"train": [*borrowed, *own]})
    found = recommend(task, settings=TEXT_8)
    marked = {s.source: s.shared for s in found.sources if s.near_duplicate}
    assert marked == {"film_c": pytest.approx(1 / 6)}
    assert any("film_c shares 17 %" in note for note in found.notes)


def test_outside_of_what_was_learned_from(
    data: Path, target: Task, recommendation: Recommendation
) -> None:
    words = ["haus", "baum", "strasse", "garten", "fenster", "tisch", "stuhl", "lampe", "wand", "dach"]
    random = np.random.default_rng(0)
    examples = [Example(" ".join(random.choice(words, 300)), f"k{i % 20}") for i in range(60)]
    task = Task.from_iterable("deutsch", TaskType.CLASSIFICATION, {"train": examples})
    found = recommend(task, settings=TEXT)
    assert found.widened > 1
    assert any("outside the range of the known tasks" in note for note in found.notes)
    width = found.sources[0].high - found.sources[0].low
    usual = recommendation.sources[0].high - recommendation.sources[0].low
    assert recommendation.widened == 1
    assert width == pytest.approx(found.widened * usual)


def test_a_new_type_is_outside(data: Path) -> None:
    examples = [
        Example(e.text, float(i)) for i, e in enumerate(make_task("t", FILM, seed=50).examples())
    ]
    found = recommend(Task.from_iterable("t", TaskType.REGRESSION, {"train": examples}), settings=TEXT)
    assert found.widened >= 1.5
    assert any("no known task is of type regression" in note for note in found.notes)


def test_twelve_examples(data: Path) -> None:
    found = recommend(make_task("few", FILM, count=12, seed=50), settings=TEXT)
    assert found.sources[0].source == HELPFUL
    assert any(note.startswith("12 training examples are few") for note in found.notes)


def test_larger_than_what_was_learned_from(data: Path) -> None:
    found = recommend(make_task("many", FILM, count=120, seed=50), settings=TEXT)
    assert any("learned from targets of 40 examples: with all 120" in note for note in found.notes)


def test_a_gain_above_the_ceiling_is_not_promised(library: Library, target: Task) -> None:
    described = replace(describe_target(target, library, "text"), baseline=0.99)
    found = recommend_described(described, library, shipped_recommender(library, "text"), TEXT_8)
    assert max(s.high for s in found.sources) == pytest.approx(1 / 0.99 - 1)
    assert all(s.expected_gain <= s.high for s in found.sources)


def test_what_more_would_add(recommendation: Recommendation) -> None:
    assert any("with an encoder" in note for note in recommendation.notes)
    assert any("with --measure" in note for note in recommendation.notes)


def test_ten_thousand_sources_are_ranked_as_one_by_one(library: Library, target: Task) -> None:
    described = describe_target(target, library, "text")
    recommender = shipped_recommender(library, "text")
    base = describe_target(make_task("base", RAIN, seed=61), library, "text")
    random = np.random.default_rng(0)

    def new(i: int) -> TargetDescription:
        vector = base.vectors["tfidf"] + 0.02 * random.normal(size=1024)
        profile = replace(base.profile, name=f"s{i}", digest=f"s{i}")
        return replace(base, profile=profile, vectors={"tfidf": vector})

    own = [new(i) for i in range(30)]
    thirty = RecommendSettings(mode="text", top=30)
    together = recommend_described(described, library, recommender, thirty, known=[], own=own)
    for one in together.sources[:3]:
        alone = recommend_described(
            described, library, recommender, known=[], own=[own[int(one.source[1:])]]
        )
        assert alone.sources[0].expected_gain == pytest.approx(one.expected_gain, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "chain"}, "unknown method 'chain'"),
        ({"method": "multitask"}, "no outcomes of method 'multitask'"),
        ({"mode": "txt"}, "unknown mode 'txt'.*did you mean 'text'"),
        ({"top": 0}, "top = 0"),
        ({"sources_at_once": 6}, "sources_at_once = 6 .expected 2 to 5"),
        ({"mode": "text", "measure": True}, "measure and mode 'text' exclude each other"),
        ({"cost_per_hour": 2.0}, "cost_per_hour is of training runs: it needs measure"),
        ({"mode": "measured", "cost_per_hour": -1.0}, "cost_per_hour = -1.0"),
    ],
)
def test_wrong_settings(data: Path, target: Task, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recommend(target, settings=RecommendSettings(**{"mode": "text", **arguments}))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("film_aa", "unknown source 'film_aa'.*did you mean 'film_a'"),
        ("nowhere/x.csv", "unknown source 'nowhere/x.csv'"),
    ],
)
def test_unknown_sources(data: Path, target: Task, source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recommend(target, sources=[source], settings=TEXT)


def test_nothing_left_beside_the_target(data: Path) -> None:
    with pytest.raises(InputError, match="no source is left"):
        recommend(task_named("film_a"), sources=["film_a"], settings=TEXT)


def test_an_empty_task(data: Path) -> None:
    with pytest.raises(InputError, match="has no examples"):
        recommend(Task.from_iterable("t", TaskType.CLASSIFICATION, {"train": []}), settings=TEXT)
    with pytest.raises(InputError, match="no train split"):
        task = Task.from_iterable("t", TaskType.CLASSIFICATION, {"test": [Example("a", "b")]})
        recommend(task, settings=TEXT)


def test_encoder_and_measured_modes(data: Path, library: Library, target: Task) -> None:
    pytest.importorskip("torch")
    lines: list[str] = []
    described = describe_target(target, library, "encoder", tell=lines.append)
    assert {"tfidf", "textemb"} <= set(described.vectors)
    assert len(described.vectors["textemb"]) == 16
    assert lines == ["embedding cinema with the encoder 'random:1x16'"]
    found = recommend(target, settings=RecommendSettings(mode="measured", top=3))
    assert found.mode == "measured"
    assert any(note.startswith("trained on") and "alone (accuracy" in note for note in found.notes)
    assert found.absolute is not None
    assert found.to_dict()["absolute"]["sizes"] == [12, 24, 48]
    assert [way.name for way in found.absolute.ways[-3:]] == [s.label for s in found.sources]
    assert str(found.absolute) in str(found)
    assert "In absolute terms" in render_recommendation(found)
    assert set(NAMES) >= {s.source for s in found.sources}
