from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from fake_hub import TOKEN, FakeHub, use_fake_hub
from known_tasks import FILM, NAMES, fitted_data, make_task, patch_data, true_gain, write_csv
from result_checks import check_result
from trained_models import small_folder

import transfer_meta as tm
from transfer_meta.api.shared_files import (
    CURVES_FILE,
    MANIFEST,
    MAX_BYTES,
    MAX_NAME_LENGTH,
    OUTCOMES_FILE,
    README,
    TASKS_FILE,
    Manifest,
)
from transfer_meta.api.sharing import FILE_COLUMNS_SHARED, PushSettings, pull, push
from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.integrations import log_outcome
from transfer_meta.model import FitSettings, fit
from transfer_meta.outcomes.tables import OutcomeTable, build_table, load_outcomes
from transfer_meta.records import TaskType
from transfer_meta.training.trained_model import load_trained

PAPER = "bingel-soegaard-2017"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return use_fake_hub(monkeypatch)


@pytest.fixture(params=["folder", "memory", "file", "hub"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place to share at: a folder, URLs, and the stand-in for the Hub."""
    if request.param == "hub":
        use_fake_hub(monkeypatch)
    return {
        "folder": str(tmp_path / "team files"),
        "memory": f"memory://{uuid.uuid4().hex}/shared",
        "file": f"file://{tmp_path}/bucket/",
        "hub": "hf:my-team/my-runs",
    }[request.param]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a predictor of pairs, beside other files."""
    folder = tmp_path_factory.mktemp("models") / "ridge"
    fit(PAPER, FitSettings(predictor="ridge", judge=False)).save(folder)
    (folder / "notes.txt").write_text("a private note")
    (folder / "private").mkdir()
    (folder / "private" / "card.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a recommender with own outcomes, in mode text."""
    place = tmp_path_factory.mktemp("own")
    (place / "tasks").mkdir()
    write_csv(place / "tasks" / "my_film.csv", make_task("my_film", FILM))
    rows = [
        {"source": source, "target": "my_film", "baseline": 0.5, "score": 0.5 + 0.5 * true_gain(source, "film")}
        for source in NAMES
    ]  # fmt: skip
    settings = tm.OwnRecommenderSettings(tasks_folder=place / "tasks", encoder="bert-tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch_data(patch, fitted_data())
        patch.setenv("TRANSFER_META_CACHE", str(place / "cache"))
        patch.setattr("transfer_meta.recommender.own_recommender.best_mode", lambda _: "text")
        tm.fit_own_recommender(pd.DataFrame(rows), settings).save(place / "model")
    return place / "model"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("trained") / "model", TaskType.CLASSIFICATION)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run store with outcomes that were logged."""
    path = tmp_path / "runs.sqlite"
    for target in ("rte", "cb"):
        for source, score in ((None, 0.5), ("mnli", 0.6), ("sst2", 0.45)):
            log_outcome(target, source, score, seed=0, store=path, tell=lambda _: None)
    return path


def own_table(**columns: Any) -> OutcomeTable:
    frame = load_outcomes(PAPER).runs[["source", "target", "baseline", "score"]]
    return build_table(frame.assign(**columns), name="mine.csv")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def front_matter(readme: str) -> dict[str, Any]:
    lines = readme.removeprefix("---\n").partition("\n---\n")[0].splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


def test_a_table_goes_there_and_back(address: str, tmp_path: Path) -> None:
    told: list[str] = []
    pushed = push(PAPER, address, tell=told.append)
    check_result(pushed, FILE_COLUMNS_SHARED)
    assert (pushed.kind, pushed.status) == ("outcomes", "copied")
    private = " (private)" if address.startswith("hf:") else ""
    assert told[0] == f"to {address.rstrip('/')}{private}:"
    assert [line.split()[-1] for line in told[1:]] == [README, OUTCOMES_FILE, TASKS_FILE, MANIFEST]
    assert all(line.split()[1] in ("B", "kB") for line in told[1:])
    calls: list[tuple[int, int]] = []
    out = tmp_path / "out"
    pulled = pull(address, out, on_progress=lambda *n: calls.append(n))
    check_result(pulled, FILE_COLUMNS_SHARED)
    assert (calls[0][0], calls[-1][0]) == (0, calls[-1][1])
    assert set(contents(out)) == {README, OUTCOMES_FILE, TASKS_FILE, MANIFEST}
    again = load_outcomes(out / OUTCOMES_FILE, tasks=out / TASKS_FILE)
    known = load_outcomes(PAPER)
    pd.testing.assert_frame_equal(
        again.pairs[known.pairs.columns].sort_values(["target", "source"], ignore_index=True),
        known.pairs.sort_values(["target", "source"], ignore_index=True),
    )
    assert push(PAPER, address).status == "same"
    # What was pulled can be pushed on, and pulled again.
    assert pull(address, out).status == "copied"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_card_of_a_table(tmp_path: Path) -> None:
    push(PAPER, tmp_path / "a")
    readme = (tmp_path / "a" / README).read_text()
    assert front_matter(readme) == {
        "pretty_name": "Bingel & Søgaard 2017: ten sequence taggers, multi-task learning of all 90 pairs",
        "configs": [
            {"config_name": "outcomes", "data_files": OUTCOMES_FILE},
            {"config_name": "tasks", "data_files": TASKS_FILE},
        ],
        "tags": ["transfer-meta", "transfer-learning"],
    }
    assert "| pairs of source and target | 90 |" in readme
    assert "## Licence\n\nNone is stated." in readme
    assert "EACL 2017." in readme
    settings = PushSettings(
        title="<b>Ours</b>", licence="CC-BY-4.0", citation="We, 2026.", replace=True
    )
    push(PAPER, tmp_path / "a", settings)
    readme = (tmp_path / "a" / README).read_text()
    assert front_matter(readme)["license"] == "cc-by-4.0"
    assert "# &lt;b>Ours" in readme
    assert "## How to cite\n\nWe, 2026." in readme


def test_only_names_and_figures_of_a_table_are_shared(tmp_path: Path) -> None:
    told: list[str] = []
    table = own_table(remark="a text of the data", encoder="bert", size=1.0)
    push(table, tmp_path / "a", tell=told.append)
    shared = (tmp_path / "a" / OUTCOMES_FILE).read_text()
    assert "a text of the data" not in shared
    assert "remark" in told[0]
    assert set(shared.splitlines()[0].split(",")) <= {
        "source", "target", "encoder", "baseline", "score", "gain", "size",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["x" * (MAX_NAME_LENGTH + 1), "two\nlines", '{"a": ' * 300])
@pytest.mark.parametrize("column", ["source", "settings"])
def test_what_may_be_a_text_is_refused(text: str, column: str, tmp_path: Path) -> None:
    frame = load_outcomes(PAPER).runs[["source", "target", "gain"]].copy()
    frame[column] = [text, *(frame[column] if column in frame else frame["source"])][: len(frame)]
    table = load_outcomes(PAPER)
    runs = table.runs.assign(**{column: frame[column]})
    hostile = OutcomeTable("mine.csv", runs, table.pairs, table.tasks)
    with pytest.raises(InputError, match=f"column '{column}' of mine.csv holds a text"):
        push(hostile, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_settings_of_training_are_no_text(tmp_path: Path) -> None:
    settings = json.dumps({"training": {f"option_{i}": i for i in range(40)}})
    assert len(settings) > MAX_NAME_LENGTH
    push(own_table(settings=settings), tmp_path / "a")
    assert "option_39" in (tmp_path / "a" / OUTCOMES_FILE).read_text()


def test_a_metric_of_which_lower_is_better(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(s, t, 0.6, 0.6 + 0.1 * rng.normal(), "perplexity") for s in "abcd" for t in "xyz"]
    frame = pd.DataFrame(rows, columns=["source", "target", "baseline", "score", "metric"])
    table = build_table(frame)
    push(table, tmp_path / "a")
    again = load_outcomes(tmp_path / "a" / OUTCOMES_FILE)
    pd.testing.assert_series_equal(again.pairs["gain"], table.pairs["gain"])


def test_a_store_is_exported(store: Path, tmp_path: Path) -> None:
    pushed = push(store, tmp_path / "a")
    assert set(pushed.rows["name"]) == {README, OUTCOMES_FILE}
    pull(tmp_path / "a", tmp_path / "b")
    assert len(load_outcomes(tmp_path / "b" / OUTCOMES_FILE).pairs) == 4


def test_an_export_with_curves(store: Path, tmp_path: Path) -> None:
    exported = tm.export(tm.ExportSettings(store=store))
    curves = pd.DataFrame(
        {"run": [1], "source": ["mnli"], "target": ["rte"], "step": [1], "loss": [0.5]}
    )
    with_curves = type(exported)(exported.table, 0, 0, curves)
    pushed = push(with_curves, tmp_path / "a")
    assert CURVES_FILE in set(pushed.rows["name"])
    configs = front_matter((tmp_path / "a" / README).read_text())["configs"]
    assert {c["config_name"] for c in configs} == {"outcomes", "curves"}
    pull(tmp_path / "a", tmp_path / "b")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "b" / CURVES_FILE), curves)


def test_a_predictor(address: str, predictor: Path, tmp_path: Path) -> None:
    told: list[str] = []
    pushed = push(predictor, address, PushSettings(licence="apache-2.0"), tell=told.append)
    assert pushed.kind == "predictor"
    assert told[0] == "not shared, no files of the model: notes.txt, private/card.json"
    pull(address, tmp_path / "out")
    pairs = pd.DataFrame({"source": ["POS"], "target": ["CHU"]})
    before, after = (tm.load_model(f).predict(pairs).to_frame() for f in (predictor, tmp_path / "out"))
    pd.testing.assert_frame_equal(before, after)
    assert set(contents(tmp_path / "out")) == {
        "card.json", "state.json", "tasks.csv", README, MANIFEST,
    }  # fmt: skip
    readme = (tmp_path / "out" / README).read_text()
    assert front_matter(readme)["library_name"] == "transfer-meta"
    assert 'tm.load_model("FOLDER")' in readme


def test_a_recommender(recommender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_data(monkeypatch, fitted_data())
    pushed = push(recommender, tmp_path / "a")
    assert pushed.kind == "recommender"
    pull(tmp_path / "a", tmp_path / "b")
    shared = contents(tmp_path / "b")
    assert {name: c for name, c in shared.items() if name not in (README, MANIFEST)} == contents(
        recommender
    )
    assert "RecommendSettings" in shared[README].decode()
    with pytest.raises(InputError, match="holds one mode of a recommender"):
        push(recommender / "text", tmp_path / "c")


def test_a_trained_model(hub: FakeHub, trained: Path, tmp_path: Path) -> None:
    assert push(trained, "hf:me/model", PushSettings(licence="mit")).kind == "trained model"
    assert ("model", "me/model") in hub.repositories
    pull("hf:me/model", tmp_path / "out")
    assert load_trained(tmp_path / "out").labels == load_trained(trained).labels
    assert contents(tmp_path / "out").keys() - {MANIFEST} == contents(trained).keys()


def test_the_hub_is_private_unless_asked(hub: FakeHub) -> None:
    push(PAPER, "hf:me/a")
    told: list[str] = []
    push(PAPER, "hf:me/b", PushSettings(public=True), tell=told.append)
    assert told[0] == "to hf:me/b (public):"
    kinds = {name: repository.private for (_, name), repository in hub.repositories.items()}
    assert kinds == {"me/a": True, "me/b": False}
    with pytest.raises(InputError, match="all can see it"):
        push(PAPER, "hf:me/b", PushSettings(title="another", replace=True))


def test_a_revision_of_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    push(PAPER, "hf:me/a", PushSettings(title="first"))
    push(PAPER, "hf:me/a", PushSettings(title="second", replace=True))
    assert pull("hf:me/a", tmp_path / "out").title == "second"
    assert pull("hf:me/a@1", tmp_path / "out").title == "first"


def test_what_is_there_is_kept_unless_it_is_to_be_replaced(
    address: str, predictor: Path, tmp_path: Path
) -> None:
    push(PAPER, address)
    with pytest.raises(InputError, match=r"holds a table of outcomes with other files .* --replace"):
        push(own_table(), address)
    pushed = push(own_table(), address, PushSettings(replace=True))
    assert TASKS_FILE not in set(pushed.rows["name"])
    pull(address, tmp_path / "out")
    assert TASKS_FILE not in contents(tmp_path / "out")
    if not address.startswith("hf:"):
        system, root = fsspec.url_to_fs(address)
        names = {path.rpartition("/")[2] for path in system.find(root.rstrip("/"))}
        assert names == {README, OUTCOMES_FILE, MANIFEST}


def test_other_files_are_left_alone(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files \(thesis.tex\)"):
        push(PAPER, tmp_path)
    with pytest.raises(InputError, match="it exists and holds other files"):
        push(PAPER, tmp_path / "a")
        pull(tmp_path / "a", tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def _edited(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def _fitting(folder: Path) -> None:
    """Give the manifest sizes and digests that fit the files."""

    def fit_files(content: dict[str, Any]) -> None:
        for name, file in content["files"].items():
            data = (folder / name).read_bytes()
            file.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    _edited(folder, fit_files)


FILE = {"bytes": 1, "sha256": "0"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="transfer_meta.share/9"), "has format"),
        (lambda c: c.update(kind="program"), "'kind' is not one of"),
        (lambda c: c.pop("files"), "lacks 'files'"),
        (lambda c: c["files"].update({"../up.csv": FILE}), "lists '../up.csv'"),
        (lambda c: c["files"].update({"/etc/passwd": FILE}), "lists '/etc/passwd'"),
        (lambda c: c["files"].update({"state.pkl": FILE}), "lists 'state.pkl'"),
        (lambda c: c["files"].update({"card.json": FILE}), "which is no file of a table of outcomes"),
        (lambda c: c["files"].update({TASKS_FILE: {"bytes": -1, "sha256": ""}}), "'files'"),
        (lambda c: c["files"][TASKS_FILE].update(bytes=2 * MAX_BYTES["outcomes"]), "larger files"),
        (lambda c: c.update(files={README: c["files"][README]}), "lists no file"),
        (lambda c: c["files"][OUTCOMES_FILE].update(bytes=5), "is larger than 5 bytes"),
        (lambda c: c["files"][OUTCOMES_FILE].update(bytes=10**6), "is not what was pushed"),
        (lambda c: c["files"][OUTCOMES_FILE].update(sha256="0" * 64), "is not what was pushed"),
        (lambda c: c["files"].pop(OUTCOMES_FILE), ""),
    ],
)  # fmt: skip
def test_an_edited_manifest_is_refused(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    push(PAPER, tmp_path / "a")
    _edited(tmp_path / "a", change)
    with pytest.raises(InputError) as error:
        pull(tmp_path / "a", tmp_path / "out")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b"{" * 10**5, b" " * 2**23, b'{"a": 1, "a": 2}']
)
def test_what_is_no_manifest_is_refused(content: bytes, tmp_path: Path) -> None:
    push(PAPER, tmp_path / "a")
    (tmp_path / "a" / MANIFEST).write_bytes(content)
    for act in (
        lambda: pull(tmp_path / "a", tmp_path / "out"),
        lambda: push(PAPER, tmp_path / "a", PushSettings(replace=True)),
    ):
        with pytest.raises(InputError, match="cannot be used"):
            act()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [OUTCOMES_FILE, TASKS_FILE, MANIFEST])
def test_links_out_of_the_folder_and_pipes_are_not_read(name: str, tmp_path: Path) -> None:
    push(PAPER, tmp_path / "a")
    outside = tmp_path / "outside"
    (tmp_path / "a" / name).rename(outside)
    (tmp_path / "a" / name).symlink_to(outside)
    with pytest.raises(InputError, match="is a link to a file outside"):
        pull(tmp_path / "a", tmp_path / "out")
    (tmp_path / "a" / name).unlink()
    os.mkfifo(tmp_path / "a" / name)
    with pytest.raises(InputError, match="is not a regular file"):
        pull(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_fits_the_manifest_is_opened_as_any_model(predictor: Path, tmp_path: Path) -> None:
    push(predictor, tmp_path / "a")
    (tmp_path / "a" / "state.json").write_text("{}")
    _fitting(tmp_path / "a")
    with pytest.raises(
        InputError, match=r"the model in '.*/a' is corrupt: state.json is not what was saved"
    ):
        pull(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_fits_the_manifest_is_opened_as_any_table(tmp_path: Path) -> None:
    push(PAPER, tmp_path / "a")
    (tmp_path / "a" / OUTCOMES_FILE).write_text("a,b\n1,2\n")
    _fitting(tmp_path / "a")
    with pytest.raises(InputError, match="source"):
        pull(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_in_a_model_are_not_pushed(predictor: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("card.json", "tasks.csv", "state.json"):
        (folder / name).write_bytes((predictor / name).read_bytes())
    (tmp_path / "secret").write_text("s")
    (folder / "booster_0.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is not a regular file of the folder"):
        push(folder, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_write_that_fails_leaves_nothing_to_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"memory://{uuid.uuid4().hex}/shared"
    system, _ = fsspec.url_to_fs(address)
    moved = []

    def failing(path: str, *arguments: Any, **options: Any) -> None:
        moved.append(path)
        if len(moved) == 2:
            raise OSError("the disk is full")
        type(system).mv(system, path, *arguments, **options)

    monkeypatch.setattr(system, "mv", failing, raising=False)
    with pytest.raises(InputError, match="the disk is full"):
        push(PAPER, address)
    with pytest.raises(InputError, match="nothing is shared at"):
        pull(address, tmp_path / "out")
    monkeypatch.undo()
    with pytest.raises(InputError, match="holds other files"):
        push(PAPER, address)
    push(PAPER, address, PushSettings(replace=True))
    assert pull(address, tmp_path / "out").kind == "outcomes"


@pytest.mark.parametrize(
    ("what", "settings", "message"),
    [
        ("nothing.csv", {}, "nothing.csv"),
        ("taskwep", {}, "did you mean 'taskweb'"),
        (PAPER, {"title": " "}, "title must be a line"),
        (PAPER, {"licence": "a\nb"}, "licence must be a line"),
        (".", {}, "no model in"),
        ("nothing.sqlite", {}, "nothing.sqlite"),
    ],
)
def test_bad_input(
    what: str, settings: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        push(what, tmp_path / "a", PushSettings(**settings))
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address", ["ftp9://x/y", "s3://me:secret@bucket/x", "hf:one", "nowhere", "hf:me/none"]
)
def test_addresses_that_cannot_be_read(address: str, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        pull(address, tmp_path / "out")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_commands(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", PAPER, "hf:me/a", "--licence", "mit"]) == 0
    printed = capsys.readouterr()
    assert "to hf:me/a (private):" in printed.err
    assert OUTCOMES_FILE in printed.err
    assert OUTCOMES_FILE in printed.out
    out = tmp_path / "out"
    assert main(["pull", "hf:me/a", "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["place"] == str(out)
    assert {file["name"] for file in found["files"]} == set(contents(out)) - {MANIFEST}
    assert main(["push", PAPER, "hf:me/a"]) == 2
    hub.error = ConnectionError(f"refused for {TOKEN}")
    assert main(["pull", "hf:me/a", "--out", str(tmp_path / "b")]) == 2
    printed = capsys.readouterr()
    assert TOKEN not in printed.err + printed.out
    assert printed.err.splitlines()[-1].startswith(
        "error: the shared folder 'hf:me/a' cannot be used: "
    )


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / OUTCOMES_FILE).write_text("x")
    made = Manifest.of("outcomes", "a “title”", tmp_path, [OUTCOMES_FILE])
    assert Manifest.parse(made.to_json().encode()) == made
