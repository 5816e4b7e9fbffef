from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cosine as scipy_cosine

from transfer_meta.errors import InputError
from transfer_meta.features.vectors.similarities import (
    component_cosines,
    cosine,
    cosine_matrix,
    rank_sources,
    reciprocal_rank_fusion,
    similarity_features,
    vector_kinds,
)


def vectors(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = {"textemb": 8, "taskemb.layer.0.query": 20, "taskemb.layer.0.key": 20, "taskemb.pooled": 5}
    return {name: rng.normal(size=size) for name, size in names.items()}


TARGET = vectors(0)
SOURCES = {f"s{i}": vectors(i) for i in range(1, 7)}


def test_cosine_is_scipys_and_one_with_itself() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    assert cosine(a, b) == pytest.approx(1 - scipy_cosine(a, b))
    assert cosine(a, b) == cosine(b, a)
    assert cosine(a, a) == pytest.approx(1, abs=1e-15)
    assert cosine(a, -3 * a) == pytest.approx(-1)
    assert cosine(a, a) <= 1


def test_the_matrix_of_cosines_has_those_of_all_pairs() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 30))
    found = cosine_matrix([a, None, b, np.zeros(30)])
    assert found[0, 2] == found[2, 0] == pytest.approx(cosine(a, b))
    assert found[[0, 2], [0, 2]] == pytest.approx(1)
    assert np.isfinite(found).sum() == 4
    with pytest.raises(InputError, match="lengths 2 and 3"):
        cosine_matrix([np.ones(3), np.ones(2)])


def test_cosine_of_a_zero_vector_is_nan() -> None:
    assert np.isnan(cosine(np.zeros(3), np.ones(3)))


def test_vectors_of_other_encoders_are_refused() -> None:
    with pytest.raises(InputError, match="lengths 3 and 4"):
        cosine(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="'textemb' of lengths 2 and 8"):
        component_cosines(target=TARGET, sources={"a": vectors(1), "b": {"textemb": np.ones(2)}})


def test_features_equal_a_slow_reference() -> None:
    features = similarity_features(target=TARGET, sources=SOURCES)
    components = [name for name in TARGET if name.startswith("taskemb.")]
    for source, row in features.iterrows():
        own = SOURCES[str(source)]
        each = [1 - scipy_cosine(TARGET[name], own[name]) for name in components]
        for name, value in zip(components, each, strict=True):
            assert row[f"cosine_{name}"] == pytest.approx(value)
        assert row["mean_taskemb"] == pytest.approx(np.mean(each))
        joined = [
            np.concatenate([v[name] / np.linalg.norm(v[name]) for name in components])
            for v in (TARGET, own)
        ]
        assert row["concat_taskemb"] == pytest.approx(1 - scipy_cosine(*joined))
        assert row["mean_textemb"] == row["concat_textemb"] == row["cosine_textemb"]


def test_fusion_equals_a_slow_reference() -> None:
    features = similarity_features(target=TARGET, sources=SOURCES)

    def fuse(columns: list[str]) -> list[float]:
        scores = [0.0] * len(features)
        for column in columns:
            values = [round(v, 12) for v in features[column]]
            for i, value in enumerate(values):
                above = sum(other > value for other in values)
                scores[i] += 1 / (60 + above + (values.count(value) + 1) / 2)
        return scores

    components = [f"cosine_{n}" for n in TARGET if n.startswith("taskemb.")]
    np.testing.assert_allclose(features["rrf_taskemb"], fuse(components))
    assert features["rrf_taskemb"].round(12).duplicated().any()  # there is a tie to be shared
    np.testing.assert_allclose(features["rrf_all"], fuse(["rrf_textemb", "rrf_taskemb"]))


def test_fusion_with_ties_and_missing_scores() -> None:
    scores = np.array([[0.5, np.nan, np.nan], [0.5, 0.1, np.nan], [0.9, 0.7, np.nan], [np.nan] * 3])
    fused = reciprocal_rank_fusion(scores, constant=10)
    np.testing.assert_allclose(fused, [1 / 12.5, 1 / 12.5 + 1 / 12, 2 / 11, np.nan])


def test_centred_features_equal_a_slow_reference() -> None:
    features = similarity_features(target=TARGET, sources=SOURCES)
    components = [name for name in TARGET if name.startswith("taskemb.")]

    def unit(values: np.ndarray) -> np.ndarray:
        return values / np.linalg.norm(values)

    for source, vectors_of_it in SOURCES.items():
        each = []
        for name in components:
            mean = sum(unit(other[name]) for other in SOURCES.values()) / len(SOURCES)
            a, b = unit(TARGET[name]) - mean, unit(vectors_of_it[name]) - mean
            each.append(1 - scipy_cosine(a, b))
        assert features.loc[source, "centred_taskemb"] == pytest.approx(np.mean(each))


def test_centring_takes_away_what_all_tasks_share() -> None:
    shared = 50 * np.ones(30)
    pool = {f"s{i}": {"v": shared + np.random.default_rng(i).normal(size=30)} for i in range(1, 9)}
    near = {"v": pool["s3"]["v"] + 0.1 * np.random.default_rng(99).normal(size=30)}
    features = similarity_features(target=near, sources=pool)
    assert features["mean_v"].min() > 0.99
    assert features["centred_v"].idxmax() == "s3"
    assert features["centred_v"].drop("s3").max() < 0.8


def test_centring_needs_three_sources() -> None:
    two = {name: SOURCES[name] for name in ("s1", "s2")}
    features = similarity_features(target=TARGET, sources=two)
    assert features["centred_taskemb"].isna().all()
    assert features["rrf_centred"].isna().all()
    assert features["mean_taskemb"].notna().all()


def test_names_are_stable_and_do_not_depend_on_the_sources() -> None:
    first = similarity_features(target=TARGET, sources=SOURCES)
    other = similarity_features(target=TARGET, sources={"x": {"textemb": TARGET["textemb"]}})
    assert list(first.columns) == list(other.columns)
    assert vector_kinds(TARGET) == ["textemb", "taskemb"]
    assert {"cosine_textemb", "mean_taskemb", "concat_taskemb", "rrf_taskemb", "rrf_all"} <= set(first)


def test_a_missing_component_lowers_the_concatenation_alone() -> None:
    partial = {k: v for k, v in TARGET.items() if k != "taskemb.pooled"}
    row = similarity_features(target=TARGET, sources={"partial": partial}).loc["partial"]
    assert row["mean_taskemb"] == pytest.approx(1)
    assert row["concat_taskemb"] == pytest.approx(2 / np.sqrt(6))
    assert np.isnan(row["cosine_taskemb.pooled"])


def test_a_kind_that_a_source_lacks_is_missing() -> None:
    row = similarity_features(target=TARGET, sources={"x": {"textemb": TARGET["textemb"]}}).loc["x"]
    assert np.isnan(row["mean_taskemb"])
    assert np.isnan(row["concat_taskemb"])
    assert row["rrf_all"] == pytest.approx(1 / 61)


def test_ranking_puts_the_target_itself_first_and_the_unknown_last() -> None:
    pool = {"unknown": {"other": np.ones(2)}, **SOURCES, "itself": TARGET}
    for by in ("rrf_all", "mean_taskemb", "concat_taskemb", "cosine_textemb"):
        ranked = rank_sources(target=TARGET, sources=pool, by=by)
        assert ranked["source"].iloc[0] == "itself"
        assert ranked["source"].iloc[-1] == "unknown"
        assert list(ranked["rank"]) == list(range(1, 9))


def test_an_unknown_similarity_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'mean_taskemb'"):
        rank_sources(target=TARGET, sources=SOURCES, by="meantaskemb")
