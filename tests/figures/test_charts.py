from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from transfer_meta.figures import charts
from transfer_meta.figures.svg import drawing, to_svg


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in parse(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def gains() -> pd.DataFrame:
    values = np.array([[np.nan, 0.123, -0.05], [0.0, np.nan, 0.2], [-0.4, 0.01, np.nan]])
    names = ["a<b", "$c$", "d&e"]
    return pd.DataFrame(values, index=names, columns=names)


def test_heatmap_shows_every_pair_and_says_so(gains: pd.DataFrame) -> None:
    svg = charts.gain_heatmap(gains)
    shown = texts(svg)
    assert {"+12.3", "-5.0", "+20.0", "-40.0", "+1.0"} <= set(shown)
    assert {"a<b", "$c$", "d&e"} <= set(shown)  # neither markup nor formulas
    title = parse(svg).attrib["aria-label"]
    assert "3 of 6 pairs gain" in title
    assert "Largest gain +20.0 for d&e on $c$" in title
    assert "largest loss -40.0 for a<b on d&e" in title


def test_heatmap_of_no_gain_at_all(gains: pd.DataFrame) -> None:
    assert "0 of 6 pairs gain" in charts.gain_heatmap(gains * 0)


def test_colours_follow_the_page_and_ids_do_not_clash(gains: pd.DataFrame) -> None:
    table = pd.DataFrame({"predicted": [0.1, 0.9], "observed": [0.2, 0.7], "n": [3, 5]})
    one, other = charts.gain_heatmap(gains), charts.reliability_diagram({"p": table, "q": table})
    for svg in (one, other):
        assert not re.findall(r"#0102\w\w", svg)
        assert "var(--ink)" in svg
        assert parse(svg).attrib["role"] == "img"
        ids = set(re.findall(r'\bid="([^"]+)"', svg))
        references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert {a or b for a, b in references} <= ids
    first, second = (set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, other))
    assert not first & second


def test_the_same_figure_twice_is_the_same_text(gains: pd.DataFrame) -> None:
    assert charts.gain_heatmap(gains) == charts.gain_heatmap(gains)


def test_coefficients_name_the_largest_in_words() -> None:
    table = pd.DataFrame(
        {
            "feature": [f"f{i}" for i in range(20)],
            "role": "target",
            "value": np.linspace(2, 0.1, 20),
            "std": 0.1,
        }
    )
    svg = charts.coefficient_bars(table, top=7)
    assert "the 7 largest coefficients" in svg
    assert "target f0 +2.00" in parse(svg).attrib["aria-label"]
    assert "target f6" in texts(svg)
    assert "target f7" not in texts(svg)


def test_dots_have_a_panel_a_metric() -> None:
    rows = pd.DataFrame(
        [
            (protocol, predictor, metric, 0.5, 0.4, 0.6)
            for protocol in ("p1", "p2")
            for predictor in ("logistic", "random")
            for metric in ("accuracy", "hit@1")
        ],
        columns=["protocol", "predictor", "metric", "value", "ci_low", "ci_high"],
    )
    rows.loc[0, ["value", "ci_low", "ci_high"]] = np.nan
    svg = charts.protocol_dots(
        rows, metrics={"accuracy": "accuracy", "hit@1": "hits"}, chance={"accuracy": 0.5, "hit@1": None}
    )
    assert {"accuracy", "hits", "logistic", "random", "p1", "p2"} <= set(texts(svg))


def test_a_title_is_escaped() -> None:
    with drawing(1, 1) as figure:
        svg = to_svg(figure, name="x", title='a "quoted" <tag>')
    assert parse(svg).attrib["aria-label"] == 'a "quoted" <tag>'
