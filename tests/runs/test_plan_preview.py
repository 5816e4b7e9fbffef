"""`plan`, `run`, `run_status` and `export`, from Python, with a tiny encoder."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from fake_training import make_tasks

import transfer_meta as tm
from transfer_meta.cli.app import main

pytest.importorskip("torch")

PLAN = {
    "tasks_folder": "tasks",
    "tasks": ["a", "b"],
    "grid": "all",
    "methods": ["intermediate"],
    "regimes": ["16-8"],
    "encoder": "random:1x8",
    "training": {"epochs": 1, "batch_size": 8, "dev_examples": 8},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tm.RunSummary]:
    """A folder with a finished plan, and what `run` said of it."""
    folder = tmp_path_factory.mktemp("api")
    make_tasks(folder / "tasks", "a b")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        before = tm.plan(PLAN)
        assert set(before.runs["status"]) == {"new"}
        assert not (folder / "runs.sqlite").exists()
        summary = tm.run(PLAN, tm.RunSettings(device="cpu"), tell=lines.append)
    assert any("on cpu" in line for line in lines)
    return folder, summary


@pytest.fixture
def here(finished: tuple[Path, tm.RunSummary], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished[0])
    return finished[0]


def test_run(finished: tuple[Path, tm.RunSummary]) -> None:
    summary = finished[1]
    assert (summary.counts, summary.left, summary.exit_code) == ({"done": 6}, 0, 0)
    assert summary.caption == "6 done, 0 failed, 0 skipped, 0 left"
    assert list(summary.to_frame()["method"]) == ["single", "intermediate", "all"]
    assert summary.to_dict()["exit_code"] == 0
    assert "<table" in summary._repr_html_()


def test_the_plan_afterwards(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preview = tm.plan(PLAN)
    assert preview.left == 0
    assert preview.to_dict()["runs"] == len(preview.runs) == 6
    assert preview.to_frame()["done"].sum() == 6
    (here / "plan.toml").write_text(
        'tasks_folder = "tasks"\ntasks = ["a", "b"]\ngrid = "all"\nmethods = ["intermediate"]\nregimes = ["16-8"]\n'
        'encoder = "random:1x8"\n[training]\nepochs = 1\nbatch_size = 8\ndev_examples = 8\n'
    )
    assert main(["runs", "plan", "plan.toml"]) == 0
    assert capsys.readouterr().out == f"{preview}\n"
    assert str(tm.plan("plan.toml")) == str(preview)


def test_status(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = tm.run_status()
    assert status.caption == "runs.sqlite: 6 done"
    assert main(["runs", "status"]) == 0
    assert capsys.readouterr().out == f"{status}\n"


def test_export(here: Path, tmp_path: Path) -> None:
    exported = tm.export(tm.ExportSettings(plan=PLAN))
    assert len(exported.to_frame()) == len(exported.to_dict()["outcomes"]) == 2
    assert exported.caption == "2 outcomes"
    assert len(exported.to_outcomes().pairs) == 2
    curves = exported.save(tmp_path / "o.csv")
    assert (len(pd.read_csv(tmp_path / "o.csv")), len(pd.read_parquet(curves))) == (
        2,
        len(exported.curves),
    )
    with pytest.raises(tm.InputError, match="expected a name that ends in"):
        exported.save(tmp_path / "o.xlsx")


def test_figures(here: Path, finished: tuple[Path, tm.RunSummary]) -> None:
    exported = tm.export()
    for result in (tm.plan(PLAN), tm.run_status(), finished[1], exported):
        _, given = plt.subplots()
        assert result.plot(given) is given
        assert result.plot().get_xlabel() in ("runs", "source")
        plt.close("all")
    labels = [text.get_text() for text in exported.plot().get_xticklabels()]
    assert sorted(labels) == ["a", "b"]
    plt.close("all")


def test_an_empty_store_has_no_outcomes_to_plot(tmp_path: Path) -> None:
    from transfer_meta.runs.store.run_store import Store

    Store(str(tmp_path / "empty.sqlite"), create=True).close()
    exported = tm.export(tm.ExportSettings(store=tmp_path / "empty.sqlite"))
    assert exported.caption == "0 outcomes"
    with pytest.raises(tm.InputError, match="no outcomes to plot"):
        exported.plot()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "rya"}, "did you mean 'ray'"),
        ({"engine": "ray", "workers": 2}, "--workers is an option of --engine local"),
        ({"engine": "ray", "device": "auto"}, "--device is an option of --engine local"),
        ({"address": "auto"}, "--address is an option of --engine ray"),
        ({"cpus_per_run": 1.0}, "--cpus-per-run is an option of --engine ray"),
        ({"engine": "ray", "gpus_per_run": -1}, "--gpus-per-run -1 (expected a positive number)"),
        ({"engine": "ray", "memory_per_run": 0}, "--memory-per-run 0 (expected a positive number)"),
        ({"limit_hours": 0}, "--limit-hours 0"),
        ({"max_runs": 0}, "--max-runs 0"),
    ],
)
def test_settings_without_effect_or_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(tm.InputError) as caught:
        tm.RunSettings(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("named", [None, "other.sqlite"])
def test_the_store_of_the_environment(
    named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if named:
        monkeypatch.setenv("TRANSFER_META_STORE", named)
    else:
        monkeypatch.delenv("TRANSFER_META_STORE", raising=False)
    with pytest.raises(tm.InputError, match=f"no store at '{named or 'runs.sqlite'}'"):
        tm.run_status()
