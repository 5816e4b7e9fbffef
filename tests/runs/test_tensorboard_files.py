"""Curves as event files, read back by the reader of training logs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import transfer_meta as tm
from transfer_meta.cli.app import main
from transfer_meta.features.curves.curve_files import read_curves
from transfer_meta.features.curves.event_files import read_scalars
from transfer_meta.integrations import LogSettings, log_outcome, log_run

pytest.importorskip("tensorboardX")

LOSSES = [0.5, 0.25, 0.125]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of three runs, the last one without a curve."""
    monkeypatch.chdir(tmp_path)
    for source in (None, "stanford nli/v1"):
        with log_run("rte", source, seed=1, settings=LogSettings(encoder="bert/base")) as run:
            for step, loss in enumerate(LOSSES, 1):
                run.log(step, loss)
            run.dev(2, 0.5, 0.75)
            run.dev(3, None, 0.625)
            run.score(accuracy=0.5)
    log_outcome("rte", "mnli", 0.5, seed=2)
    return tmp_path


def test_curves_read_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second time in the place of the first
        assert main(["runs", "export", "--tensorboard", "logs"]) == 0
        assert "curves of 2 runs in logs" in capsys.readouterr().err
    names = sorted(folder.name for folder in Path("logs").iterdir())
    assert names == ["rte_alone_seed1_run1", "rte_with_stanford-nli-v1_seed1_run2"]
    assert [len(list((here / "logs" / name).iterdir())) for name in names] == [1, 1]
    curve = read_curves(Path("logs") / names[1])[""]
    assert (curve.steps.tolist(), curve.losses.tolist()) == ([1, 2, 3], LOSSES)
    assert (curve.dev_steps.tolist(), curve.dev_losses.tolist()) == ([2, 3], [0.75, 0.625])
    np.testing.assert_array_equal(curve.dev_scores, [0.5, np.nan])


def test_hyperparameters(here: Path) -> None:
    (_, folder) = tm.export().save_tensorboard("logs")
    (file,) = folder.iterdir()
    for word in (b"_hparams_/session_start_info", b"bert/base", b"stanford nli/v1"):
        assert word in file.read_bytes()


def test_sources_of_multitask_training_have_their_own_tags(tmp_path: Path) -> None:
    row = {
        "run": 1,
        "source": "a",
        "target": "b",
        "method": "multitask",
        "regime": "full-full",
        "seed": 0,
    }
    rows = [
        {
            **row,
            "encoder": "e",
            "task": task,
            "split": "train",
            "step": step,
            "loss": loss,
            "score": np.nan,
        }
        for task, step, loss in (("b", 1, 0.5), ("b", 3, float("nan")), ("a", 2, 0.25))
    ]
    from transfer_meta.runs.tensorboard_files import write_event_files

    (folder,) = write_event_files(pd.DataFrame(rows), tmp_path / "logs")
    (file,) = folder.iterdir()
    assert list(read_scalars(file)) == [(1, "train/loss", 0.5), (2, "sources/a/loss", 0.25)]


def test_both_at_once_or_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "export", "--tensorboard", "logs", "--out", "o.csv"]) == 0
    assert Path("o.csv").is_file()
    assert main(["runs", "export"]) == 2
    assert "expected --out FILE or --tensorboard FOLDER" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert main(["runs", "export", "--tensorboard", "file"]) == 2
    assert "cannot write" in capsys.readouterr().err
    theirs = Path("logs/rte_alone_seed1_run1/notes.txt")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("")
    assert main(["runs", "export", "--tensorboard", "logs"]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert theirs.is_file()


def test_without_tensorboardx(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboardX" else find(name)
    )
    assert main(["runs", "export", "--tensorboard", "logs", "--out", "o.csv"]) == 2
    assert "pip install 'transfer-meta[tensorboard]'" in capsys.readouterr().err
    assert not Path("o.csv").exists()
