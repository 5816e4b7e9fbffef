from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from result_checks import check_escaped, check_result
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.evaluation.splits import pairs_5fold
from transfer_meta.feature_importance import (
    IMPORTANCE_COLUMNS,
    ImportanceSettings,
    feature_importance,
    importance,
)
from transfer_meta.metadataset import MetaDataset, build_metadataset
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.predictors import make_predictor
from transfer_meta.results import plain_values

NAME = "bingel-soegaard-2017"


@pytest.fixture(scope="module")
def published() -> MetaDataset:
    return build_metadataset(load_outcomes("bingel-soegaard-2017"))


@pytest.fixture(scope="module")
def planted() -> MetaDataset:
    """72 pairs whose gain is the sign of the target's slope; two features are noise."""
    random = np.random.default_rng(0)
    names = [f"task{i}" for i in range(9)]
    slope = dict(zip(names, np.linspace(-1, 1, 9), strict=True))
    pairs = pd.DataFrame(permutations(names, 2), columns=["source", "target"])
    pairs["gain"] = [slope[t] + random.normal(0, 0.1) for t in pairs["target"]]
    tasks = pd.DataFrame({"task": names, "grad_10": slope.values(), "size": random.random(9)})
    tasks["n_labels"] = random.random(9)
    return build_metadataset(build_table(pairs, tasks=tasks))


def test_the_papers_first_three_coefficients(published: MetaDataset) -> None:
    table = feature_importance(published, make_predictor("logistic"))
    assert list(table.columns) == list(IMPORTANCE_COLUMNS)
    assert len(table) == 42
    first = table.head(3)
    assert list(zip(first["role"], first["feature"], np.sign(first["value"]), strict=True)) == [
        ("target", "grad_30", -1),
        ("target", "grad_20", -1),
        ("target", "curve_c_published_fit", 1),
    ]
    assert (first["value"].abs() > 2 * first["std"]).all()
    assert (np.diff(table["value"].abs()) <= 0).all()


def test_coefficients_equal_liblinear_over_the_same_splits(published: MetaDataset) -> None:
    # LIBLINEAR penalises the intercept as well, and so does the package's solver.
    fitted = []
    X = published.X[published.features["column"]].to_numpy()
    for repeat in range(5):
        train = np.sort(np.random.default_rng([3, repeat]).permutation(90)[18:])
        model = make_pipeline(
            MinMaxScaler(), LogisticRegression(solver="liblinear", tol=1e-10, max_iter=10_000)
        )
        fitted.append(model.fit(X[train], published.helped[train])[-1].coef_[0])
    expected = published.features.assign(
        value=np.mean(fitted, axis=0), std=np.std(fitted, axis=0, ddof=1)
    )
    got = feature_importance(published, make_predictor("logistic"), repeats=5, seed=3)
    both = got.merge(expected, on=["feature", "role", "group"], suffixes=("", "_expected"))
    assert len(both) == 42
    np.testing.assert_allclose(both["value"], both["value_expected"], atol=1e-4)
    np.testing.assert_allclose(both["std"], both["std_expected"], atol=1e-4)


def test_permutation_equals_a_loop(planted: MetaDataset) -> None:
    predictor = make_predictor("logistic")
    got = feature_importance(planted, predictor, method="permutation", repeats=2, seed=1)
    got = got.set_index(["role", "feature"])
    lost = {column: [] for column in planted.features["column"]}
    for repeat in range(2):
        others = np.random.default_rng([1, repeat, 1]).permutation(len(planted.helped))
        folds = list(pairs_5fold(planted.source, planted.target, seed=1, repeat=repeat))

        def area(X: pd.DataFrame, folds=folds) -> float:
            probability = np.empty(len(X))
            for train, test in folds:
                model = make_predictor("logistic").fit(planted.X.iloc[train], planted.value[train])
                probability[test] = model.predict_proba(X.iloc[test])[:, 1]
            return roc_auc_score(planted.helped, probability)

        intact = area(planted.X)
        for column in lost:
            permuted = planted.X.copy()
            permuted[column] = permuted[column].to_numpy()[others]
            lost[column].append(intact - area(permuted))
    for row in planted.features.itertuples():
        assert got.loc[(row.role, row.feature), "value"] == pytest.approx(np.mean(lost[row.column]))


@pytest.mark.parametrize(("method", "predictor"), [("permutation", "logistic"), ("shap", "lightgbm")])
def test_a_planted_feature_comes_first(planted: MetaDataset, method: str, predictor: str) -> None:
    estimator = make_predictor(predictor)
    first = feature_importance(planted, estimator, method=method, repeats=2).iloc[0]
    assert (first["role"], first["feature"], first["group"]) == ("target", "grad_10", "curve")
    by_role = feature_importance(planted, estimator, method=method, by="role", repeats=2)
    assert by_role.loc[0, ["feature", "role", "group"]].tolist() == ["*", "target", "*"]
    assert set(by_role["role"]) == {"target", "source", "ratio"}
    by_group = feature_importance(planted, estimator, method=method, by="group", repeats=2)
    assert by_group["group"].tolist() == ["curve", "data"]


def test_grouped_coefficients_are_sums_of_absolute_ones(planted: MetaDataset) -> None:
    logistic = make_predictor("logistic")
    single = feature_importance(planted, logistic, repeats=1)
    by_role = feature_importance(planted, logistic, by="role", repeats=1).set_index("role")["value"]
    expected = single.assign(value=single["value"].abs()).groupby("role")["value"].sum()
    pd.testing.assert_series_equal(by_role.sort_index(), expected.sort_index())


def test_shap_values_add_up_to_the_raw_prediction(planted: MetaDataset) -> None:
    """With all features in one block, |Σ SHAP| is |raw − expected value|, fold by fold."""
    alone = build_metadataset(
        build_table(
            pd.DataFrame({"source": planted.source, "target": planted.target, "gain": planted.value}),
            tasks=pd.DataFrame({"task": np.unique(planted.target), "size": np.arange(9.0) ** 2}),
        ),
        features="target",
    )
    got = feature_importance(
        alone, make_predictor("lightgbm"), method="shap", by="role", repeats=1, seed=2
    )
    raw = []
    for train, test in pairs_5fold(alone.source, alone.target, seed=2):
        model = make_predictor("lightgbm").fit(alone.X.iloc[train], alone.value[train])
        matrix = alone.X.iloc[test][["target.size"]].to_numpy()
        expected = model.booster_.predict(matrix, pred_contrib=True)[:, -1]
        raw.append(np.abs(model.booster_.predict(matrix, raw_score=True) - expected))
    assert got["value"].tolist() == pytest.approx([np.concatenate(raw).mean()])


def test_same_seed_same_numbers_and_the_predictor_is_left_alone(planted: MetaDataset) -> None:
    predictor = make_predictor("lightgbm")
    one = feature_importance(planted, predictor, method="shap", repeats=1, seed=5)
    pd.testing.assert_frame_equal(
        one, feature_importance(planted, predictor, method="shap", repeats=1, seed=5)
    )
    assert not hasattr(predictor, "booster_")
    assert not one.equals(feature_importance(planted, predictor, method="shap", repeats=1, seed=6))
    assert one["std"].isna().all()


def test_tuned_trees_have_shap_values(planted: MetaDataset) -> None:
    tuned = make_predictor("lightgbm-tuned").set_params(n_trials=1)
    table = feature_importance(planted, tuned, method="shap", repeats=1)
    assert table.loc[0, "feature"] == "grad_10"


@pytest.mark.parametrize(
    ("predictor", "settings", "message"),
    [
        ("logistic", {"method": "shapp"}, "unknown method 'shapp'.*did you mean 'shap'"),
        ("logistic", {"by": "roles"}, "unknown level 'roles'.*did you mean 'role'"),
        ("lightgbm", {}, "has no coefficients"),
        ("logistic", {"method": "shap"}, "has no trees"),
        ("target-identity", {"method": "permutation"}, "uses no features"),
        ("logistic", {"repeats": 0}, "repeats must be at least 1, got 0"),
    ],
)
def test_what_does_not_apply(
    planted: MetaDataset, predictor: str, settings: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        feature_importance(planted, make_predictor(predictor), **settings)


def test_tables_that_do_not_suffice() -> None:
    pairs = pd.DataFrame({"source": list("abc"), "target": list("bca"), "gain": [0.1, 0.2, 0.3]})
    logistic = make_predictor("logistic")
    with pytest.raises(InputError, match="one class only"):
        feature_importance(build_metadataset(build_table(pairs)), logistic)
    with pytest.raises(InputError, match="no features"):
        feature_importance(
            build_metadataset(build_table(pairs.assign(gain=[0.1, -0.2, 0.3]))), logistic
        )
    scores = pairs.rename(columns={"gain": "score"})
    with pytest.raises(InputError, match="scores without baselines"):
        feature_importance(build_metadataset(build_table(scores)), logistic)


@pytest.mark.parametrize(
    "settings",
    [{"repeats": 2}, {"repeats": 2, "top": 3}, {"method": "permutation", "by": "role", "repeats": 1},
     {"method": "shap", "by": "group", "repeats": 1}],
)  # fmt: skip
def test_the_command_prints_the_result(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = importance(NAME, ImportanceSettings(**settings))
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    assert main(["importance", NAME, *options]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main(["importance", NAME, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plain_values(found.to_dict())
    check_result(found, IMPORTANCE_COLUMNS)
    assert len(found.to_frame()) == settings.get("top", len(found.rows))


def test_names_of_features_are_escaped() -> None:
    table = load_outcomes(NAME)
    tasks = table.tasks[["size", "oov_rate"]].rename(columns={"size": "<b>$x$"})
    found = importance(replace(table, tasks=tasks, feature_sets={}), ImportanceSettings(repeats=1))
    check_result(found, IMPORTANCE_COLUMNS)
    check_escaped(found, "<b>$x$")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"method": "shapley"}, "unknown method"), ({"by": "task"}, "unknown level"), ({"top": 0}, "top must be"),
     ({"predictor": "logisitc"}, "did you mean 'logistic'"), ({"seed": -1}, "seed must be")],
)  # fmt: skip
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImportanceSettings(**settings)
