from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.model import fit_model, load_model, save_model
from transfer_meta.outcomes.tables import build_table, load_outcomes
from transfer_meta.predictors import PREDICTORS
from transfer_meta.predictors.registry import SIMILARITIES

TABLE = load_outcomes("bingel-soegaard-2017")
PAIRS = pd.DataFrame({"source": ["POS", "CCG", "HYP"], "target": ["CHU", "HYP", "STR"]})


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_model_predicts_the_same_after_loading(name: str, tmp_path: Path) -> None:
    table, pairs = TABLE, PAIRS
    if name in SIMILARITIES:
        score = SIMILARITIES[name][0]
        frame = TABLE.pairs[["source", "target", "gain"]].assign(**{score: np.linspace(-1, 1, 90)})
        table, pairs = build_table(frame), PAIRS.assign(**{score: [0.1, 0.9, np.nan]})
    model = fit_model(table, name, judge=False)
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    pd.testing.assert_frame_equal(model.predict(pairs), loaded.predict(pairs), check_exact=True)


def test_the_folder_is_plain_text(tmp_path: Path) -> None:
    save_model(fit_model(TABLE, "lightgbm", judge=False), tmp_path / "m")
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "card.json",
        "state.json",
        "tasks.csv",
        "booster_0.txt",
    }
    for path in (tmp_path / "m").iterdir():
        path.read_text(encoding="utf-8")


def test_the_card_says_how_good_it_is() -> None:
    card = fit_model(TABLE, "logistic", features="data").card
    assert card["protocol"] == "leave-one-target-out"
    assert 0 < card["figures"]["brier"] < 1
    assert card["n_pairs"] == 90
    assert len(card["columns"]) == 3 + 21


def test_new_tasks_bring_their_features() -> None:
    model = fit_model(TABLE, "logistic", judge=False)
    new = TABLE.tasks.rename(index={"POS": "NEW"}).loc[["NEW"]]
    renamed = PAIRS.replace("POS", "NEW")
    with pytest.raises(InputError, match="task 'NEW' has no features"):
        model.predict(renamed)
    np.testing.assert_array_equal(
        model.predict(renamed, tasks=new)["probability"], model.predict(PAIRS)["probability"]
    )
    with pytest.raises(InputError, match="lacks the model's feature 'size'"):
        model.predict(renamed, tasks=new.drop(columns="size"))


def test_pair_features_are_asked_for() -> None:
    frame = TABLE.pairs[["source", "target", "gain"]].assign(jsd=np.linspace(0, 1, 90))
    model = fit_model(build_table(frame), "logistic", judge=False)
    with pytest.raises(InputError, match="missing column 'jsd'"):
        model.predict(PAIRS)
    assert len(model.predict(PAIRS.assign(jsd=0.5))) == 3


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
    save_model(fit_model(TABLE, "lightgbm", judge=False), tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(InputError, match=message) as error:
        load_model(tmp_path / "m")
    assert "\n" not in str(error.value)
