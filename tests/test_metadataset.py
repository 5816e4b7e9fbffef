from __future__ import annotations

import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.metadataset import build_metadataset
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
    assert data.y.sum() == 40


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
        _ = build_metadataset(build_table(frame)).y
