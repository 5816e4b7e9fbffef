from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkSettings, benchmark
from transfer_meta.metadataset import build_metadataset, with_similarities
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.predictors import make_predictor

TABLE = load_outcomes("bingel-soegaard-2017")


def random_vectors(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    names = ("textemb", "taskemb.query", "taskemb.key")
    return {task: {name: random.normal(size=8) for name in names} for task in TABLE.tasks.index}


def test_vectors_become_pair_features() -> None:
    vectors = random_vectors()
    data = build_metadataset(with_similarities(TABLE, vectors), "embedding")
    row = data.X.query("source == 'POS' and target == 'CCG'").iloc[0]
    a, b = vectors["POS"]["textemb"], vectors["CCG"]["textemb"]
    assert row["pair.mean_textemb"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert {"pair.rrf_text_task", "pair.centred_taskemb", "pair.rrf_all"} <= set(data.X)
    assert set(data.features["group"]) == {"embedding"}


def test_the_ranking_is_the_similarity_whatever_was_trained_on() -> None:
    table = with_similarities(TABLE, random_vectors())
    settings = BenchmarkSettings(
        predictors=("textemb", "taskemb", "text+task"), metrics=("spearman", "brier")
    )
    result = benchmark(table, settings)
    ranking = result.predictions["textemb", "–"].ranking[0]
    np.testing.assert_array_equal(ranking, table.pairs["mean_textemb"])


def test_a_perfect_similarity_ranks_perfectly_and_is_calibrated_on_other_targets() -> None:
    frame = TABLE.pairs[["source", "target", "gain"]].assign(mean_textemb=TABLE.pairs["gain"])
    settings = BenchmarkSettings(predictors=("textemb",), metrics=("spearman", "auroc", "accuracy"))
    # A column equal to the gain is a feature only if it is named.
    table = build_table(frame, settings=TableSettings(features="mean_textemb"))
    values = benchmark(table, settings).table().iloc[0]
    assert values["spearman"] == pytest.approx(1)
    assert values["auroc"] > 0.9


def test_an_unknown_similarity_stands_at_the_median() -> None:
    X = pd.DataFrame(
        {"setting": "", "source": list("abcd"), "target": "t", "pair.logme": [1.0, 2.0, 9.0, np.nan]}
    )
    predictor = make_predictor("logme").fit(X, np.array([-1.0, -0.5, 0.5, 0.1]))
    assert predictor.decision_function(X).tolist() == [1, 2, 9, 2]


def test_without_the_column_or_the_vectors_it_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="needs the pair feature mean_textemb"):
        benchmark(TABLE, BenchmarkSettings(predictors=("textemb",)))
    vectors = random_vectors()
    vectors["POSS"] = vectors.pop("POS")
    with pytest.raises(InputError, match="'POS' has no vectors; did you mean 'POSS'"):
        with_similarities(TABLE, vectors)
