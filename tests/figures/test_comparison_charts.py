from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd

from transfer_meta.evaluation.comparisons import compare
from transfer_meta.figures.comparison_charts import ceiling_chart, comparison_matrix


def test_the_matrix_names_winners_only() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, (3, 30))
    values = {
        (name, "all"): dict(zip(map(str, range(30)), level + noise[at], strict=True))
        for at, (name, level) in enumerate([("good", 0.6), ("also<good", 0.6), ("bad", 0.1)])
    }
    values["good", "curve"] = values["good", "all"]
    svg = comparison_matrix(compare(values), metric="spearman")
    assert svg is not None
    title = ET.fromstring(svg).attrib["aria-label"]
    assert "3 predictors" in title
    assert "2 of 3 pairs can be told apart" in title
    assert "good over bad by 0.50" in title
    assert "also<good over bad by 0.50" in title
    assert "over good" not in title
    # Of a metric of which less is better, the other wins.
    turned = compare(values, higher_is_better=False)
    worse = ET.fromstring(comparison_matrix(turned, metric="regret@1", higher_is_better=False))
    assert "bad over good by 0.50" in worse.attrib["aria-label"]


def test_one_predictor_makes_no_matrix() -> None:
    values = {("a", "curve"): {"x": 1.0, "y": 2.0}, ("a", "data"): {"x": 1.0, "y": 3.0}}
    assert comparison_matrix(compare(values), metric="spearman") is None


def test_the_ceiling_and_what_is_reached_are_said() -> None:
    ceiling = pd.DataFrame(
        {
            "n_seeds": [1, 2],
            "how": ["split-half", "Spearman-Brown"],
            "value": [0.5, 2 / 3],
            "ci_low": [0.4, 0.5],
            "ci_high": [0.6, 0.8],
        }
    )
    reached = pd.DataFrame(
        {"predictor": ["default"], "value": [0.3], "ci_low": [0.2], "ci_high": [0.4]}
    )
    title = ET.fromstring(ceiling_chart(ceiling, reached)).attrib["aria-label"]
    assert "1 seeds 0.50 (split-half), 2 seeds 0.67 (Spearman-Brown)" in title
    assert "default 0.30" in title
