from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_training import make_tasks

from transfer_meta.cli.app import main
from transfer_meta.encoding.source_files import encoder_folder

ENCODER = "random:1x16"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three tasks and a plan of two of them."""
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "sources"))
    make_tasks(tmp_path / "tasks", "films reviews more", train=20, test=8)
    Path("plan.toml").write_text(
        f'encoder = "{ENCODER}"\ntasks_folder = "tasks"\ntasks = ["films", "reviews"]\n'
        "[training]\nepochs = 1\nlora_rank = 2\ndev_examples = 4\n"
    )
    return tmp_path


def test_build_push_pull_list_remove(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "build", "plan.toml", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert "2 trained, 0 kept, 0 failed" in out
    assert "[2/2] reviews: trained" in err
    assert main(["sources", "build", "plan.toml", "--json"]) == 0
    assert {row["status"] for row in json.loads(capsys.readouterr().out)["sources"]} == {"kept"}

    assert (
        main(["sources", "add", "tasks/more.train.jsonl", "--encoder", ENCODER, "--name", "mine"]) == 0
    )
    assert "1 trained" in capsys.readouterr().out
    assert main(["sources", "list", "--trained", "--encoder", ENCODER, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["encoder"]) for row in rows] == [
        ("films", "own"), ("mine", "own"), ("reviews", "own")
    ]  # fmt: skip

    assert main(["sources", "push", "team", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["place"] == "team"
    assert main(["sources", "remove", "mine"]) == 0
    assert "1 removed" in capsys.readouterr().out
    assert main(["sources", "pull", "team", "--replace"]) == 0
    assert "1 copied, 2 same" in capsys.readouterr().out
    assert (here / "sources" / encoder_folder(ENCODER) / "mine.safetensors").is_file()


def test_a_task_that_fails_makes_the_exit_code_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tasks/reviews.train.jsonl").write_text('{"text": "a", "label": "x"}\n' * 12)
    assert main(["sources", "build", "plan.toml"]) == 1
    out, err = capsys.readouterr()
    assert "1 trained, 0 kept, 1 failed" in out
    assert "reviews: failed: " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "none.toml"], "cannot read the plan 'none.toml'"),
        (["build", "plan.toml", "--device", "gpu"], "no device 'gpu' here"),
        (["add", "none.csv"], "none.csv"),
        (["add", "tasks/more.train.jsonl", "--name", "a/b"], "source name 'a/b'"),
        (["add", "tasks/more.train.jsonl", "--examples", "0"], "examples = 0"),
        (["add", "tasks/more.train.jsonl", "--separator", ";"], "--separator has no effect on jsonl"),
        (["add", "tasks/more.train.jsonl", "--encoder", "bilstm"], "has no linear layers"),
        (["remove", "sst"], "no source 'sst' of your own"),
        (["push", "team"], "no sources of your own"),
        (["pull", "team"], "no sources in 'team'"),
        (["pull", "s4://team"], "unknown protocol 's4://'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sources", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_list_needs_no_torch(here: Path) -> None:
    code = (
        "import sys; from transfer_meta.cli.app import main; main(['sources', 'list', '--trained']);"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False False"
