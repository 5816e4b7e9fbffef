from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from result_checks import check_escaped, check_result

from transfer_meta.errors import InputError
from transfer_meta.evaluation.splits import PROTOCOLS
from transfer_meta.outcomes.shipped import shipped_tables
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.pages import Report, ReportSettings, build, report
from transfer_meta.pages.build import SLOW_PREDICTORS, logged_curves, task_space
from transfer_meta.pages.protocol_section import figure_of
from transfer_meta.pages.reliability_section import reliability_points


def test_every_protocol_and_explanation_is_there(nasty_report: Report) -> None:
    assert [result.settings.protocol.name for result in nasty_report.benchmarks] == [
        "pairs-5fold",
        "leave-one-target-out",
        "leave-one-task-out",
        "leave-one-source-out",
        "leave-two-tasks-out",
    ]
    assert len(nasty_report.importances) == 5
    assert not set(nasty_report.skipped) & set(PROTOCOLS)
    assert len(nasty_report.importances["coefficients", "feature"]) == 6


def test_progress_rises_to_its_end(nasty_table) -> None:
    seen: list[tuple[int, int]] = []
    report(nasty_table, ReportSettings(repeats=1), on_progress=lambda *at: seen.append(at))
    done = [at for at, _ in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][1]


def test_what_a_table_does_not_suffice_for_is_said() -> None:
    pairs = pd.DataFrame({"source": list("abc"), "target": list("bca"), "gain": [0.1, -0.2, 0.3]})
    found = report(build_table(pairs), ReportSettings(repeats=1))
    assert [r.settings.protocol.name for r in found.benchmarks] == [
        "leave-one-target-out",
        "leave-one-task-out",
        "leave-one-source-out",
    ]
    assert "at least 5 pairs" in found.skipped["pairs-5fold"]
    assert "no features" in found.skipped["coefficients by feature"]
    assert not found.importances
    with pytest.raises(InputError, match="no protocol applies"):
        report(build_table(pairs.head(1)))


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
    found = report(build_table(pairs.assign(gain=random.normal(size=12))), ReportSettings(repeats=1))
    assert "6 folds, more than 4" in found.skipped["leave-two-tasks-out"]
    assert [r.settings.protocol.name for r in found.benchmarks][1:] == [
        "leave-one-target-out",
        "leave-one-task-out",
        "leave-one-source-out",
    ]


def test_scores_alone_are_reported_as_rankings() -> None:
    random = np.random.default_rng(1)
    pairs = pd.DataFrame(permutations("abcde", 2), columns=["source", "target"])
    found = report(build_table(pairs.assign(score=random.random(20))), ReportSettings(repeats=1))
    assert "only ranking" in found.skipped["pairs-5fold"]
    assert {"accuracy", "auroc"}.isdisjoint(found.benchmarks[0].rows["metric"])


def test_a_report_is_a_result(nasty_report: Report) -> None:
    metrics = ("accuracy", "f1", "auroc_within_target", "spearman")
    frame = nasty_report.to_frame()
    assert set(metrics) < set(frame)
    check_result(nasty_report, list(frame))
    assert list(frame["protocol"].unique()) == [p.name for p in PROTOCOLS.values() if not p.is_of_sets]
    check_escaped(nasty_report, "<i>table</i>")
    assert "10 largest" not in str(nasty_report)
    assert "6 largest coefficients" in str(nasty_report)
    assert list(nasty_report.to_dict()) == ["dataset", "benchmarks", "importances", "skipped", "notes"]


def test_the_page_is_written_where_it_is_to_be(nasty_table, tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    found = report(nasty_table, ReportSettings(repeats=1), out=path)
    assert path.read_text(encoding="utf-8") == found.to_html()
    (tmp_path / "file").touch()
    seen: list[int] = []
    for out, message in ((tmp_path, "it is a folder"), (tmp_path / "file" / "p.html", "cannot write")):
        with pytest.raises(InputError, match=message):
            report(nasty_table, out=out, on_progress=lambda *_: seen.append(1))
    assert not seen


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"repeats": 0}, "repeats must be at least 1"), ({"workers": 0}, "workers must be at least 1")],
)
def test_settings_are_checked(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReportSettings(**settings)


def test_curves_are_those_given_or_those_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("source,target,gain\nw,x,0.1\nx,w,-0.1\n")
    table = load_outcomes(tmp_path / "runs.csv")
    assert logged_curves(table) is None
    beside, other = tmp_path / "runs.curves.csv", tmp_path / "other.csv"
    header = "task,method,seed,split,step,loss,score\n"
    beside.write_text(header + "w,single,0,train,1,0.5,\nw,single,0,dev,1,,0.4\n")
    other.write_text(header + "x,single,0,train,1,0.7,\n")
    for given, task, loss in ((None, "w", 0.5), (other, "x", 0.7)):
        found = logged_curves(table, given)
        assert found is not None
        assert found[["task", "loss"]].to_numpy().tolist() == [[task, loss]]
    assert logged_curves(load_outcomes("talmor-berant-2019")) is None
    assert logged_curves(build_table(table.pairs)) is None


def test_a_shipped_table_brings_its_vectors() -> None:
    table = load_outcomes("minilm-grid")
    vectors, types = task_space(table)
    assert vectors.keys() == types.keys() == set(shipped_tables()["minilm-grid"].vectors)
    assert types["atis_slots"] == "token-classification"
    assert task_space(load_outcomes("bingel-soegaard-2017")) == ({}, {})
    assert task_space(replace(table, file=None)) == ({}, {})
