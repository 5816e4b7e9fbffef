from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_training import make_tasks
from inline_engine import InlineEngine

from transfer_meta.cli.app import main

pytest.importorskip("torch")

FLAGS = (
    "--sources tasks --source b --encoder random:1x8 --seeds 2 --epochs 1 --examples 16 --device cpu"
)
OPTIONS = FLAGS.split()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_tasks(tmp_path / "tasks", "a b")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("transfer_meta.runs.trial_runner.LocalEngine", InlineEngine)
    return tmp_path


def test_a_model_from_the_command_line(capsys):
    assert main(["train", "a", *OPTIONS, "--out", "m", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [way["source"] for way in found["ways"]] == ["none", "b"]
    assert [len(way["test_scores"]) for way in found["ways"]] == [2, 2]
    assert found["folder"] == "m"
    assert "b > a, seed 1" in shown.err
    assert main(["train", "a", *OPTIONS, "--out", "m"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["train", "a", *OPTIONS, "--out", "m", "--overwrite"]) == 0
    table = capsys.readouterr().out
    assert found["verdict"] in table
    assert "95 % interval" in table
    assert f"model: m (seed {found['seed']})" in table


def test_stopped_by_a_signal(monkeypatch, capsys):
    import os
    import signal

    from transfer_meta.errors import Stopped

    def stopping(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("inline_engine.real_finetune", lambda: stopping)
        assert main(["train", "a", *OPTIONS, "--out", "m"]) == 128 + signal.SIGTERM
    assert "to continue, repeat the command" in capsys.readouterr().err
    assert not Path("m").exists()
    assert main(["train", "a", *OPTIONS, "--out", "m"]) == 0
    assert Path("m/config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--source", "bb"], "did you mean 'b'?"),
        (["zz"], "unknown task 'zz'"),
        (["a", "--seeds", "0"], "seeds = 0 (expected at least 1)"),
        (["a", "--source", "none", "--mix"], "mix has no effect with source none"),
        (["a", "--mix-by", "soft"], "mix_by = 'soft' has no effect without mix"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(["train", *arguments, "--sources", "tasks", "--encoder", "random:1x8"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("model").exists()
    assert not Path("runs.sqlite").exists()
