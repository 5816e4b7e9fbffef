from __future__ import annotations

import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.metadataset import ablation_sets, build_metadataset, select_features
from transfer_meta.outcomes.tables import build_table, load_outcomes

TABLE = load_outcomes("bingel-soegaard-2017")


@pytest.mark.parametrize(
    ("features", "columns"),
    [("all", 42), ("all-refit", 42), ("data", 21), ("curve", 21), ("grad_30$", 3)],
)
def test_the_papers_features(features: str, columns: int) -> None:
    data = build_metadataset(TABLE, features)
    assert data.X.shape == (90, 3 + columns)
    assert len(data.features) == columns
    assert data.helped.sum() == 40


def test_a_row_is_target_source_and_their_ratio() -> None:
    row = build_metadataset(TABLE).X.query("source == 'POS' and target == 'CCG'").iloc[0]
    assert row["target.size"] == 39604
    assert row["source.size"] == 1002
    assert row["ratio.size"] == pytest.approx(39604 / 1002)
    assert not any("refit" in c or "slope" in c for c in row.index)


def test_pair_features_enter_as_they_are() -> None:
    frame = pd.DataFrame(
        {"source": ["a", "b"], "target": ["b", "a"], "gain": [0.1, -0.1], "jsd": [0.3, 0.4]}
    )
    data = build_metadataset(build_table(frame))
    assert data.features.to_dict("records") == [
        {"column": "pair.jsd", "feature": "jsd", "role": "pair", "group": "pair"}
    ]
    assert data.X["pair.jsd"].tolist() == [0.3, 0.4]


def test_a_selection_that_selects_nothing_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'curve'"):
        build_metadataset(TABLE, "curv3")
    with pytest.raises(InputError, match="no regular expression"):
        build_metadataset(TABLE, "size(")


def test_labels_need_gains() -> None:
    frame = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"], "score": [0.1, 0.2]})
    with pytest.raises(InputError, match="only ranking is possible"):
        _ = build_metadataset(build_table(frame)).helped


VECTORS = pd.DataFrame(
    [
        ("target.size", "size", "target", "data"),
        ("pair.jsd", "jsd", "pair", "pair"),
        ("pair.mean_textemb", "mean_textemb", "pair", "embedding"),
        ("pair.rrf_textemb", "rrf_textemb", "pair", "embedding"),
        ("pair.mean_taskemb", "mean_taskemb", "pair", "embedding"),
        ("pair.rrf_text_task", "rrf_text_task", "pair", "embedding"),
        ("pair.rrf_all", "rrf_all", "pair", "embedding"),
    ],
    columns=["column", "feature", "role", "group"],
)


@pytest.mark.parametrize(
    ("features", "rows"),
    [
        ("textemb", [2, 3]),
        ("taskemb", [4]),
        ("all-but-data", [1, 2, 3, 4, 5, 6]),
        ("all-but-embedding", [0, 1]),
        ("all-but-textemb", [0, 1, 4]),  # fused ranks hold TextEmb, too
        ("all-but-taskemb", [0, 1, 2, 3]),
        ("all-but-rrf_", [0, 1, 2, 4]),
    ],
)
def test_groups_alone_and_left_out(features: str, rows: list[int]) -> None:
    assert select_features(VECTORS, features) == VECTORS["column"].iloc[rows].tolist()


def test_what_is_left_out_must_be_there() -> None:
    with pytest.raises(InputError, match="no feature matches 'textenb'.*did you mean 'textemb'"):
        select_features(VECTORS, "all-but-textenb")


def test_leaving_out_a_papers_group_leaves_the_others() -> None:
    columns = {name: set(build_metadataset(TABLE, name).X) for name in ablation_sets(TABLE)}
    assert list(columns) == ["all", "data", "curve", "all-but-data", "all-but-curve"]
    assert columns["all-but-curve"] == columns["data"]
    assert columns["all-but-data"] | columns["all-but-curve"] == columns["all"]
