from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from known_tasks import (
    DATA_FOLDER,
    FILM,
    HELPFUL,
    fitted_data,
    fitted_scores,
    make_task,
    patch_data,
    task_named,
    write_csv,
)

import transfer_meta
from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.files import data_folder
from transfer_meta.results import plain_values


@pytest.fixture(autouse=True, scope="module")
def data() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        folder = fitted_data()  # what making it prints belongs to no test
        patch_data(patch, folder)
        yield


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(write_csv(tmp_path / "cinema.csv", make_task("cinema", FILM, seed=50)))


def test_the_command_prints_the_result(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = transfer_meta.recommend(target, transfer_meta.RecommendSettings(mode="text", top=2))
    assert run(capsys, target, "--mode", "text", "--top", "2")[1] == f"{found}\n"
    code, out, _ = run(capsys, target, "--mode", "text", "--top", "2", "--json")
    assert (code, json.loads(out)) == (0, plain_values(found.to_dict()))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["recommend", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_table(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, target, "--mode", "text", "--top", "3")
    assert code == 0
    assert out.startswith(f"cinema: Try {HELPFUL} first")
    assert "90 % interval" in out
    assert "for " in out
    assert "gain on other targets" in out
    assert "Mode text" in out


def test_json(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, target, "--mode", "text", "--json")
    assert code == 0
    answer = json.loads(out)
    assert len(answer["sources"]) == 5
    assert answer["sources"][0]["source"] == HELPFUL
    assert 0 <= answer["sources"][0]["probability"] <= 1
    assert answer["model"]["figures"]["coverage_promised"] == 0.9


@pytest.mark.parametrize("given", [["--sources", "film_a,rain_a"], ["--sources", "film_a", "rain_a"]])
def test_sources(target: str, capsys: pytest.CaptureFixture[str], given: list[str]) -> None:
    code, out, _ = run(capsys, target, "--mode", "text", "--json", *given)
    assert code == 0
    assert [s["source"] for s in json.loads(out)["sources"]] == ["film_a", "rain_a"]


def test_own_file(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = write_csv(tmp_path / "mine.csv", make_task("mine", FILM, seed=51))
    code, out, _ = run(capsys, target, "--mode", "text", "--json", "--sources", f"{own}")
    assert code == 0
    (only,) = json.loads(out)["sources"]
    assert (only["source"], only["n_outcomes"]) == ("mine", 0)


def test_source_encoders_read_the_target(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    patch_data(monkeypatch, fitted_scores())
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRANSFER_META_SOURCES", str(tmp_path / "sources"))
    command = (target, "--mode", "sources", "--sources", f"{HELPFUL},studio,harbour")
    code, out, error = run(capsys, *command, "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["mode"] == "sources"
    basis = {source["source"]: source["basis"] for source in answer["sources"]}
    assert basis == {HELPFUL: "outcomes", "studio": "scores", "harbour": "description"}
    assert "reading cinema with 10 source encoders" in error
    code, out, _ = run(capsys, *command)
    assert code == 0
    assert "of sources ranked by their encoders" in out.splitlines()[-1]


def test_own_shards_are_no_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    for shard, seed in (
        ("train-00000-of-00002", 1),
        ("train-00001-of-00002", 2),
        ("test-00000-of-00001", 3),
    ):
        write_csv(tmp_path / f"{shard}.csv", make_task("t", FILM, seed=seed))
    write_csv(tmp_path / "mine.csv", make_task("mine", FILM, seed=51))
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(
        capsys, "train-00000-of-00002.csv", "--mode", "text", "--json", "--sources", str(tmp_path)
    )
    assert code == 0
    assert [s["source"] for s in json.loads(out)["sources"]] == ["mine"]


def test_hidden_labels_and_none_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "a.train.csv", make_task("a", FILM, seed=50))
    texts = [example.text for example in make_task("a", FILM, seed=52).examples()]
    (tmp_path / "a.test.csv").write_text("text,label\n" + "".join(f"{text},-1\n" for text in texts))
    code, out, _ = run(capsys, str(path), "--mode", "text", "--json")
    assert code == 0
    assert any("test is not used" in note for note in json.loads(out)["notes"])
    alone = tmp_path / "b.jsonl"
    alone.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    code, out, _ = run(capsys, str(alone), "--mode", "text", "--json")
    assert code == 0
    assert any("has no labels" in note for note in json.loads(out)["notes"])


def test_html(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "answer.html"
    code, out, err = run(capsys, target, "--mode", "text", "--html", str(page))
    assert code == 0
    assert out == ""
    assert f"wrote {page}" in err
    text = page.read_text(encoding="utf-8")
    assert f"Try {HELPFUL} first" in text
    assert "<svg" in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "")


def test_odd_column_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["Unnamed: 0,Was gesagt wurde ☃,klasse/2"]
    rows += [f"{i},{e.text},{e.label}" for i, e in enumerate(make_task("t", FILM, seed=50).examples())]
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    code, _, err = run(capsys, str(path), "--mode", "text")
    assert code == 2
    assert err.count("\n") == 1
    assert '--column "text=Was gesagt wurde ☃" and --column "label=klasse/2"' in err
    columns = ["--column", "text=Was gesagt wurde ☃", "--column", "label=klasse/2"]
    code, out, _ = run(capsys, str(path), "--mode", "text", *columns)
    assert code == 0
    assert HELPFUL in out


def test_tagging_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentences = [e.text.split() for e in make_task("t", FILM, seed=50).examples()]
    lines = ["\n".join(f"{w}\t{'B-K' if w in FILM else 'O'}" for w in words) for words in sentences]
    path = tmp_path / "tags.conll"
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    code, out, _ = run(capsys, str(path), "--mode", "text")
    assert code == 0
    assert "no known task is of type token-classification" in out


def test_the_target_is_a_known_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "mine.csv", task_named("film_b"))
    code, out, _ = run(capsys, str(path), "--mode", "text", "--top", "8")
    assert code == 0
    assert "the target is the known task film_b" in out


def test_options_are_settings(capsys: pytest.CaptureFixture[str], monkeypatch, target: str) -> None:
    monkeypatch.setattr(DATA_FOLDER, data_folder)  # licences are those of the catalogue
    seen: list[transfer_meta.RecommendSettings] = []

    def refuse(target, settings, **_):
        seen.append(settings)
        raise InputError(f"target {target}")

    monkeypatch.setattr("transfer_meta.recommender.recommend.recommend", refuse)
    given = (
        "--top 7 --method multitask --mode encoder --description films --encoder roberta-base --examples 250"
        " --types classification,regression --licence mit,cc0-1.0 --max-size 9000 --checkpoints 1"
    )
    code, _, err = run(capsys, target, *given.split())
    assert (code, err) == (2, f"error: target {target}\n")
    code, _, err = run(capsys, "--description", "films", "--type", "regression")
    assert (code, err) == (2, "error: target None\n")
    assert run(capsys, target)[0] == 2
    of_all, of_words, none = seen
    assert of_all == transfer_meta.RecommendSettings(
        top=7,
        method="multitask",
        mode="encoder",
        description="films",
        encoder="roberta-base",
        examples=250,
        types=("classification", "regression"),
        licence=("mit", "cc0-1.0"),
        max_size=9000,
        checkpoints=1,
    )
    assert (of_words.description, of_words.read.type) == ("films", "regression")
    assert none == transfer_meta.RecommendSettings()


def test_a_description_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--description", "Reviews of films", "--type", "classification", "--mode", "text"]
    code, out, _ = run(capsys, *given, "--json")
    answer = json.loads(out)
    assert (code, answer["target"], len(answer["sources"])) == (0, "target", 5)
    assert any("known by its description alone" in note for note in answer["notes"])
    code, out, _ = run(capsys, *given)
    assert code == 0
    assert "Try" in out
    code, out, err = run(capsys, "--mode", "text")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "expected a target, or a description of it (--description)" in err


def test_checkpoints_for_an_encoder(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [target, "--mode", "text", "--encoder", "roberta-base", "--checkpoints", "2"]
    code, out, _ = run(capsys, *given, "--json")
    points = json.loads(out)["checkpoints"]["points"]
    assert (code, len(points)) == (0, 2)
    code, out, _ = run(capsys, *given)
    assert code == 0
    assert points[1]["checkpoint"] in out
    page = tmp_path / "answer.html"
    assert run(capsys, *given, "--html", str(page))[0] == 0
    assert points[1]["checkpoint"] in page.read_text(encoding="utf-8")
    assert json.loads(run(capsys, target, "--mode", "text", "--json")[1])["checkpoints"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sources", "film_aa"], "unknown source 'film_aa'"),
        (["--method", "multitask"], "no outcomes of method 'multitask'"),
        (["--top", "0"], "top = 0"),
        (["--html", "x.pdf"], "--html: expected a file named .html"),
        (["--measure"], "measure and mode 'text' exclude each other"),
        (["--cost-per-hour", "2"], "cost_per_hour is of training runs: it needs measure"),
        (["--examples", "0"], "--examples"),
        (["--max-size", "0"], "--max-size"),
        (["--checkpoints", "-1"], "--checkpoints"),
        (["--types", "classification,clasification"], "unknown task type 'clasification'"),
        (["--licence", "mitt"], "unknown licence 'mitt'"),
    ],
)
def test_mistakes(
    target: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = run(capsys, target, "--mode", "text", *arguments)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    code, _, err = run(capsys, str(empty))
    assert (code, err.count("\n")) == (2, 1)
    assert "empty" in err
    code, _, err = run(capsys, str(tmp_path / "emty.csv"))
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'empty.csv'" in err


def test_own_outcomes_and_a_folder_of_them_give_the_same_answer(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRANSFER_META_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("transfer_meta.recommender.own_recommender.best_mode", lambda _: "text")
    folder = tmp_path / "tasks"
    folder.mkdir()
    write_csv(folder / "mine.csv", make_task("mine", FILM, seed=77))
    table, model = tmp_path / "runs.csv", str(tmp_path / "model")
    table.write_text("source,target,gain\nfilm_a,mine,0.1\nmine,film_a,0.2\nghost,mine,0.1\n")
    own = ("--outcomes", str(table), "--tasks-folder", str(folder))
    code, expected, told = run(capsys, target, "--mode", "text", "--json", *own)
    assert code == 0
    assert "1 of 3 outcomes left out" in told
    assert json.loads(expected)["model"]["tables"][-1] == "runs.csv"
    assert (
        main(["fit", str(table), "--recommender", "--tasks-folder", str(folder), "--out", model]) == 0
    )
    assert "2 own outcomes of runs.csv" in capsys.readouterr().err
    assert run(capsys, target, "--mode", "text", "--json", "--model", model)[1] == expected
    code, _, err = run(capsys, target, "--model", model, *own)
    assert (code, err.count("\n")) == (2, 1)
    for arguments in (
        [str(table), "--tasks-folder", "x"],
        ["atlas", "--recommender", "--method", "multitask"],
    ):
        assert main(["fit", *arguments, "--out", str(tmp_path / "no")]) == 2
        assert "has no effect" in capsys.readouterr().err
