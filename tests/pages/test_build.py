from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.outcomes.tables import build_table
from transfer_meta.pages import Report, build, build_report
from transfer_meta.pages.build import SLOW_PREDICTORS, figure_of, reliability_points


def test_every_protocol_and_explanation_is_there(nasty_report: Report) -> None:
    assert [result.settings.protocol.name for result in nasty_report.benchmarks] == [
        "pairs-5fold",
        "leave-one-target-out",
        "leave-one-task-out",
        "leave-two-tasks-out",
    ]
    assert len(nasty_report.importances) == 5
    assert not set(nasty_report.skipped) & set(PROTOCOLS)
    assert len(nasty_report.importances["coefficients", "feature"]) == 6


def test_progress_rises_to_its_end(nasty_table) -> None:
    seen: list[tuple[int, int]] = []
    build_report(nasty_table, repeats=1, on_progress=lambda *at: seen.append(at))
    done = [at for at, _ in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][1]


def test_what_a_table_does_not_suffice_for_is_said() -> None:
    pairs = pd.DataFrame({"source": list("abc"), "target": list("bca"), "gain": [0.1, -0.2, 0.3]})
    report = build_report(build_table(pairs), repeats=1)
    assert [r.settings.protocol.name for r in report.benchmarks] == [
        "leave-one-target-out",
        "leave-one-task-out",
    ]
    assert "at least 5 pairs" in report.skipped["pairs-5fold"]
    assert "no features" in report.skipped["coefficients by feature"]
    assert not report.importances
    with pytest.raises(InputError, match="no protocol applies"):
        build_report(build_table(pairs.head(1)))


def test_figure_of_finds_a_row_or_none(nasty_report: Report) -> None:
    result = nasty_report.benchmarks[0]
    row = figure_of(result, "always-loss", "–", "accuracy")
    assert row is not None
    assert row["value"] == pytest.approx(1 - result.positive_rate)
    assert figure_of(result, "always-loss", "all", "accuracy") is None


def test_reliability_counts_every_repeat_of_every_pair(nasty_report: Report) -> None:
    result = nasty_report.benchmarks[0]
    points = reliability_points(result, "logistic", "all")
    assert points["n"].sum() == 2 * 20
    assert (points["observed"] * points["n"]).sum() == pytest.approx(2 * 20 * result.positive_rate)


def test_what_lacks_its_features_is_named_once(nasty_report: Report) -> None:
    assert "textemb" in nasty_report.skipped
    assert all(not result.skipped for result in nasty_report.benchmarks)


def test_what_is_slow_is_left_to_the_benchmark(nasty_report: Report) -> None:
    assert set(SLOW_PREDICTORS) <= set(nasty_report.skipped)
    assert not {p for p, _ in nasty_report.benchmarks[1].predictions} & set(SLOW_PREDICTORS)


def test_a_protocol_of_too_many_folds_is_left_to_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MAX_FOLDS", 4)
    random = np.random.default_rng(0)
    pairs = pd.DataFrame(permutations("abcd", 2), columns=["source", "target"])
    report = build_report(build_table(pairs.assign(gain=random.normal(size=12))), repeats=1)
    assert "6 folds, more than 4" in report.skipped["leave-two-tasks-out"]
    assert [r.settings.protocol.name for r in report.benchmarks][1:] == [
        "leave-one-target-out",
        "leave-one-task-out",
    ]


def test_scores_alone_are_reported_as_rankings() -> None:
    random = np.random.default_rng(1)
    pairs = pd.DataFrame(permutations("abcde", 2), columns=["source", "target"])
    report = build_report(build_table(pairs.assign(score=random.random(20))), repeats=1)
    assert "only ranking" in report.skipped["pairs-5fold"]
    assert {"accuracy", "auroc"}.isdisjoint(report.benchmarks[0].rows["metric"])
