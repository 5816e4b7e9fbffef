from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from transfer_meta.evaluation.splits import leave_two_tasks_out
from transfer_meta.predictors import make_predictor
from transfer_meta.predictors.base import Fold
from transfer_meta.predictors.feature_groups import column_group
from transfer_meta.predictors.group_ridge import (
    AS_EXPECTED,
    AS_PUBLISHED,
    MAX_LEFT_OUT,
    PENALTY,
    PRIOR_ROWS,
    RISING_SCORES,
    GroupRidgePredictor,
    left_out_tasks,
)
from transfer_meta.predictors.within_target import (
    WithinTarget,
    group_codes,
    rows_of_targets,
    standardised_gains,
)
from transfer_meta.records import signed_log


def scored_pairs(n_tasks: int = 12, *, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A score of the pair that tells the gain, beside many features of the source that tell nothing."""
    random = np.random.default_rng(seed)
    names = [f"t{i:02d}" for i in range(n_tasks)]
    X = pd.DataFrame(list(permutations(names, 2)), columns=["source", "target"]).assign(setting="")
    score = random.normal(size=len(X))
    facts = random.normal(size=(n_tasks, 15))
    place = {name: i for i, name in enumerate(names)}
    told = {"pair.logme": score, "pair.jsd": random.normal(size=len(X))}
    for j in range(facts.shape[1]):
        for role in ("source", "target"):
            told[f"{role}.fact_{j}"] = [facts[place[name], j] for name in X[role]]
    X = X.assign(**told)
    popularity = random.normal(size=n_tasks)[[place[name] for name in X["source"]]]
    gain = 0.05 * (score + popularity + 0.5 * random.normal(size=len(X)))
    return X, np.asarray(gain)


def both_new(predictor: str, X: pd.DataFrame, y: np.ndarray) -> float:
    """Mean rank correlation within targets, source and target left out."""
    folds: list[Fold] = list(leave_two_tasks_out(X["source"], X["target"]))
    ranking = np.empty(len(y))
    for (_, test), found in zip(
        folds, make_predictor(predictor).predict_folds(X, y, folds), strict=True
    ):
        ranking[test] = found.ranking
    rows = X.groupby("target").indices.values()
    return float(np.mean([spearmanr(ranking[r], y[r]).statistic for r in rows]))


def relative(X: pd.DataFrame, columns: np.ndarray) -> np.ndarray:
    """Features relative to the sources of each target, shape (n, p)."""
    raw = signed_log(X[list(columns)].to_numpy(dtype=float))
    return np.asarray(WithinTarget.fit(raw).transform(raw, group_codes(X)))


def test_useless_features_of_the_sources_do_not_drown_the_scores() -> None:
    X, y = scored_pairs()
    assert both_new("ridge-by-group", X, y) > both_new("ridge-without-history", X, y) + 0.05
    assert both_new("default", X, y) == pytest.approx(both_new("ridge-by-group", X, y))


def test_left_out_tasks_are_in_no_training_row() -> None:
    X, _ = scored_pairs(6)
    folds = left_out_tasks(X)
    assert len(folds) == 15
    for removed, tested in folds:
        kept = X.drop(index=removed)
        tasks = set(X.loc[tested, "source"]) | set(X.loc[tested, "target"])
        assert len(tasks) == 2
        assert not tasks & {*kept["source"], *kept["target"]}
        assert set(tested) <= set(removed)
    many, _ = scored_pairs(24)
    assert len(left_out_tasks(many)) == MAX_LEFT_OUT


@pytest.mark.parametrize("name", ["pair.mean_textemb", "pair.h_score"])
def test_each_group_is_an_ordinary_ridge_regression(name: str) -> None:
    X, y = scored_pairs(8)
    # A feature that is not among the scores published as rising with the gain.
    X = X[["setting", "source", "target", "pair.logme"]].rename(columns={"pair.logme": name})
    weight = np.linspace(0.3, 1.0, len(y))
    fitted = GroupRidgePredictor(expected=False).fit(X, y, weight)
    assert list(fitted.groups_) == [column_group(name)]
    raw = signed_log(X[[name]].to_numpy())
    matrix = WithinTarget.fit(raw).transform(raw, group_codes(X))
    z = standardised_gains(y, group_codes(X))
    slope = (weight * matrix[:, 0] * z).sum() / ((weight * matrix[:, 0] ** 2).sum() + PENALTY)
    assert fitted.coef_ == pytest.approx(fitted.weights_ * slope)
    # The left-out rankings are those of fits without both tasks.
    removed, tested = left_out_tasks(X)[0]
    kept = np.setdiff1d(np.arange(len(y)), removed)
    again = (weight[kept] * matrix[kept, 0] * z[kept]).sum()
    again /= (weight[kept] * matrix[kept, 0] ** 2).sum() + PENALTY
    inner = fitted.inner_ranking(X, z, weight)
    assert inner[tested] == pytest.approx(fitted.weights_[0] * again * matrix[tested, 0])


def with_scores(n_tasks: int = 10) -> tuple[pd.DataFrame, np.ndarray]:
    """Two published scores and one that is not, beside features that are no scores."""
    X, y = scored_pairs(n_tasks)
    random = np.random.default_rng(1)
    more = {
        f"pair.{name}": X["pair.logme"] + 0.5 * random.normal(size=len(X))
        for name in ("knn", "h_score")
    }
    return X.assign(**more), y


def test_coefficients_are_the_weighted_sum_of_the_members() -> None:
    X, y = with_scores()
    fitted = GroupRidgePredictor().fit(X, y)
    assert list(fitted.groups_) == ["data", "pair", "transferability", AS_PUBLISHED, AS_EXPECTED]
    assert fitted.weights_.shape == fitted.groups_.shape
    assert (fitted.weights_ >= 0).all()
    matrix = relative(X, fitted.columns_)
    z = standardised_gains(y, group_codes(X))
    expected = np.zeros(len(fitted.columns_))
    for name, weight in zip(fitted.groups_, fitted.weights_, strict=True):
        if name == AS_PUBLISHED:
            # What is published counts as it is, each score alike and no outcome learned from.
            used = np.isin(fitted.columns_, ["pair.logme", "pair.knn"])
            member = used / 2
        elif name == AS_EXPECTED:
            # The vocabularies' divergence speaks against a source.
            member = -(fitted.columns_ == "pair.jsd").astype(float)
        else:
            used = np.array([column_group(c) == name for c in fitted.columns_])
            rows = matrix[:, used] / np.sqrt(used.sum())
            gram = rows.T @ rows + PENALTY * np.eye(used.sum())
            member = np.zeros(len(used))
            member[used] = np.linalg.solve(gram, rows.T @ z) / np.sqrt(used.sum())
        expected += weight * member
    np.testing.assert_allclose(fitted.coef_, expected, atol=1e-12)
    np.testing.assert_allclose(fitted.ranking(X), matrix @ expected, atol=1e-12)


def test_published_scores_are_the_rising_ones_that_vary() -> None:
    X, y = with_scores()
    assert "h_score" not in RISING_SCORES
    for dropped in (["pair.logme", "pair.knn"], ["pair.logme", "pair.knn", "pair.h_score"]):
        assert AS_PUBLISHED not in GroupRidgePredictor().fit(X.drop(columns=dropped), y).groups_
    constant = X.assign(**{"pair.logme": 0.5, "pair.knn": np.nan})
    fitted = GroupRidgePredictor().fit(constant, y)
    assert list(fitted.groups_) == ["data", "pair", "transferability", AS_EXPECTED]
    assert AS_EXPECTED not in GroupRidgePredictor().fit(X.assign(**{"pair.jsd": 0.5}), y).groups_


@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("told", [0.0, 1.0])
def test_weights_are_what_the_left_out_error_says(told: float, expected: bool) -> None:
    X, _ = with_scores(12)
    X = X[["setting", "source", "target", "pair.logme", "pair.knn", "pair.h_score"]]
    random = np.random.default_rng(5)
    y = 0.05 * (told * X["pair.logme"].to_numpy() + random.normal(size=len(X)))
    fitted = GroupRidgePredictor(expected).fit(X, y)
    assert list(fitted.groups_) == ["transferability", AS_PUBLISHED]
    # Left-out rankings of the two members, the learned one from fits without both tasks.
    z, matrix = standardised_gains(y, group_codes(X)), relative(X, fitted.columns_)
    rows = matrix / np.sqrt(matrix.shape[1])
    learned = np.zeros(len(z))
    for removed, tested in left_out_tasks(X):
        kept = np.setdiff1d(np.arange(len(z)), removed)
        gram = rows[kept].T @ rows[kept] + PENALTY * np.eye(rows.shape[1])
        learned[tested] = rows[tested] @ np.linalg.solve(gram, rows[kept].T @ z[kept])
    published = matrix[:, np.isin(fitted.columns_, ["pair.logme", "pair.knn"])].mean(axis=1)
    members = np.column_stack([learned, published])
    size = np.sqrt((members**2).mean(axis=0))
    unit = members / size
    parts, prior_rows = np.ones(2), PRIOR_ROWS
    if expected:
        backed = np.maximum((unit * z[:, None]).mean(axis=0), 0.0)
        parts, prior_rows = backed if backed.any() else parts, float(len(z))
    together = unit @ parts
    centre = max(0.0, float(together @ z / (together @ together))) * parts

    def error(weights: np.ndarray) -> float:
        return float(((z - unit @ weights) ** 2).sum() + prior_rows * ((weights - centre) ** 2).sum())

    found = fitted.weights_ * size
    least = error(found)
    for step in 0.01 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, -1], [-1, 1]]):
        assert error(np.maximum(found + step, 0.0)) >= least - 1e-9
    np.testing.assert_allclose(fitted.inner_ranking(X, z, np.ones(len(z))), members @ fitted.weights_)
    # Together they say of noise next to nothing, and of gains that the scores tell a good part.
    spread = float((members @ fitted.weights_).std())
    assert spread < 0.15 if told == 0.0 else spread > 0.4


def told_by(column: str, n_tasks: int = 10) -> tuple[pd.DataFrame, np.ndarray]:
    """Pairs with a score and source sizes, one of which tells half of the gain."""
    X, _ = scored_pairs(n_tasks)
    random = np.random.default_rng(3)
    size = np.exp(random.normal(8, 1, size=n_tasks))
    X = X[["setting", "source", "target", "pair.logme"]].assign(
        **{"source.size": [size[int(name[1:])] for name in X["source"]]}
    )
    told = signed_log(X[[column]].to_numpy())[:, 0]
    return X, 0.05 * (told / told.std() + random.normal(size=len(X)))


@pytest.mark.parametrize("column", ["pair.logme", "source.size"])
def test_the_weights_go_to_what_left_out_pairs_support(column: str) -> None:
    X, y = told_by(column)
    fitted = GroupRidgePredictor().fit(X, y)
    share = np.abs(fitted.coef_) * relative(X, fitted.columns_).std(axis=0)
    assert share[fitted.columns_ == column] > 2 / 3 * share.sum()
    weight = dict(zip(fitted.groups_, fitted.weights_, strict=True))
    by_score = column == "pair.logme"
    more, less = (AS_PUBLISHED, AS_EXPECTED) if by_score else (AS_EXPECTED, AS_PUBLISHED)
    assert weight[more] > 2 * weight[less]


def test_the_default_ranks_tried_sources_by_history_and_others_by_groups() -> None:
    X, y = scored_pairs()
    tried = ~X["source"].isin(["t01", "t02"]) & ~X["target"].isin(["t00", "t01", "t02"])
    fitted = make_predictor("default").fit(X[tried].reset_index(drop=True), y[tried])
    asked = X[X["target"] == "t00"].reset_index(drop=True)
    new = asked["source"].isin(["t01", "t02"]).to_numpy()
    found, alone = fitted.predict_pairs(asked), fitted.untried_.predict_pairs(asked)
    for of_all, of_new in zip(found, alone, strict=True):
        np.testing.assert_array_equal(of_all[new], of_new[new])
    members = np.column_stack([m.ranking(asked) for m in (fitted.gp_, fitted.ridge_)])
    np.testing.assert_allclose(found.ranking[~new], (members @ fitted.weights_)[~new])


def test_a_pair_is_compared_with_all_sources_of_its_target() -> None:
    X, y = scored_pairs(6)
    folds = [(np.arange(20, len(y)), np.array([3, 7]))]
    rows, place = rows_of_targets(X, folds[0][1])
    assert set(X.loc[rows, "target"]) == set(X.loc[[3, 7], "target"])
    assert rows[place].tolist() == [3, 7]
    fitted = GroupRidgePredictor().fit(X.iloc[20:], y[20:])
    expected = fitted.predict_pairs(X.iloc[rows]).ranking[place]
    predictor = GroupRidgePredictor()
    np.testing.assert_array_equal(predictor.predict_folds(X, y, folds)[0].ranking, expected)
    np.testing.assert_array_equal(predictor.rank_folds(X, y, folds)[0], expected)


def test_two_tasks_leave_nothing_to_learn_weights_from() -> None:
    X = pd.DataFrame({"source": ["a", "b"], "target": ["b", "a"], "pair.logme": [0.1, 0.4]})
    found = GroupRidgePredictor().fit(X, [0.1, -0.1]).predict_pairs(X)
    assert all(np.isfinite(part).all() for part in found)
