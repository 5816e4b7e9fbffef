from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest

from transfer_meta.figures.svg import drawing
from transfer_meta.recommender.absolute_terms import AbsoluteTerms, absolute_terms
from transfer_meta.recommender.measure_target import SizeRuns
from transfer_meta.recommender.recommendation import RankedSource
from transfer_meta.records import TaskProfile, TaskType

RUNS = SizeRuns(
    sizes=(50, 100, 200),
    scores=((0.60, 0.70, 0.78), (0.62, 0.72, 0.80), (0.61, 0.71, 0.79)),
    seconds=((10.0, 20.0, 40.0),) * 3,
    available=200,
    metric="accuracy",
    tested_on="60 of its test split",
    encoder="offline",
)
FALLING = replace(RUNS, scores=((0.8, 0.7, 0.6),) * 3)
TARGET = TaskProfile(name="mine", type=TaskType.CLASSIFICATION, features={"length_mean": 10.0})
LONG = TaskProfile(name="long", type=TaskType.CLASSIFICATION, features={"length_mean": 30.0})


def ranked(gain: float, name: str = "helper") -> RankedSource:
    return RankedSource(name, name, False, 1, 0.6, gain, gain - 0.1, gain + 0.1, ())


def terms(gain: float = 0.03, runs: SizeRuns = RUNS, cost: float | None = None) -> AbsoluteTerms:
    return absolute_terms(runs, TARGET, [(ranked(gain), LONG)], source_examples=100, cost_per_hour=cost)


def test_scores_alone_and_with_the_source() -> None:
    alone, twice, four_times, source = terms().ways
    assert (alone.score, alone.examples) == (pytest.approx((0.79, 0.78, 0.80)), 200)
    assert source.score == pytest.approx((0.79 * 1.03, 0.79 * 0.93, 0.79 * 1.13))
    assert twice.score
    assert four_times.score
    assert alone.score.value < twice.score.value < four_times.score.value
    assert [way.examples for way in (twice, four_times)] == [400, 800]


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (
            0.03,
            r"The gain expected of helper is what \d+ more labels would bring \(90 % interval \d+ to ",
        ),
        (-0.02, "helper, the first source, is not expected to bring a gain"),
        (
            0.25,
            r"More labels would not bring the same as helper: not within 4 times the data \(800 examples\)",
        ),
    ],
)
def test_labels_that_bring_the_same(gain: float, sentence: str) -> None:
    (found,) = terms(gain).sentences()
    assert re.match(sentence, found)


def test_time_and_cost_of_each_way() -> None:
    alone, twice, _, source = terms(cost=36.0).ways
    # 0.2 s an example; 100 examples of the source are three times as long.
    assert [alone.seconds, twice.seconds, source.seconds] == pytest.approx([40, 80, 100])
    assert [alone.cost, twice.cost, source.cost] == pytest.approx([0.4, 0.8, 1.0])
    assert source.more_labels
    assert source.label_price is not None
    more = source.more_labels.value
    labels = 0.4 + 0.002 * more + source.label_price * more
    assert labels == pytest.approx(1.0)
    assert terms().ways[3].cost is None
    assert terms(0.25, cost=36.0).ways[3].label_price is None


def test_no_trend_is_said() -> None:
    found = terms(runs=FALLING)
    assert [way.kind for way in found.ways] == ["alone", "source"]
    assert found.ways[1].more_labels is None
    (sentence,) = found.sentences()
    assert "no trend could be fitted (the score is no higher with 200 examples" in sentence
    assert found.to_dict()["no_trend"].startswith("the score is no higher")


def test_the_score_with_a_source_stays_on_its_scale() -> None:
    high = replace(RUNS, scores=((0.9, 0.95, 0.99),) * 3)
    assert terms(0.05, runs=high).ways[-1].score[2] == 1.0  # type: ignore[index]


def test_a_part_of_the_examples_is_said() -> None:
    assert (
        "All figures are for 200 of the 4,000 training examples."
        in terms(runs=replace(RUNS, available=4000)).sentences()
    )


def test_times_that_do_not_rise_are_taken_in_proportion() -> None:
    assert replace(RUNS, seconds=((30.0, 20.0, 10.0),) * 3).seconds_of(350) == pytest.approx(60)


def test_text_table_json_and_figure() -> None:
    found = terms(0.25, cost=36.0)
    text = str(found)
    assert text.startswith(
        "Alone, with 200 training examples, mine scores 0.790 (accuracy, on 60 of its test"
    )
    assert "not within 4×" in text
    assert "cheaper if a label costs more than" in text
    assert "cheaper" not in str(terms())
    frame = found.to_frame()
    assert list(frame["kind"]) == ["alone", "labels", "labels", "source"]
    assert math.isinf(frame["more_labels"].iloc[-1])
    value = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert value["ways"][-1]["more_labels"] == {"value": None, "low": None, "high": None}
    assert value["ways"][0]["more_labels"] is None
    with drawing(4, 3) as figure:
        axes = found.plot(figure.subplots())
        assert axes.get_xlabel() == "training examples"
        assert [t.get_text() for t in axes.get_legend().get_texts()] == ["helper"]
