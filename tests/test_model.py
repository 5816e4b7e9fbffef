from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from result_checks import check_escaped, check_result

from transfer_meta.cli.app import main
from transfer_meta.errors import InputError
from transfer_meta.files import digest
from transfer_meta.model import FitSettings, Model, fit, load_model
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, build_table, load_outcomes
from transfer_meta.predictors import OF_SETS, PREDICTORS
from transfer_meta.predictors.registry import SIMILARITIES

TABLE = load_outcomes("bingel-soegaard-2017")
PAIRS = pd.DataFrame({"source": ["POS", "CCG", "HYP"], "target": ["CHU", "HYP", "STR"]})


def fit_quickly(table: OutcomeTable, predictor: str = "logistic") -> Model:
    """Fit without a benchmark."""
    return fit(table, FitSettings(predictor=predictor, judge=False))


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_model_predicts_the_same_after_loading(name: str, tmp_path: Path) -> None:
    table, pairs = TABLE, PAIRS
    if name in SIMILARITIES or name in OF_SETS:
        score = SIMILARITIES.get(name, ("set_sum",))[0]
        frame = TABLE.pairs[["source", "target", "gain"]].assign(**{score: np.linspace(-1, 1, 90)})
        table, pairs = build_table(frame), PAIRS.assign(**{score: [0.1, 0.9, np.nan]})
    model = fit_quickly(table, name)
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    first, second = (m.predict(pairs).to_frame() for m in (model, loaded))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_the_folder_is_plain_text(tmp_path: Path) -> None:
    fit_quickly(TABLE, "lightgbm").save(tmp_path / "m")
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "card.json",
        "state.json",
        "tasks.csv",
        "booster_0.txt",
    }
    for path in (tmp_path / "m").iterdir():
        path.read_text(encoding="utf-8")


def test_the_card_says_how_good_it_is() -> None:
    card = fit(TABLE, FitSettings(features="data")).card
    assert card["protocol"] == "leave-one-target-out"
    assert 0 < card["figures"]["brier"] < 1
    assert card["n_pairs"] == 90
    assert len(card["columns"]) == 3 + 21


def test_new_tasks_bring_their_features() -> None:
    model = fit_quickly(TABLE)
    new = TABLE.tasks.rename(index={"POS": "NEW"}).loc[["NEW"]]
    renamed = PAIRS.replace("POS", "NEW")
    with pytest.raises(InputError, match="task 'NEW' has no features"):
        model.predict(renamed)
    np.testing.assert_array_equal(
        model.predict(renamed, new).rows["probability"], model.predict(PAIRS).rows["probability"]
    )
    with pytest.raises(InputError, match="lacks the model's feature 'size'"):
        model.predict(renamed, tasks=new.drop(columns="size"))


def test_pair_features_are_asked_for() -> None:
    frame = TABLE.pairs[["source", "target", "gain"]].assign(jsd=np.linspace(0, 1, 90))
    model = fit_quickly(build_table(frame))
    with pytest.raises(InputError, match="missing column 'jsd'"):
        model.predict(PAIRS)
    assert len(model.predict(PAIRS.assign(jsd=0.5)).rows) == 3


@pytest.mark.parametrize("column", ["setting", "source", "target"])
@pytest.mark.parametrize("empty", [None, np.nan, pd.NA])
def test_pairs_without_a_name_are_one_line(column: str, empty: object) -> None:
    pairs = PAIRS.assign(setting="a").astype(object)
    pairs.iloc[1, list(pairs).index(column)] = empty
    with pytest.raises(InputError, match=f"column '{column}' of the pairs is empty in row 2"):
        fit_quickly(TABLE, "ridge").predict(pairs)


def test_numbers_as_settings_are_names() -> None:
    model = fit_quickly(TABLE, "ridge")
    found = [model.predict(PAIRS.assign(setting=setting)).rows for setting in (1, "1", [1, "b", 2.5])]
    pd.testing.assert_frame_equal(found[0], found[1])
    assert np.isfinite(found[2]["probability"]).all()


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: (m / "card.json").unlink(), "there is no card.json"),
        (lambda m: (m / "card.json").write_text("{"), "is corrupt"),
        (lambda m: (m / "card.json").write_text("[]"), "is corrupt"),
        (lambda m: (m / "state.json").write_text("{}"), "state.json is not what was saved"),
        (lambda m: (m / "booster_0.txt").unlink(), "is corrupt"),
        (lambda m: (m / "booster_0.txt").write_bytes(b"\xff\xfe"), "is corrupt"),
        (lambda m: edit(m / "card.json", format=99), "has format 99"),
        (lambda m: edit(m / "card.json", predictor="os.system"), "unknown predictor"),
        (
            lambda m: edit(m / "card.json", columns=["setting", "source", "target", "target.size"]),
            "other columns",
        ),
    ],
)
def test_a_damaged_model_is_one_clear_line(tmp_path: Path, damage, message: str) -> None:
    fit_quickly(TABLE, "lightgbm").save(tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(InputError, match=message) as error:
        load_model(tmp_path / "m")
    assert "\n" not in str(error.value)


CASES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "models"


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases/models")
def test_folders_that_once_ended_the_process_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    folders = [path for path in CASES.iterdir() if path.is_dir()]
    assert len(folders) == 12
    for folder in folders:
        assert main(["predict", str(folder), str(CASES / "pairs.csv")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: the model in")
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("task,a\nx,1\nx,2\n", "'x' twice"),
        ("task,a,a\nx,1,2\n", "a column twice"),
        ("task,a\nx,1,2\n", "different lengths"),
        ("task,a\nx,one\n", "no number"),
        ("task,a\nx,inf\n", "infinite"),
        ("a\n1\n", "another one than 'task'"),
        ('task,a\n"x,1\n', "no table"),
        ("", "no table"),
        ("task,a\nx,1\n", "which is none of a feature"),
    ],
)
def test_the_table_of_tasks_is_checked(tmp_path: Path, tasks: str, message: str) -> None:
    fit_quickly(TABLE).save(tmp_path / "m")
    (tmp_path / "m" / "tasks.csv").write_text(tasks)
    digests = json.loads((tmp_path / "m" / "card.json").read_text())["digests"]
    edit(tmp_path / "m" / "card.json", digests=digests | {"tasks.csv": digest(tasks)})
    with pytest.raises(InputError, match=message) as error:
        load_model(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_links_pipes_and_giants_are_refused(tmp_path: Path) -> None:
    fit_quickly(TABLE).save(tmp_path / "m")
    state = tmp_path / "m" / "state.json"
    outside = state.replace(tmp_path / "state.json")
    state.symlink_to(outside)
    with pytest.raises(InputError, match="a link to a file outside"):
        load_model(tmp_path / "m")
    state.unlink()
    os.mkfifo(state)
    with pytest.raises(InputError, match="not a regular file"):
        load_model(tmp_path / "m")
    state.unlink()
    with state.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="larger than"):
        load_model(tmp_path / "m")


def test_the_commands_print_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, pairs = tmp_path / "m", tmp_path / "pairs.csv"
    pairs.write_text("aux,main\nPOS,CHU\n,HYP\n")
    assert (
        main(["fit", TABLE.name, "--predictor", "ridge", "--features", "data", "--out", str(folder)])
        == 0
    )
    model = load_model(folder)
    assert capsys.readouterr().out == model.figures_text(saved_in=folder) + "\n"
    assert str(model) == str(fit(TABLE.name, FitSettings(predictor="ridge", features="data")))
    columns = {"source": "aux", "target": "main"}
    told: list[str] = []
    found = model.predict(pairs, settings=TableSettings(columns=columns), tell=told.append)
    assert told == list(found.notes)
    assert "1 of 2 rows left out" in told[0]
    command = ["predict", str(folder), str(pairs), "--columns", "source=aux,target=main"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()


def test_predictions_are_a_result() -> None:
    model = fit_quickly(TABLE)
    check_result(model.predict(PAIRS), ["source", "target", "probability", "expected_gain"])
    scores = TABLE.pairs[["source", "target"]].assign(score=TABLE.pairs["gain"])
    ranked = fit_quickly(build_table(scores, tasks=TABLE.tasks.reset_index()), "ridge").predict(PAIRS)
    check_result(ranked, ["source", "target", "ranking"])
    new = TABLE.tasks.rename(index={"POS": "<b>$x$"}).loc[["<b>$x$"]]
    for tasks in (new, new.rename_axis("task").reset_index()):
        check_escaped(model.predict(PAIRS.replace("POS", "<b>$x$"), tasks), "<b>$x$")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"predictor": "logisitc"}, "did you mean 'logistic'"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FitSettings(**settings)
