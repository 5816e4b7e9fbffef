from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from many_tasks import by_target, grouped_tasks

from transfer_meta.predictors import gp, outcome_prior
from transfer_meta.predictors.gp import GaussianProcessPredictor
from transfer_meta.predictors.outcome_prior import (
    NOISE_VARIANCE,
    SCORE_VARIANCES,
    OutcomePrior,
    conjugate_gradients,
    score_variance,
)
from transfer_meta.predictors.task_kernel import TaskKernel
from transfer_meta.predictors.within_target import group_codes, standardised_gains


def fit(X, z, weight=None):
    predictor = GaussianProcessPredictor()
    predictor.feature_names_in_ = np.array(list(X.columns[3:]), dtype=object)
    predictor.fit_ranking(X, z, np.ones(len(z)) if weight is None else weight)
    return predictor


def covariance(predictor, a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
    """The prior covariance as the docstring has it, row by row."""
    space = TaskKernel(**predictor.space_)
    setting, source, target = (
        [t[c].to_numpy(dtype=object) for t in (a, b)] for c in ("setting", "source", "target")
    )
    places = [np.searchsorted(predictor.settings_, s) for s in setting]
    near_s, near_t = space.kernel(*source), space.kernel(*target)
    same_s, same_t = (x[:, None] == y[None] for x, y in (source, target))
    turned = (source[0][:, None] == target[1]) & (target[0][:, None] == source[1])
    q = (
        outcome_prior.SOURCE_VARIANCE * same_s
        + outcome_prior.SIMILAR_SOURCE_VARIANCE * near_s
        + outcome_prior.SIMILAR_TARGET_VARIANCE * same_s * near_t
    )
    q += (
        outcome_prior.SIMILAR_BOTH_VARIANCE * near_s * near_t
        + outcome_prior.MUTUAL_VARIANCE * (same_s & same_t)
        + outcome_prior.MUTUAL_VARIANCE * turned
    )
    x = [predictor._relative(table) * predictor.share_ for table in (a, b)]
    q += outcome_prior.FEATURE_VARIANCE * x[0] @ x[1].T
    return q * predictor.kappa_[np.ix_(*places)]


def dense_posterior(predictor, X, z, noise, new):
    """The textbook formula on all rows."""
    gram = covariance(predictor, X, X) + np.diag(noise)
    return covariance(predictor, new, X) @ np.linalg.solve(gram, z)


def incomplete(share: float, settings: tuple[str, ...], *, scores: bool = False):
    X, y = grouped_tasks(7, settings=settings)
    X = X.drop(columns="pair.mean_textemb")
    ends = [X[c].str[1:].astype(int).to_numpy() for c in ("source", "target")]
    X["pair.jsd"] = np.sin(np.arange(49.0)).reshape(7, 7)[*ends]
    if scores:
        mean = pd.Series(y).groupby([X["source"], X["target"]]).transform("mean").to_numpy()
        X["pair.logme"] = mean + 0.02 * np.cos(np.arange(49.0)).reshape(7, 7)[*ends]
        X["pair.leep"] = np.cos(np.arange(49.0) ** 2).reshape(7, 7)[*ends]
        X["pair.nce"] = np.nan
    keep = np.random.default_rng(0).random(len(X)) < share
    X, y = X[keep].reset_index(drop=True), y[keep]
    return X, standardised_gains(y, group_codes(X))


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("settings", [("",), ("a", "b", "c")])
def test_the_grid_equals_the_dense_formula(
    share: float, settings: tuple[str, ...], scores: bool
) -> None:
    X, z = incomplete(share, settings, scores=scores)
    weight = np.random.default_rng(1).uniform(0.2, 1, len(z))
    predictor = fit(X, z, weight)
    noise = (NOISE_VARIANCE / pd.Series(weight)).groupby([X["source"], X["target"]]).transform("mean")
    expected = dense_posterior(predictor, X, z, noise.to_numpy(), X)
    np.testing.assert_allclose(predictor.ranking(X), expected, atol=1e-4)


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_left_out_targets_equal_refits(share: float, scores: bool) -> None:
    X, z = incomplete(share, ("a", "b"), scores=scores)
    predictor = fit(X, z)
    together = predictor.inner_ranking(X, z, np.ones(len(z)))
    for train, test in by_target(X):
        # The same kernel, the rows of one target less; features as they are beside all others.
        gram = covariance(predictor, X, X)
        expected = gram[np.ix_(test, train)] @ np.linalg.solve(
            gram[np.ix_(train, train)] + NOISE_VARIANCE * np.eye(len(train)), z[train]
        )
        np.testing.assert_allclose(together[test], expected, atol=1e-4)


def test_left_out_targets_equal_the_closed_form() -> None:
    """With P = (K + noise)⁻¹ a left-out target's mean is z − P_gg⁻¹ (Pz)_g (Rasmussen & Williams 2006, 5.4.2)."""
    X, z = incomplete(1.0, ("",))
    predictor = fit(X, z)
    together = predictor.inner_ranking(X, z, np.ones(len(z)))
    inverse = np.linalg.inv(covariance(predictor, X, X) + NOISE_VARIANCE * np.eye(len(z)))
    for _, test in by_target(X):
        block = inverse[np.ix_(test, test)]
        expected = z[test] - np.linalg.solve(block, (inverse @ z)[test])
        np.testing.assert_allclose(together[test], expected, atol=1e-4)


def test_many_targets_are_left_out_by_thirds(monkeypatch: pytest.MonkeyPatch) -> None:
    X, z = incomplete(1.0, ("",))
    predictor = fit(X, z)
    alone = predictor.inner_ranking(X, z, np.ones(len(z)))
    monkeypatch.setattr(gp, "MAX_LEFT_OUT_CELLS", 0)
    thirds = predictor.inner_ranking(X, z, np.ones(len(z)))
    assert 0.5 < np.corrcoef(alone, thirds)[0, 1] < 1 - 1e-6


def fixed_scores(monkeypatch: pytest.MonkeyPatch, X, z, variance: float):
    """The process with a given variance of the scores."""
    monkeypatch.setattr(gp, "score_variance", lambda *_: variance)
    return fit(X, z)


@pytest.mark.parametrize("settings", [("",), ("a", "b")])
def test_the_variance_of_the_scores_is_the_likeliest(
    settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, z = incomplete(0.8, settings, scores=True)
    found = fit(X, z)
    tried = {}
    for variance in SCORE_VARIANCES:
        predictor = fixed_scores(monkeypatch, X, z, float(variance))
        gram = covariance(predictor, X, X) + NOISE_VARIANCE * np.eye(len(z))
        tried[float(variance)] = float(z @ np.linalg.solve(gram, z) + np.linalg.slogdet(gram)[1])
    best = min(tried, key=tried.__getitem__)
    assert SCORE_VARIANCES[0] < best < SCORE_VARIANCES[-1]
    np.testing.assert_allclose(fixed_scores(monkeypatch, X, z, best).share_, found.share_)


def test_scores_count_by_what_they_tell() -> None:
    X, z = incomplete(1.0, ("",), scores=True)
    random = np.random.default_rng(0).normal(size=len(z))
    shares = []
    for score in (random, z):
        predictor = fit(X.assign(**{"pair.logme": score, "pair.leep": -score}), z)
        assert predictor.share_[0] == 1  # of pair.jsd
        shares.append(np.unique(predictor.share_[1:]))
    assert [len(share) for share in shares] == [1, 1]
    assert shares[1] > 3 * shares[0]


def test_the_variance_of_the_scores_is_theirs_however_many_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three scores one is unknown, so that p = 4 features of the pair hold r = 2 that vary."""
    X, z = incomplete(1.0, ("",), scores=True)
    share = fixed_scores(monkeypatch, X, z, 0.3).share_
    assert share[1:] ** 2 * outcome_prior.FEATURE_VARIANCE * 2 / 4 == pytest.approx(0.3)


def test_without_scores_all_features_of_the_pair_count_alike() -> None:
    X, z = incomplete(1.0, ("",))
    assert (fit(X, z).share_ == 1).all()
    assert (fit(X.assign(**{"pair.logme": 0.5}), z).share_ == 1).all()


def test_scores_alone_are_enough() -> None:
    X, z = incomplete(1.0, ("",), scores=True)
    alone = X[["setting", "source", "target", "pair.logme"]].copy()
    assert np.corrcoef(fit(alone, z).ranking(alone), z)[0, 1] > 0.5


def test_outcomes_that_are_not_there_have_no_likelihood() -> None:
    X, z = incomplete(1.0, ("",), scores=True)
    predictor = fit(X, z)
    prior = predictor._prior(X)
    without = OutcomePrior(prior.kappa, prior.kernel, np.zeros((prior.cells.shape[0], 0)))
    tensor = np.ones((1, 7, 7))
    found = score_variance(without, prior.cells, tensor, np.zeros((1, 7, 7)))
    assert found == SCORE_VARIANCES[0]


def test_conjugate_gradients_solve_several_systems() -> None:
    random = np.random.default_rng(0)
    root = random.normal(size=(3, 8, 8))
    matrices = root @ root.transpose(0, 2, 1) + np.eye(8)
    b = random.normal(size=(3, 8))
    b[1] = 0.0
    found = conjugate_gradients(lambda u: np.einsum("bij,bj->bi", matrices, u), b)
    np.testing.assert_allclose(found, np.linalg.solve(matrices, b[..., None])[..., 0], atol=1e-4)
