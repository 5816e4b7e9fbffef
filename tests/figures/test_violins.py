from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.evaluation.benchmark import BenchmarkResult, BenchmarkSettings, benchmark
from transfer_meta.figures.violins import TargetScores, score_violins, target_scores
from transfer_meta.outcomes.tables import OutcomeTable, build_table


def result_of(table: OutcomeTable) -> BenchmarkResult:
    settings = BenchmarkSettings(predictors=("source-popularity",), metrics=("spearman",))
    return benchmark(table, settings)


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(permutations(["a<b", "$c$", "d", "e"], 2), columns=["source", "target"])
    # Source d is best wherever it is tried.
    return frame.assign(
        baseline=0.5, score=np.where(frame["source"] == "d", 0.9, random.uniform(0.3, 0.7, 12))
    )


def test_rows_hold_scores_baselines_and_picks(pairs: pd.DataFrame) -> None:
    table = build_table(pairs)
    rows = target_scores(table, result_of(table))
    assert [row.target for row in rows] == ["$c$", "a<b", "d", "e"]
    for row in rows:
        own = pairs[pairs["target"] == row.target]
        np.testing.assert_allclose(np.sort(row.scores), np.sort(own["score"]))
        assert row.baseline == 0.5
        if row.target != "d":
            assert row.picks == {"source-popularity": 0.9}


def test_gains_alone_have_their_line_at_zero_and_scores_alone_have_none(pairs: pd.DataFrame) -> None:
    gains = build_table(pairs.assign(gain=pairs["score"] - 0.5)[["source", "target", "gain"]])
    assert [row.baseline for row in target_scores(gains, result_of(gains))] == [0.0] * 4
    scores = build_table(pairs[["source", "target", "score"]])
    assert [row.baseline for row in target_scores(scores, result_of(scores))] == [None] * 4


def test_sources_ranked_equally_count_as_their_mean(pairs: pd.DataFrame) -> None:
    table = build_table(pairs)
    result = result_of(table)
    result.predictions["source-popularity", "–"].ranking[:] = 0
    for row in target_scores(table, result):
        assert row.picks["source-popularity"] == pytest.approx(row.scores.mean())


def test_the_figure_says_all_of_it() -> None:
    rows = [
        TargetScores("a<b", np.array([0.1, 0.4, 0.3]), 0.2, {"default": 0.4}),
        TargetScores("$c$", np.array([0.5, 0.5]), None, {}),
    ]
    svg = score_violins(rows, unit="score")
    title = ET.fromstring(svg).attrib["aria-label"]
    assert "a<b 0.100 to 0.400, without transfer 0.200; default picks 0.400." in title
    assert "$c$ 0.500 to 0.500." in title
    shown = [node.text for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a<b", "$c$", "default", "score"} <= set(shown)
