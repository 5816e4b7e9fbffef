from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.curves.curve_features import CURVE_PERCENTS
from transfer_meta.features.pair_features import compare_profiles
from transfer_meta.features.task_profile import profile_task
from transfer_meta.features.text import text_hashes
from transfer_meta.features.text.vocabulary import Vocabulary
from transfer_meta.records import CurveLog, Example, TaskProfile
from transfer_meta.tasks.task import Task

STEPS = np.arange(10.0, 5001, 10)


def profile(
    name: str, texts: list[str], labels: str = "yn", type: str = "classification", **given
) -> TaskProfile:  # type: ignore
    examples = [
        Example(text, float(i) if type == "regression" else labels[i % len(labels)])
        for i, text in enumerate(texts)
    ]
    return profile_task(Task.from_iterable(name, type, {"train": examples}), **given)


A = ["a fine film", "no film", "rain at noon", "a a a"]
B = ["a film", "No film!", "snow at night"]
C = ["x y", "z z"]


@pytest.fixture(scope="module")
def target() -> TaskProfile:
    return profile("target", A)


def test_columns_and_rows(target: TaskProfile) -> None:
    frame = compare_profiles(sources=[profile("one", B), profile("two", C)], target=target)
    assert frame["source"].tolist() == ["one", "two"]
    assert set(frame["target"]) == {"target"}
    roles = {column.partition(".")[0] for column in frame.columns}
    assert roles == {"source", "target", "ratio", "log_ratio", "pair", "missing"}
    assert frame["target.size"].tolist() == [4, 4]
    assert frame["source.size"].tolist() == [3, 2]
    assert frame["ratio.size"].tolist() == pytest.approx([4 / 3, 2])
    assert frame["log_ratio.size"].tolist() == pytest.approx([math.log(4 / 3), math.log(2)])


def test_content(target: TaskProfile) -> None:
    frame = compare_profiles(
        sources=[profile("b", B, "yx"), profile("c", C, "z"), target], target=target
    )
    # A: a a a a, film film, fine, no, rain, at, noon; B: a, film film, no, !, snow, at, night.
    assert frame["pair.types_covered_target"].tolist() == pytest.approx([4 / 7, 0, 1])
    assert frame["pair.types_covered_source"].tolist() == pytest.approx([4 / 7, 0, 1])
    assert frame["pair.tokens_covered_target"].tolist() == pytest.approx([8 / 11, 0, 1])
    assert frame["pair.tokens_covered_source"].tolist() == pytest.approx([5 / 8, 0, 1])
    assert frame["pair.jsd"].tolist()[1:] == pytest.approx([math.log(2), 0], abs=1e-12)
    assert frame["pair.tfidf_cosine"].tolist()[1:] == pytest.approx([0, 1])
    assert frame["pair.labels_jaccard"].tolist() == pytest.approx([1 / 3, 0, 1])
    assert frame["pair.labels_covered_target"].tolist() == pytest.approx([1 / 2, 0, 1])
    # "no film" is in both, but for case and punctuation.
    assert frame["pair.examples_covered_target"].tolist() == pytest.approx([1 / 4, 0, 1])
    assert frame["pair.examples_covered_source"].tolist() == pytest.approx([1 / 3, 0, 1])
    assert frame["pair.same_type"].tolist() == [1, 1, 1]


def test_another_type_has_no_common_labels(target: TaskProfile) -> None:
    row = compare_profiles(sources=[profile("r", B, type="regression")], target=target).iloc[0]
    assert row["pair.same_type"] == 0
    assert math.isnan(row["pair.labels_jaccard"])
    assert "pair.labels_jaccard" in row["missing"].split(",")


def test_missing_features_are_listed(target: TaskProfile) -> None:
    bare = dataclasses.replace(profile("bare", B), sketches={})
    rows = compare_profiles(sources=[profile("b", B), bare], target=target)
    first, second = (set(text.split(",")) for text in rows["missing"])
    absent = {f"{role}.{name}" for role in ("source", "target") for name in target.missing}
    assert absent <= first
    assert "target.jsd" in first
    assert "pair.jsd" not in first
    assert {"pair.jsd", "pair.tfidf_cosine", "pair.examples_covered_target"} <= second
    for _, row in rows.iterrows():
        nan = {name for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
        said = set(row["missing"].split(","))
        assert said <= nan
        # Ratios go without saying, where a number that they need is said to be missing.
        assert {name for name in nan - said if not name.startswith(("ratio.", "log_ratio."))} == set()


def test_one_row_does_not_depend_on_the_others(target: TaskProfile) -> None:
    sources = [profile("b", B), profile("c", C), profile("d", A + B)]
    together = compare_profiles(sources=sources, target=target)
    for k, source in enumerate(sources):
        alone = compare_profiles(sources=[source], target=target)
        assert together.iloc[[k]].reset_index(drop=True).equals(alone)


def test_contrasts_of_curves() -> None:
    flat = CurveLog(STEPS, 2 - 0.01 * np.log(STEPS + 50))
    steep = CurveLog(STEPS, 4 - 0.40 * np.log(STEPS + 50))
    target = profile("flat", A, curve=flat)
    sources = [profile("steep", B, curve=steep), profile("bare", C)]
    frame = compare_profiles(sources=sources, target=target)
    for percent in CURVE_PERCENTS:
        for kind in ("slope", "relative_slope"):
            name = f"{kind}_{percent}"
            difference = target.features[name] - sources[0].features[name]
            assert frame[f"pair.{kind}_contrast_{percent}"][0] == pytest.approx(difference)
            assert difference > 0
    assert math.isnan(frame["pair.slope_contrast_10"][1])
    assert "source.slope_10" in frame["missing"][1].split(",")
    assert frame["log_ratio.slope_10"][0] < 0


def test_sampled_examples_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [f"word{i} film" for i in range(3000)]
    two = [f"word{i} film" for i in range(2000, 8000)]
    monkeypatch.setattr(text_hashes, "MAX_EXAMPLES", 500)
    row = compare_profiles(sources=[profile("two", two)], target=profile("one", one)).iloc[0]
    error = 5 * 0.5 / 200**0.5  # at least some two hundred of the target's are below both thresholds
    assert row["pair.examples_covered_target"] == pytest.approx(1 / 3, abs=error)
    assert row["pair.examples_covered_source"] == pytest.approx(1 / 6, abs=error)


def test_profiles_of_different_settings(target: TaskProfile) -> None:
    other = profile("b", B, vocabulary=Vocabulary.from_words(["a"]))
    with pytest.raises(
        InputError, match="profiles of b and target differ in their setting vocabulary: words-"
    ):
        compare_profiles(sources=[other], target=target)


def test_no_sources(target: TaskProfile) -> None:
    with pytest.raises(InputError, match="no sources"):
        compare_profiles(sources=[], target=target)
