from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from result_checks import check_escaped, check_result, fresh_axes
from scipy.stats import spearmanr
from sklearn.model_selection import KFold

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.evaluation.benchmark import BenchmarkResult, BenchmarkSettings, benchmark
from transfer_meta.evaluation.bootstrap import bootstrap_over_targets
from transfer_meta.evaluation.comparisons import compare
from transfer_meta.evaluation.metric_rows import target_values
from transfer_meta.evaluation.metrics import METRICS
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.gain_definition import GAIN_DEFINITIONS, apply_gain_definition
from transfer_meta.outcomes.tables import OutcomeTable, build_table, load_outcomes
from transfer_meta.predictors import OF_SETS, UNTUNED
from transfer_meta.results import plain_values

TABLE = load_outcomes("bingel-soegaard-2017")


@pytest.fixture(scope="module")
def paper() -> pd.DataFrame:
    """Accuracy and F1 under the paper's protocol, all 100 repeats."""
    settings = BenchmarkSettings(
        protocol="pairs-5fold",
        predictors=(
            "always-gain",
            "always-loss",
            "logistic",
            "logistic-rfe-optimistic",
            "target-gain-rate",
            "random-fingerprints",
        ),
        metrics=("accuracy", "f1"),
    )
    return benchmark(TABLE, settings).table()


@pytest.mark.parametrize(
    ("predictor", "features", "accuracy", "f1", "tolerance"),
    [
        ("logistic", "all", 0.749, 0.669, 0.015),
        ("logistic", "all-refit", 0.721, 0.642, 0.015),
        ("logistic", "data", 0.665, 0.542, 0.02),
        ("logistic-rfe-optimistic", "all", 0.785, 0.713, 0.015),
        ("target-gain-rate", "–", 0.798, 0.757, 0.02),
        ("random-fingerprints", "–", 0.75, 0.70, 0.025),
    ],
)
def test_the_published_figures(
    paper: pd.DataFrame, predictor: str, features: str, accuracy: float, f1: float, tolerance: float
) -> None:
    row = paper.loc[(predictor, features)]
    assert row["accuracy"] == pytest.approx(accuracy, abs=tolerance)
    assert row["f1"] == pytest.approx(f1, abs=tolerance)


def test_the_majority_baselines(paper: pd.DataFrame) -> None:
    assert paper.loc[("always-gain", "–"), "f1"] == pytest.approx(0.615, abs=5e-4)
    assert paper.loc[("always-loss", "–"), "accuracy"] == pytest.approx(0.5556, abs=5e-4)


def test_the_number_of_workers_changes_nothing() -> None:
    chosen = ("random", "random-fingerprints", "logistic", "logistic-rfe", "lightgbm")
    settings = {"protocol": "pairs-5fold", "predictors": chosen, "repeats": 2, "seed": 7}
    one, two = (benchmark(TABLE, BenchmarkSettings(workers=n, **settings)).rows for n in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_another_seed_gives_other_folds() -> None:
    def run(seed: int) -> float:
        settings = BenchmarkSettings(
            protocol="pairs-5fold", predictors=("logistic",), features=("all",), repeats=1, seed=seed
        )
        return benchmark(TABLE, settings).table()["brier"].iloc[0]

    assert run(0) != run(1)


def test_it_agrees_with_a_plain_loop() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    from transfer_meta.predictors import make_predictor

    data = build_metadataset(TABLE)
    matrix = data.X.iloc[:, 3:].to_numpy()
    folds = list(KFold(5, shuffle=True, random_state=0).split(matrix))
    batched = make_predictor("logistic").predict_folds(data.X, data.value, folds)
    for (train, test), prediction in zip(folds, batched, strict=True):
        plain = make_pipeline(
            MinMaxScaler(), LogisticRegression(solver="liblinear", tol=1e-10, max_iter=10_000)
        ).fit(matrix[train], data.helped[train])
        np.testing.assert_allclose(
            prediction.probability, plain.predict_proba(matrix[test])[:, 1], atol=1e-4
        )


STRICT = ("leave-one-target-out", "leave-one-task-out", "leave-two-tasks-out")
# What knows nothing of the tasks but their names, or compares one number of them.
CONTROLS = (
    "always-gain", "always-loss", "random", "random-fingerprints", "target-identity", "target-gain-rate",
    "source-popularity", "size-rule",
)  # fmt: skip


@cache
def strict(protocol: str) -> BenchmarkResult:
    return benchmark(TABLE, BenchmarkSettings(protocol=protocol, repeats=3))


@pytest.mark.parametrize("protocol", STRICT[:2])
def test_every_figure_has_a_spread_and_survives_json(protocol: str) -> None:
    check_figures(strict(protocol), set(UNTUNED))


def test_left_out_pairs_of_tasks_have_figures_too() -> None:
    """It has 45 folds, so only with predictors of each kind."""
    few = ("always-gain", "source-popularity", "logistic", "ridge", "lightgbm")
    check_figures(benchmark(TABLE, BenchmarkSettings(protocol=STRICT[2], predictors=few)), set(few))


def check_figures(result: BenchmarkResult, predictors: set[str]) -> None:
    document = json.loads(json.dumps(plain_values(result.to_dict()), allow_nan=False))
    assert set(document) >= {
        "version", "dataset", "protocol", "repeats", "seed", "n_pairs", "n_targets", "positive_rate",
        "seconds", "rows", "ceiling", "calibration", "reliability", "coverage", "decisions", "comparisons",
    }  # fmt: skip
    assert document["n_pairs"] == 90
    assert {row["predictor"] for row in document["rows"]} == predictors - document["skipped"].keys()
    for row in result.rows.itertuples():
        if not np.isnan(row.value):
            spread = [row.std, row.ci_low, row.ci_high]
            assert not np.isnan(spread).all(), row
        if not np.isnan(row.ci_low):
            assert row.ci_low <= row.ci_high


@pytest.mark.parametrize("protocol", STRICT[:2])
@pytest.mark.parametrize("metric", ["spearman", "ndcg", "auroc_within_target", "regret@1", "regret@3"])
def test_the_negative_result_within_targets(protocol: str, metric: str) -> None:
    """With a target or a task left out, nothing learned ranks sources better than the best control."""
    result, higher = strict(protocol), METRICS[metric].higher_is_better
    by_target = {
        key: target_values(result.truth, prediction, metric, targets=TABLE.pairs["target"])
        for key, prediction in result.predictions.items()
    }
    means = result.table()[metric].dropna()
    means = means[means.index.get_level_values("predictor").isin(CONTROLS)]
    best = means.idxmax() if higher else means.idxmin()
    compared = compare(by_target, higher_is_better=higher)
    for row in compared.itertuples():
        ends = {(row.predictor, row.features): "better", (row.other, row.other_features): "worse"}
        for key, verdict in ends.items():
            if best in ends and key[0] not in CONTROLS:
                assert row.verdict != verdict, row


@pytest.mark.parametrize("protocol", STRICT[:2])
@pytest.mark.parametrize("metric", ["accuracy", "f1", "brier"])
def test_the_negative_result_over_all_pairs(protocol: str, metric: str) -> None:
    """With a target or a task left out, every interval reaches down to the best control."""
    rows = strict(protocol).rows
    rows = rows[rows["metric"] == metric]
    controls = rows["predictor"].isin(CONTROLS)
    learned = rows[~controls]
    assert len(learned) > 10
    if METRICS[metric].higher_is_better:
        assert (learned["ci_low"] <= rows[controls]["value"].max()).all()
    else:
        assert (learned["ci_high"] >= rows[controls]["value"].min()).all()


def test_intervals_cover_as_often_as_promised() -> None:
    coverage = strict("leave-one-target-out").coverage
    assert coverage["covered"].between(0.85, 0.95).all()
    assert (coverage["n"] == 10).all()


def test_calibration_is_in_the_table_of_figures_too() -> None:
    result = strict("leave-one-target-out")
    by_key = result.calibration.set_index(["predictor", "features"])
    assert result.table()["ece"].to_numpy() == pytest.approx(by_key["ece"].to_numpy())
    assert by_key.loc[("always-gain", "–"), "ece"] == pytest.approx(50 / 90)
    assert by_key.loc[("always-gain", "–"), "ece_if_calibrated"] == 0
    points = result.reliability.groupby(["predictor", "features"])["n"].sum()
    assert points[("default", "all")] == 90


def test_decisions_of_the_popular_source_are_the_reference() -> None:
    decisions = strict("leave-one-target-out").decisions.set_index("predictor")
    assert decisions.loc["always-best-popular", "gain"] == decisions.loc["source-popularity", "always"]
    assert decisions.loc["never-transfer", "gain"] == 0
    assert (decisions["gain"] <= decisions.loc["oracle", "gain"] + 1e-12).all()


def test_a_shuffled_protocol_has_neither_decisions_nor_comparisons_unless_asked() -> None:
    settings = {"protocol": "pairs-5fold", "predictors": ("always-gain", "logistic"), "repeats": 2}
    result = benchmark(TABLE, BenchmarkSettings(**settings, features=("all",)))
    assert result.decisions.empty
    assert result.coverage.empty
    assert result.comparisons.empty
    assert len(result.calibration) == 2
    asked = benchmark(TABLE, BenchmarkSettings(**settings, compare="ndcg"))
    assert asked.settings.compared == "ndcg"
    assert len(asked.comparisons) > 0


def test_the_metric_of_comparison_follows_what_is_asked_for() -> None:
    assert BenchmarkSettings().compared == "spearman"
    assert BenchmarkSettings(metrics=("accuracy", "ndcg")).compared == "ndcg"
    assert BenchmarkSettings(metrics=("accuracy",)).compared is None


def test_a_table_without_features_still_has_its_baselines() -> None:
    table = build_table(TABLE.pairs[["source", "target", "gain"]])
    result = benchmark(table, BenchmarkSettings(repeats=2))
    assert {"logistic", "size-rule", "lightgbm"} <= set(result.skipped)
    assert "source-popularity" in set(result.rows["predictor"])
    with pytest.raises(InputError, match="'logistic' cannot be used"):
        benchmark(table, BenchmarkSettings(predictors=("logistic",)))


def test_scores_alone_are_ranked() -> None:
    frame = TABLE.pairs[["source", "target", "score"]]
    result = benchmark(
        build_table(frame, tasks=TABLE.tasks.reset_index()), BenchmarkSettings(repeats=2)
    )
    assert "spearman" in set(result.rows["metric"])
    assert "accuracy" not in set(result.rows["metric"])
    assert result.decisions.empty
    assert result.coverage.empty
    assert result.calibration.empty
    assert len(result.comparisons) > 0
    with pytest.raises(InputError, match="only ranking"):
        benchmark(build_table(frame), BenchmarkSettings(protocol="pairs-5fold"))


def test_one_class_only() -> None:
    gains = TABLE.pairs[TABLE.pairs["gain"] > 0][["source", "target", "gain"]]
    with pytest.raises(InputError, match="all 40 pairs .* are gains"):
        benchmark(build_table(gains))


def test_one_target_only() -> None:
    one = pd.DataFrame({"source": ["a", "b"], "target": ["t", "t"], "gain": [0.1, -0.1]})
    with pytest.raises(InputError, match="at least two targets"):
        benchmark(build_table(one), BenchmarkSettings(predictors=("random",)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "leave-one-targets-out"}, "did you mean 'leave-one-target-out'"),
        ({"predictors": ("logistics",)}, "did you mean 'logistic'"),
        ({"metrics": ("f-1",)}, "unknown metric"),
        ({"compare": "spearmen"}, "did you mean 'spearman'"),
        ({"compare": "accuracy"}, "target by target: expected one of auroc_within_target"),
        ({"repeats": 0}, "repeats must be"),
        ({"seed": -1}, "seed must"),
        ({"workers": 0}, "workers must"),
        ({"gain_definition": "taskshpo"}, "did you mean 'taskshop'"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BenchmarkSettings(**settings)


def several_settings() -> OutcomeTable:
    random = np.random.default_rng(0)
    rows = [
        (m, s, t, seed, 0.05 * random.normal())
        for m in ("x", "y", "z")
        for t in "abcde"
        for s in "abcde"
        if s != t
        for seed in (1, 2)
    ]
    return build_table(pd.DataFrame(rows, columns=["model", "source", "target", "seed", "gain"]))


def test_another_truth_is_learned_and_scored() -> None:
    settings = BenchmarkSettings(predictors=("source-popularity",), gain_definition="taskshop")
    by_option = benchmark(several_settings(), settings)
    by_hand = benchmark(
        apply_gain_definition(several_settings(), GAIN_DEFINITIONS["taskshop"]),
        BenchmarkSettings(predictors=("source-popularity",)),
    )
    pd.testing.assert_frame_equal(by_option.rows, by_hand.rows)
    pd.testing.assert_frame_equal(by_option.ceiling, by_hand.ceiling)
    assert not by_option.rows.equals(
        benchmark(
            several_settings(), replace(settings, gain_definition=GAIN_DEFINITIONS["mean-gain"])
        ).rows
    )
    with pytest.raises(InputError, match="needs gains"):
        benchmark(load_outcomes("talmor-berant-2019"), settings)


def test_settings_of_a_target_are_no_independent_draws() -> None:
    result = benchmark(
        several_settings(),
        BenchmarkSettings(predictors=("source-popularity",), metrics=("spearman", "brier")),
    )
    row = result.rows.set_index("metric").loc["spearman"]
    # Five targets, not fifteen (target, setting).
    assert row["n"] == 5
    truth, ranking = result.truth, result.predictions["source-popularity", "–"].ranking[0]
    by_group = {
        g: spearmanr(truth.gain[truth.target == g], ranking[truth.target == g]).statistic
        for g in np.unique(truth.target)
    }
    assert row["value"] == pytest.approx(np.mean(list(by_group.values())))
    # All targets have three settings: the mean of a target's stands for them.
    by_target = pd.Series(by_group).groupby(lambda g: g.split(" | ")[0]).mean()
    interval = bootstrap_over_targets(by_target.to_numpy(), seed=0)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(interval)
    assert (result.ceiling["n"] == 5).all()
    assert set(result.ceiling["metric"]) == {"spearman"}


SHOWN = {"predictors": ("source-popularity", "ridge", "random"), "repeats": 2}
LOO_COLUMNS = [
    "predictor", "features",
    *(f"{metric}{end}" for metric in ("spearman", "regret@1") for end in ("", "_low", "_high", "_std")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({}, []),
        (
            {"metrics": ("spearman", "regret@1"), "compare": "ndcg"},
            ["--metrics", "spearman,regret@1", "--compare", "ndcg"],
        ),
        ({"protocol": "pairs-5fold"}, ["--protocol", "pairs-5fold"]),
        (
            {"features": "groups", "predictors": ("ridge", "random")},
            ["--features", "groups", "--predictors", "ridge,random"],
        ),
    ],
)
def test_the_command_prints_the_result(
    more: dict[str, object], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = benchmark(TABLE.name, BenchmarkSettings(**SHOWN | more))
    command = ["benchmark", TABLE.name, "--predictors", ",".join(SHOWN["predictors"]), "--repeats", "2"]
    assert main([*command, *options]) == 0
    out = capsys.readouterr().out
    assert re.sub(r"\d+\.\d s\n", "", out) == re.sub(r"\d+\.\d s\n", "", f"{found}\n")
    assert main([*command, *options, "--json"]) == 0
    seconds = {"seconds": None}
    assert json.loads(capsys.readouterr().out) | seconds == plain_values(found.to_dict()) | seconds


def test_a_benchmark_is_a_result() -> None:
    found = benchmark(TABLE, BenchmarkSettings(**SHOWN, metrics=("spearman", "regret@1")))
    check_result(found, LOO_COLUMNS)
    frame, rows = found.to_frame(), found.rows.set_index(["predictor", "metric"])
    assert (
        frame["regret@1_low"].tolist()
        == rows["ci_low"].unstack()["regret@1"][frame["predictor"]].tolist()
    )
    with fresh_axes() as axes:
        # Of a regret, the lowest is the best.
        best = [text.get_text() for text in found.plot(axes, metric="regret@1").get_yticklabels()]
    assert best == list(frame.sort_values("regret@1", kind="stable")["predictor"])
    with pytest.raises(InputError, match="did you mean 'regret@1'"):
        found.plot(metric="regret@2")


def test_names_are_escaped() -> None:
    frame = TABLE.pairs[["source", "target", "gain"]].assign(**{"<b>$x$": np.linspace(-1, 1, 90)})
    table = replace(build_table(frame), name="<b>$t$")
    found = benchmark(table, BenchmarkSettings(predictors="ridge", features=["<b>.x", "all"]))
    check_result(found, list(found.to_frame()))
    check_escaped(found, "<b>$t$")
    assert "<b>.x" not in found._repr_html_()


def test_a_data_frame_is_a_table() -> None:
    settings = BenchmarkSettings(predictors="source-popularity", metrics="spearman")
    given = TABLE.pairs[["source", "target", "gain"]]
    assert benchmark(given, settings).rows.equals(benchmark(TABLE, settings).rows)
    with pytest.raises(InputError, match="missing column 'target'"):
        benchmark(given.drop(columns="target"))


def test_predictors_of_sets_are_run_on_tables_with_sets_alone() -> None:
    sets = load_outcomes("taskweb-sets")
    settings = BenchmarkSettings(metrics=("spearman",), repeats=1)
    few = replace(
        sets, pairs=sets.pairs[sets.pairs["target"].isin(["rte", "copa", "wsc"])].reset_index(drop=True)
    )
    asked = settings.chosen_predictors(with_sets=True)
    assert set(asked) - set(settings.chosen_predictors(with_sets=False)) == set(OF_SETS)
    result = benchmark(few, replace(settings, predictors=OF_SETS, protocol="leave-set-out"))
    assert set(result.rows["predictor"]) == set(OF_SETS)
    unasked = benchmark(few, replace(settings, protocol="leave-one-target-out"))
    assert set(OF_SETS) <= set(unasked.rows["predictor"])
    assert not set(OF_SETS) & set(strict("leave-one-target-out").rows["predictor"])


@pytest.mark.parametrize("name", ["set-sum", "set-ridge"])
def test_a_predictor_of_sets_named_for_single_sources_is_refused_in_a_line(name: str) -> None:
    with pytest.raises(InputError, match=f"predictor '{name}' cannot be used: this .* needs .*set_sum"):
        benchmark(TABLE, BenchmarkSettings(predictors=name))


def test_sets_without_features_are_skipped_with_the_reason() -> None:
    rows = [
        (s, t, g) for t in "tuv" for s, g in (("a+b", 0.1), ("b>c", -0.2), ("a", 0.05), ("c", -0.1))
    ]
    table = build_table(pd.DataFrame(rows, columns=["source", "target", "gain"]))
    result = benchmark(table, BenchmarkSettings(metrics=("spearman",), repeats=1))
    assert set(OF_SETS) <= set(result.skipped)
    assert "set_sum" in result.skipped["set-sum"]
