from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_training import make_tasks

from transfer_meta.cli.app import main
from transfer_meta.outcomes.tables import load_outcomes

pytest.importorskip("torch")

PLAN = """
tasks_folder = "tasks"
tasks = ["a", "b"]
grid = "all"
methods = ["intermediate", "multitask"]
regimes = ["16-8"]
encoder = "random:1x8"
[training]
epochs = 1
batch_size = 8
dev_examples = 8
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan that has been run, by real training of a tiny encoder, and one failed run."""
    folder = tmp_path_factory.mktemp("finished")
    make_tasks(folder / "tasks", "a b")
    (folder / "plan.toml").write_text(PLAN)
    # The first step leaves weights with which the loss of the second is not a number.
    (folder / "bad.toml").write_text(PLAN.replace("epochs = 1", "epochs = 4\nlearning_rate = 1e30"))
    command = [
        sys.executable,
        "-m",
        "transfer_meta",
        "run",
        "--store",
        "runs.sqlite",
        "--device",
        "cpu",
    ]
    root = str(Path(__file__).resolve().parents[3])
    environment = {"PYTHONPATH": root, "PATH": "/usr/bin:/bin"}
    for plan, code in (("plan.toml", 0), ("bad.toml", 1)):
        result = subprocess.run(
            [*command, plan], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == code, result.stderr
        (folder / f"{plan}.log").write_text(result.stderr)
    return folder


@pytest.fixture
def here(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_tasks(tmp_path / "tasks", "a b")
    (tmp_path / "plan.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_progress_is_on_stderr(here):
    log = (here / "plan.toml.log").read_text()
    assert "8 runs, 0 of them known to runs.sqlite; on cpu" in log
    assert "[8/8]" in log
    assert "8 done, 0 failed, 0 skipped, 0 left" in log
    assert "failed" in (here / "bad.toml.log").read_text()


def test_plan_before_and_after(fresh, here, capsys, monkeypatch):
    monkeypatch.chdir(fresh)
    assert main(["runs", "plan", "plan.toml"]) == 0
    out = capsys.readouterr().out
    assert "8 runs" in out
    assert "8 to do: about" in out
    assert "checkpoints: at most about" in out
    assert not (fresh / "runs.sqlite").exists()
    assert main(["runs", "plan", "plan.toml", "--list"]) == 0
    assert capsys.readouterr().out.count(" new") >= 8
    monkeypatch.chdir(here)
    assert main(["runs", "plan", "plan.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["left"], found["measured"]) == (8, 0, True)
    assert {"method": "multitask", "regime": "16-8", "done": 2} in found["groups"]


def test_status(here, capsys):
    assert main(["runs", "status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["done"] >= 8
    failed = [run for run in found["runs"] if run["status"] == "failed"]
    assert failed
    assert all(run["score"] is None and run["reason"] for run in failed)
    assert main(["runs", "status"]) == 0
    out = capsys.readouterr().out
    assert "retry --failed" in out
    assert failed[0]["reason"][:20] in out


def test_show(here, capsys):
    assert main(["runs", "show", "1", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert run["status"] == "done"
    assert run["device"].startswith("cpu")
    assert run["versions"]["torch"]
    assert run["seconds"] > 0
    assert run["tokens_per_second"] > 0
    assert run["peak_memory_bytes"] > 0
    assert run["curves"][run["target"]]["steps"] == run["notes"]["steps"]
    assert main(["runs", "show", run["key"][:12]]) == 0
    out = capsys.readouterr().out
    assert "learning_rate: 0.0001" in out
    assert f"key: {run['key']}" in out
    assert main(["runs", "show", "999"]) == 2
    assert "no run '999'" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_goes_into_the_benchmark_as_it_is(here, tmp_path, capsys, suffix):
    import pandas as pd

    out = tmp_path / f"outcomes{suffix}"
    assert main(["runs", "export", "--out", str(out), "--plan", "plan.toml"]) == 0
    assert "4 outcomes" in capsys.readouterr().err
    table = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    columns = ["source", "target", "method", "regime", "encoder", "seed", "baseline", "score", "gain"]
    assert list(table.columns[:9]) == columns
    assert set(table["regime"]) == {"16-8"}
    curves = pd.read_parquet(tmp_path / "outcomes.curves.parquet")
    assert {"run", "task", "split", "step", "loss", "score"} <= set(curves.columns)
    assert len(curves["run"].unique()) == 8
    # What `transfer-meta benchmark` reads it with.
    outcomes = load_outcomes(out)
    assert (len(outcomes.pairs), outcomes.has_gain, outcomes.pair_features) == (4, True, ())


def test_export_to_somewhere_impossible(here, tmp_path, capsys):
    assert main(["runs", "export", "--out", str(tmp_path / "o.xlsx")]) == 2
    assert "expected a name that ends in .csv or .parquet" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["runs", "export", "--out", str(tmp_path / "file" / "o.csv")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_gc_removes_orphans(here, capsys):
    folder = here / "runs.checkpoints"
    orphan = folder / f"{'0' * 16}-{'1' * 32}" / ".tmpAbC123"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x" * 2_000_000)
    assert main(["runs", "gc"]) == 0
    assert "freed 2 MB" in capsys.readouterr().err
    assert [entry.name for entry in folder.iterdir()] == ["tokens"]


def test_retry(here, tmp_path, capsys):
    import shutil

    shutil.copy(here / "runs.sqlite", tmp_path / "copy.sqlite")
    copy = str(tmp_path / "copy.sqlite")
    assert main(["runs", "retry", "--store", copy]) == 2
    assert "--failed" in capsys.readouterr().err
    assert main(["runs", "retry", "--failed", "--store", copy]) == 0
    assert "pending again" in capsys.readouterr().err
    main(["runs", "status", "--json", "--store", copy])
    assert "failed" not in json.loads(capsys.readouterr().out)["counts"]
    assert main(["runs", "migrate", "--store", copy]) == 0


def test_a_bad_plan_tells_everything_and_starts_nothing(fresh, capsys, monkeypatch):
    (fresh / "plan.toml").write_text(
        PLAN.replace('"multitask"]', '"multitsak"]').replace("random:1x8", "random:1x9")
        + "[mixing]\nweights = [1, 1]\n"
    )
    store = "postgresql://me:s3cr3t@127.0.0.1:9/runs"
    monkeypatch.setenv("TRANSFER_META_STORE", store)
    for command in (["run"], ["runs", "plan"]):
        assert main([*command, "plan.toml"]) == 2
        captured = capsys.readouterr()
        for part in (
            "4 problems",
            "multitsak",
            "random:1x9",
            "weights",
            "postgresql+psycopg://me:***@",
        ):
            assert part in captured.err
        assert "s3cr3t" not in captured.err + captured.out
        assert len(captured.err.splitlines()) == 5, "a line for each"
    monkeypatch.delenv("TRANSFER_META_STORE")
    assert main(["run", "plan.toml"]) == 2
    assert sorted(p.name for p in fresh.iterdir()) == ["plan.toml", "tasks"]


def test_a_store_of_another_schema_version(fresh, capsys):
    import sqlite3

    from transfer_meta.runs.store.run_store import Store
    from transfer_meta.runs.store.schema import VERSION_TABLE

    Store("runs.sqlite", create=True).close()
    with sqlite3.connect("runs.sqlite") as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    assert main(["run", "plan.toml"]) == 2
    assert "schema version 9999" in capsys.readouterr().err
    assert (fresh / "runs.sqlite").exists()
    assert main(["runs", "status"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "tpu"], "no device 'tpu'"),
        (["--workers", "0"], "--workers 0"),
        (["--max-runs", "0"], "max-runs"),
        (["--limit-hours", "-1"], "--limit-hours -1"),
        (["--limit-hours", "nan"], "--limit-hours nan"),
    ],
)
def test_bad_options(fresh, capsys, options, message):
    assert main(["run", "plan.toml", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (fresh / "runs.sqlite").exists()


def test_without_the_extra(fresh, capsys, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for command in (["run", "plan.toml"], ["runs", "plan", "plan.toml"], ["runs", "status"]):
        assert main(command) == 2
        assert "transfer-meta[harness]" in capsys.readouterr().err


def test_no_store(fresh, capsys):
    for command in (
        ["status"],
        ["show", "1"],
        ["export", "--out", "o.csv"],
        ["retry", "--failed"],
        ["gc"],
    ):
        assert main(["runs", *command]) == 2
        assert "no store at 'runs.sqlite'" in capsys.readouterr().err
    assert main(["runs", "plan", "absent.toml"]) == 2
    assert "cannot read the plan" in capsys.readouterr().err


@pytest.mark.parametrize(
    "store",
    ["postgresql://me:s3cr3t@127.0.0.1:9/runs", "postgresql://127.0.0.1:9/runs?password=s3cr3t"],
)
def test_a_password_on_the_command_line_is_refused(fresh, capsys, store):
    for command in (
        ["run", "plan.toml"],
        ["runs", "status", "--json"],
        ["runs", "export", "--out", "o.csv"],
    ):
        assert main([*command, "--store", store]) == 2
        captured = capsys.readouterr()
        assert "holds a password, which `ps` shows" in captured.err
        assert "s3cr3t" not in captured.out + captured.err
        assert captured.err.count("\n") == 1


def test_damaged_curves_are_named_and_the_others_shown_and_exported(here, tmp_path, capsys):
    import shutil
    import sqlite3

    shutil.copy(here / "runs.sqlite", tmp_path / "copy.sqlite")
    copy = str(tmp_path / "copy.sqlite")
    with contextlib.closing(sqlite3.connect(copy)) as database, database:
        (cut, *_), (nan, steps) = database.execute(
            "SELECT run_id, steps FROM curves LIMIT 2"
        ).fetchall()
        database.execute("UPDATE curves SET losses = ? WHERE run_id = ?", (b"x" * 13, cut))
        not_a_number = np.full(len(steps) // 8, np.nan).tobytes()
        database.execute("UPDATE curves SET steps = ? WHERE run_id = ?", (not_a_number, nan))
    lines = []
    for run, reason in (
        (cut, "losses has 13 bytes, expected a multiple of 8"),
        (nan, "steps holds a step"),
    ):
        assert main(["runs", "show", str(run), "--store", copy]) == 0
        captured = capsys.readouterr()
        assert "status: done" in captured.out
        assert f"run {run}: its learning curve on " in captured.err
        assert reason in captured.err
        lines += captured.err.splitlines()
    assert main(["runs", "export", "--out", str(tmp_path / "o.csv"), "--store", copy]) == 0
    told = capsys.readouterr().err.splitlines()
    assert set(lines) <= set(told)
    curves = pd.read_parquet(tmp_path / "o.curves.parquet")
    assert len(curves)
    assert not {cut, nan} & set(curves["run"])
