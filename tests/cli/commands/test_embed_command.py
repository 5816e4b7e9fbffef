from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from transfer_meta.cli.app import main
from transfer_meta.cli.shared import console
from transfer_meta.encoding.encoding_settings import KINDS_WITH_ENCODER
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.training.tuned_vectors import TuningEmbedder

FILMS = [("a fine film", "good"), ("dull", "bad"), ("well played", "good"), ("a poor plot", "bad")]
TWEETS = [("fine day", "glad"), ("rain, rain", "sad"), ("sun at last", "glad"), ("a poor week", "sad")]


@pytest.fixture
def tasks(tmp_path: Path) -> list[str]:
    paths = []
    for name, rows in (("films", FILMS), ("tweets", TWEETS), ("reviews", FILMS[1:])):
        path = tmp_path / f"{name}.csv"
        path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
        paths.append(str(path))
    return paths


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["embed", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_line_knows_the_kinds_without_torch() -> None:
    assert set(KINDS_WITH_ENCODER) == set(TuningEmbedder("random:1x16").makers)


def test_without_an_encoder(tasks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *tasks, "--json")
    assert code == 0
    result = json.loads(out)
    assert [row["task"] for row in result["vectors"]] == ["films", "tweets", "reviews"]
    assert {row["numbers"] for row in result["vectors"]} == {1024}
    of_films = {
        row["source"]: row["cosine_tfidf"] for row in result["similarities"] if row["target"] == "films"
    }
    assert of_films["reviews"] > of_films["tweets"]


def test_with_an_encoder_a_store_and_a_file(
    tasks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*tasks, "--encoder", "random:1x32", "--kinds", "tfidf,textemb,taskemb,descemb")
    places = ("--store", str(tmp_path / "runs.sqlite"), "--out", str(tmp_path / "v.npz"))
    code, out, _ = run(capsys, *arguments, *places)
    assert code == 0
    assert "Nearest task by" in out
    assert "has no description" in out
    vectors, settings = load_vectors(tmp_path / "v.npz")
    assert set(vectors) == {"films", "tweets", "reviews"}
    assert {"tfidf", "textemb", "taskemb.layer.0.query"} <= set(vectors["films"])
    assert settings["encoder"] == "random:1x32"
    assert settings["kinds"]["taskemb"]["variant"] == "empirical"

    code, out, _ = run(capsys, *arguments, *places, "--json")
    rows = json.loads(out)["vectors"]
    assert {row["kind"] for row in rows if row["stored"]} == {"textemb", "taskemb"}
    again, _ = load_vectors(tmp_path / "v.npz")
    assert np.array_equal(again["films"]["textemb"], vectors["films"]["textemb"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kinds", "textemb"], "kind 'textemb' needs an encoder"),
        (["--kinds", "text"], "unknown kind of task vector 'text'"),
        (["--encoder", "random:1x32", "--fisher", "empiric"], "did you mean 'empirical'"),
        (["--encoder", "random:1x32", "--fisher", "theoretical", "--draws", "0"], "draws = 0"),
        (["--encoder", "random:1x32", "--device", "gpu"], "no device 'gpu'"),
        (["--device", "cpu"], "--device has no effect on kind tfidf"),
        (["--encoder", "random:1x32", "--kinds", "tfidf"], "--encoder has no effect on kind tfidf"),
        (["--fisher", "empirical"], "--fisher has no effect without kind taskemb"),
        (
            ["--encoder", "random:1x32", "--draws", "2"],
            "--draws has no effect without --fisher theoretical",
        ),
        (
            ["--encoder", "random:1x32", "--kinds", "labelemb", "--examples", "9"],
            "--examples has no effect on kinds labelemb",
        ),
        (["--encoder", "random:0x32"], "expected at least 1 layer"),
        (["--encoder", "random:1x32", "--start", "none.safetensors"], "cannot read the checkpoint"),
        (["--out", "vectors.csv"], "expected .npz or .safetensors"),
        (["--engine", "loca"], "did you mean 'local'"),
        (["--address", "auto"], "--address is an option of --engine ray"),
        (["--workers", "0"], "--workers 0 (expected at least 1)"),
        (
            ["--encoder", "random:1x32", "--kinds", "descemb"],
            "no vectors: task 'films' has no description",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(
    tasks: list[str],
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys, *tasks, *options)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_two_workers_embed_as_one(
    tasks: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", np.inf)
    kinds = "tfidf,textemb,taskemb,descemb"
    arguments = (*tasks, "--encoder", "random:1x16", "--kinds", kinds, "--json")
    outputs, vectors = [], []
    for workers in ("1", "2"):
        places = (
            "--store",
            str(tmp_path / f"{workers}.sqlite"),
            "--out",
            str(tmp_path / f"{workers}.npz"),
        )
        code, out, err = run(capsys, *arguments, *places, "--workers", workers)
        assert (code, err) == (0, "")
        outputs.append(out)
        vectors.append(load_vectors(tmp_path / f"{workers}.npz")[0])
    assert outputs[0] == outputs[1]
    assert list(vectors[0]) == list(vectors[1]) == ["films", "tweets", "reviews"]
    for task, of_task in vectors[0].items():
        assert list(of_task) == list(vectors[1][task])
        for name, values in of_task.items():
            assert np.array_equal(values, vectors[1][task][name])
    # What the workers left in the store is what this process looks for.
    _, out, _ = run(capsys, *arguments, "--store", str(tmp_path / "2.sqlite"))
    rows = json.loads(out)["vectors"]
    assert sum(row["stored"] for row in rows) == 2 * len(tasks)


def test_a_mistake_in_a_worker_is_told_as_one_in_this_process(
    tasks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(tasks[1]).write_text("text,label\na,b\nlonely\nlonely\n")
    code, out, err = run(capsys, *tasks, "--workers", "2")
    assert (code, out, err) == run(capsys, *tasks)
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("runs.sqlite", "only the processes of one machine"),
        ("postgresql://a:b@h/d", "holds a password"),
    ],
)
def test_a_store_that_a_cluster_cannot_share(
    tasks: list[str], store: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    code, _, err = run(capsys, *tasks, "--encoder", "random:1x16", "--engine", "ray", "--store", store)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_examples_are_drawn_by_seed(tasks: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def vectors(*options: str) -> str:
        code, out, _ = run(capsys, *tasks, "--examples", "2", "--json", *options)
        assert code == 0
        return json.dumps(json.loads(out)["similarities"])

    assert vectors() == vectors("--seed", "0") != vectors("--seed", "1")
