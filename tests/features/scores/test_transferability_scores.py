from __future__ import annotations

import numpy as np
import pytest

from transfer_meta.errors import InputError
from transfer_meta.features.scores import transferability_scores as module
from transfer_meta.features.scores.transferability_scores import (
    FEATURE_SCORES,
    LABEL_SCORES,
    transferability_scores,
)


def data(separation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], 30)
    return rng.normal(size=(90, 8)) + separation * np.eye(8)[labels], labels


def test_every_score_prefers_features_that_tell_the_classes_apart() -> None:
    good, labels = data(3.0)
    poor, _ = data(0.3, seed=1)
    sharp = np.eye(3)[labels] * 0.9 + 0.1 / 3
    flat = np.full((90, 3), 1 / 3)
    high, missing = transferability_scores(good, labels, source_probabilities=sharp)
    low, _ = transferability_scores(poor, labels, source_probabilities=flat)
    assert missing == {}
    assert set(high) == {*FEATURE_SCORES, *LABEL_SCORES}
    assert all(high[name] > low[name] for name in high)


def test_permuting_the_examples_or_renaming_the_classes_changes_nothing() -> None:
    features, labels = data(1.0)
    probabilities = np.random.default_rng(2).dirichlet(np.ones(4), size=90)
    order = np.random.default_rng(3).permutation(90)
    names = np.array(["zebra", "ant", "mole"])[labels]
    first, _ = transferability_scores(features, labels, source_probabilities=probabilities)
    second, _ = transferability_scores(
        features[order], names[order], source_probabilities=probabilities[order]
    )
    first.pop("linear_probe")  # its folds depend on the order
    assert first == pytest.approx({name: second[name] for name in first})


def test_a_regression_has_reasons_for_what_it_lacks() -> None:
    features, _ = data(1.0)
    scores, missing = transferability_scores(features, features[:, 0], regression=True)
    assert set(missing) == {"h_score", "h_score_shrunk", "transrate", "gbc", "leep", "nce"}
    assert all("regression" in reason for reason in missing.values())
    assert all(np.isnan(scores[name]) == (name in missing) for name in scores)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a"] * 90, "a single class"),
        ([0.0] * 89 + [np.nan], "NaN"),
        ([1, 2], "labels of shape"),
    ],
)
def test_bad_labels_are_reasons_and_not_tracebacks(labels: list, reason: str) -> None:
    features, _ = data(1.0)
    scores, missing = transferability_scores(
        features, labels, source_probabilities=np.full((90, 2), 0.5)
    )
    assert all(np.isnan(value) for value in scores.values())
    assert all(reason in text for text in missing.values())


@pytest.mark.parametrize("bad", [np.full((90, 8), np.nan), np.empty((90, 0)), np.ones(90)])
def test_bad_features(bad: np.ndarray) -> None:
    scores, missing = transferability_scores(bad, data(1.0)[1])
    assert set(missing) == {*FEATURE_SCORES, *LABEL_SCORES}
    assert all(np.isnan(value) for value in scores.values())


def test_constant_features_are_the_worst_and_do_not_crash() -> None:
    labels = np.repeat([0, 1], 10)
    scores, missing = transferability_scores(np.ones((20, 4)), labels)
    assert set(missing) == {"leep", "nce"}
    assert scores["h_score"] == scores["h_score_shrunk"] == scores["transrate"] == 0
    assert scores["gbc"] == -1
    assert scores["linear_probe"] == 0.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("kind", ["drawn", "constant", "a constant column", "repeated", "zero"])
def test_small_and_degenerate_data_give_a_number_or_a_reason(kind: str, regression: bool) -> None:
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-320, 1e-200, 1e-30, 1e30, 1e150, 1e300):
        for n in range(1, 7):
            features = rng.normal(size=(n, rng.integers(1, 9)))
            if kind == "constant":
                features[:] = features[0]
            elif kind == "a constant column":
                features[:, 0] = 0.1
            elif kind == "repeated":
                features = features[rng.integers(n, size=n)]
            elif kind == "zero":
                features[:] = 0.0
            labels = rng.normal(size=n) if regression else rng.integers(0, 3, size=n)
            chances = rng.dirichlet(np.ones(2), size=n)
            scores, missing = transferability_scores(
                features * scale, labels, regression=regression, source_probabilities=chances
            )
            assert {name for name, score in scores.items() if np.isnan(score)} == set(missing)
            assert all(np.isfinite(score) or name in missing for name, score in scores.items())
            assert not any("cannot be computed" in reason for reason in missing.values()), missing


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-200, 1e150, 0.0])
def test_regression_targets_out_of_range_are_reasons(scale: float) -> None:
    features, _ = data(1.0)
    scores, missing = transferability_scores(features, features[:, 0] * scale, regression=True)
    assert set(missing) == set(scores)


def test_a_numerical_failure_of_one_score_is_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(features: object, labels: object) -> float:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setitem(module.FEATURE_SCORES, "gbc", fail)
    monkeypatch.setitem(module.FEATURE_SCORES, "knn", lambda features, labels: np.inf)
    scores, missing = transferability_scores(*data(1.0))
    assert missing["gbc"] == "cannot be computed: Singular matrix"
    assert missing["knn"] == "it is not a finite number"
    assert np.isfinite(scores["logme"])
    assert np.isnan([scores["gbc"], scores["knn"]]).all()


def test_two_examples_leave_the_covariance_singular() -> None:
    with pytest.raises(InputError, match="the covariance of 2 examples is singular"):
        FEATURE_SCORES["h_score_shrunk"](np.eye(2, 8), ["a", "b"])


@pytest.mark.parametrize("name", sorted(FEATURE_SCORES))
def test_the_unit_of_the_features_does_not_matter(name: str) -> None:
    features, labels = data(1.0)
    score = FEATURE_SCORES[name](features, labels)
    assert FEATURE_SCORES[name](features * 2.0**500, labels) == pytest.approx(score, rel=1e-6)
    assert FEATURE_SCORES[name](features * 2.0**-500, labels) == pytest.approx(score, rel=1e-6)
