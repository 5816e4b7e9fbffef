from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_training import make_tasks

from transfer_meta.cli.app import main

pytest.importorskip("torch")

OPTIONS = "--sources tasks --encoder random:1x8 --regime 16-8 --epochs 2 --device cpu"
SEARCH = OPTIONS.split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    make_tasks(folder / "tasks", "a b c")
    (folder / "prior.csv").write_text("source,gain\nb,0.1\nc,0.3\n")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_a_search_by_real_training_and_the_same_command_again(here, capsys):
    command = ["search", "a", *SEARCH, "--budget", "2runs", "--prior", "prior.csv", "--json"]
    assert main(command) == 0
    first = capsys.readouterr()
    found = json.loads(first.out)
    assert (found["target"], found["budget"]) == ("a", "2runs")
    assert 0 < found["spent_runs"] <= 2
    assert sorted(s["source"] for s in found["sources"]) == ["b", "c"]
    assert {s["source"]: s["prior"] for s in found["sources"]} == {"b": 0.1, "c": 0.3}
    assert found["sources"][0]["source"] == found["best"]
    for source in found["sources"]:
        if source["state"] == "finished":
            gain = source["test_score"] / found["test_score_alone"] - 1
            assert source["test_gain"] == pytest.approx(gain)
    assert "seed 0" in first.err
    # Everything is in the store: nothing is run, and the answer is the same.
    assert main(command[:-1]) == 0
    again = capsys.readouterr()
    assert "seed 0" not in again.err
    table = again.out
    assert f"{found['spent_runs']:g} runs spent (2runs)" in table
    assert "expected gain" in table
    assert "1 epoch" in table
    assert "2 epochs" in table
    # What a search ran is in the store for everybody.
    assert main(["runs", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["done"] >= 4


def test_a_source_that_the_recommender_leaves_out_gets_the_mean(monkeypatch):
    from types import SimpleNamespace

    from transfer_meta.api.source_search import SearchSettings, _expected_gains
    from transfer_meta.tasks.source_sets import SourceSet

    gains = {"qqp": 0.1, "mine": 0.3}
    answer = SimpleNamespace(
        sources=[SimpleNamespace(source=name, expected_gain=gain) for name, gain in gains.items()]
    )
    monkeypatch.setattr("transfer_meta.recommender.recommend.recommend", lambda *_, **__: answer)
    tasks = dict.fromkeys(("target", "qqp", "mine", "silent"), "a.jsonl")
    candidates = {name: SourceSet((name,)) for name in ("qqp", "mine", "silent")}
    candidates["mine>silent"] = SourceSet(("mine", "silent"), ordered=True)
    found = _expected_gains(SearchSettings(), tasks, "target", candidates, lambda _: None)
    assert found == pytest.approx({**gains, "silent": 0.2, "mine>silent": 0.25})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--budget", "0runs"], "budget '0runs' (expected runs or a time above zero: 20runs, 2h, 90min)"),
        (["a", "--budget", "soon"], "budget 'soon' (expected runs or a time"),
        (["aa"], "unknown task 'aa' (expected one of: a, b, c); did you mean 'a'?"),
        (["tasks/zz.csv"], "zz.csv"),
        (["a", "--sources", "tasks/zz.jsonl"], "zz.jsonl"),
        (["a", "--prior", "absent.csv"], "absent.csv"),
        (["a", "--prior", "odd.csv"], "source 'd' is not searched"),
        (["a", "--prior", "words.csv"], "gain of 'b' is 'much' (expected a number)"),
        (["a", "--prior", "tasks/a.train.jsonl"], "a.train.jsonl"),
        (["a", "--regime", "16/8", "--prior", "none"], "regime '16/8' (expected SOURCE-TARGET"),
        (["a", "--device", "tpu", "--prior", "none"], "no device 'tpu' here"),
        (["a", "--epochs", "0"], "--epochs"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(here, capsys, arguments, message):
    (here / "odd.csv").write_text("source,gain\nd,0.1\n")
    (here / "words.csv").write_text("source,gain\nb,much\n")
    command = ["search", *arguments]
    for option, value in zip(SEARCH[::2], SEARCH[1::2], strict=True):
        if option not in arguments:
            command += [option, value]
    assert main(command) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.strip().count("\n") == 0
    assert not said.out


def test_a_target_without_sources_beside_it(here, capsys):
    command = ["search", "a", *SEARCH, "--prior", "none"]
    command[command.index("tasks")] = "tasks/a.train.jsonl"
    assert main(command) == 2
    assert "no sources beside the target 'a'" in capsys.readouterr().err


def test_two_tasks_of_one_name(here, capsys):
    make_tasks(here / "others", "a")
    assert main(["search", "others/a.train.jsonl", *SEARCH, "--prior", "none"]) == 2
    assert "two tasks are named 'a'" in capsys.readouterr().err
