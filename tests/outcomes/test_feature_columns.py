"""Which columns of a table become features."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.metadataset import build_metadataset
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, build_table

TASKS = ("otter", "heron", "birch", "maple", "plover", "sedge", "willow", "teal")


def noise(n_tasks: int = 8, seeds: int = 1, seed: int = 0) -> pd.DataFrame:
    """Outcomes whose gains are pure noise."""
    random = np.random.default_rng(seed)
    rows = [(s, t, k) for s, t in permutations(TASKS[:n_tasks], 2) for k in range(seeds)]
    frame = pd.DataFrame(rows, columns=["source", "target", "seed"])
    base = dict(zip(TASKS, random.uniform(0.3, 0.8, len(TASKS)), strict=True))
    frame["baseline"] = frame["target"].map(base)
    frame["score"] = (frame["baseline"] * (1 + random.normal(0, 0.08, len(frame)))).round(4)
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def gain(frame: pd.DataFrame) -> pd.Series:
    return (frame["score"] - frame["baseline"]) / frame["baseline"]


def refused(table: OutcomeTable, column: str) -> str:
    assert column not in table.pair_features
    found = [note for note in table.notes if note.startswith(f"column '{column}' is no feature")]
    assert len(found) == 1
    return found[0]


COMPUTED = {
    "place": lambda f: f.groupby("target")["score"].rank(ascending=False),
    "overall": lambda f: gain(f).rank(),
    "pct": lambda f: (100 * gain(f)).round(2),
    "points": lambda f: f["score"] - f["baseline"],
    "rounded": lambda f: f["score"].round(2),
    "share_of_best": lambda f: f["score"] / f.groupby("target")["score"].transform("max"),
    "z": lambda f: (f["score"] - f.groupby("target")["score"].transform("mean")) * 3,
    "better": lambda f: f["score"] > f["baseline"],
    "minus": lambda f: 1 - f["score"],
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_computed_from_the_outcome_is_refused_and_can_be_forced(name: str, seeds: int) -> None:
    frame = noise(seeds=seeds)
    frame[name] = COMPUTED[name](frame)
    note = refused(build_table(frame), name)
    pattern = note.split("--features '")[1].removesuffix("'")
    forced = build_table(frame, settings=TableSettings(features=pattern))
    assert name in forced.pair_features
    assert list(build_metadataset(forced, pattern).X)[3:] == [f"pair.{name}"]


@pytest.mark.parametrize("features", ["all", "pair", ".*", "all-but-place", "plac", "data"])
def test_a_set_that_does_not_name_the_column_forces_nothing(features: str) -> None:
    frame = noise().assign(place=lambda f: f["score"].rank())
    refused(build_table(frame, settings=TableSettings(features=features)), "place")


@pytest.mark.parametrize(
    "name",
    ["dev_f1", "f1", "test_accuracy", "score2", "rank", "delta", "improvement", "p_value", "gain_pct", "evalLoss",
     "train_runtime", "score_sd", "dev"],
)  # fmt: skip
def test_what_is_measured_with_the_outcome_by_its_name_is_refused(name: str) -> None:
    frame = noise()
    frame[name] = np.random.default_rng(3).random(len(frame))
    assert "measured with the outcome" in refused(build_table(frame), name)


def test_a_doubtful_name_needs_a_correlation() -> None:
    frame, random = noise(), np.random.default_rng(4)
    frame["score_gru"] = frame["score"] + random.normal(0, 0.02, len(frame))
    frame["score_cnn"] = random.random(len(frame))
    table = build_table(frame)
    assert "rank correlation" in refused(table, "score_gru")
    assert table.pair_features == ("score_cnn",)


@pytest.mark.parametrize(
    "name",
    ["source_size", "target_f1", "similarity", "similarity_score", "jsd", "logme", "h_score", "zero_shot_accuracy",
     "source_accuracy", "size_diff", "train_size", "dev_size", "tokens_covered_target", "mean_textemb",
     "baseline_f1"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pair", "source", "target"])
def test_what_is_known_before_stays(name: str, kind: str) -> None:
    frame = noise()
    values = np.random.default_rng(5).normal(size=len(frame))
    frame[name] = values
    if kind != "pair":
        frame[name] = frame.groupby(kind)[name].transform("first")
    assert build_table(frame).pair_features == (name,)


@pytest.mark.parametrize("n_tasks", [4, 5, 6, 8])
def test_chance_refuses_nothing(n_tasks: int) -> None:
    """200 columns of noise, half of them with few values, beside few sources a target."""
    random = np.random.default_rng(6)
    frame = noise(n_tasks)
    values = random.normal(size=(len(frame), 200))
    values[:, 100:] = values[:, 100:].round(0).clip(-1, 1)
    columns = [f"q{i}" for i in range(200)]
    table = build_table(frame.join(pd.DataFrame(values, columns=columns)))
    assert table.pair_features == tuple(columns)


def test_a_second_score_of_any_name_is_refused() -> None:
    frame, random = noise(seeds=2), np.random.default_rng(8)
    frame["lstm"] = frame["score"] + random.normal(0, 0.004, len(frame))
    assert "it orders the sources of" in refused(build_table(frame), "lstm")


def test_a_strong_feature_is_no_computed_one() -> None:
    """A property of sources that explains most of the gains stays; so does the target's own score."""
    frame, random = noise(), np.random.default_rng(7)
    strength = dict(zip(TASKS, random.normal(size=8), strict=True))
    frame["quality"] = frame["source"].map(strength)
    frame["score"] = frame["baseline"] * (
        1 + 0.1 * frame["quality"] + random.normal(0, 0.03, len(frame))
    )
    frame["target_score"] = frame["baseline"]
    assert build_table(frame).pair_features == ("quality", "target_score")


def test_running_numbers_and_constants_are_no_features() -> None:
    frame = noise()
    numbers = {name: k for k, name in enumerate(TASKS, start=1)}
    frame = frame.assign(
        **{"Unnamed: 0": np.arange(len(frame)), "n": np.random.default_rng(0).permutation(len(frame))},
        every=range(10, 10 + len(frame)), source_code=frame["source"].map(numbers), same=3.5, nothing=np.nan,
        left=np.random.default_rng(2).choice(100, len(frame), replace=False),
        run_id=np.random.default_rng(1).integers(9999, size=len(frame)), jsd=np.linspace(0, 1, len(frame)),
    )  # fmt: skip
    table = build_table(frame)
    assert table.pair_features == ("jsd",)
    assert "numbers the sources" in refused(table, "source_code")
    assert "one value" in refused(table, "same")
    assert "no values" in refused(table, "nothing")
    for column in ("Unnamed: 0", "n", "every", "left", "run_id"):
        assert "numbers the rows" in refused(table, column)
    assert table.notes[-1] == "features of the pair (1): jsd"


def test_thousands_separators_are_read_in_both_tables() -> None:
    frame = noise(4)
    sizes = {"otter": "1,000", "heron": "250", "birch": "12,500", "maple": "3,141"}
    frame["source_size"] = frame["source"].map(sizes)
    tasks = pd.DataFrame({"task": sizes.keys(), "size": sizes.values()}).assign(
        number=range(4), nr=range(4)
    )
    table = build_table(frame, tasks=pd.concat([tasks, tasks.assign(task="more", size="7")[:1]]))
    assert table.pair_features == ("source_size",)
    assert table.pairs.set_index("source")["source_size"]["birch"].tolist() == [12500.0] * 3
    assert table.tasks["size"]["otter"] == 1000
    assert "commas read as thousands separators: source_size" in table.notes


def test_an_id_of_the_tasks_is_no_feature() -> None:
    tasks = pd.DataFrame({"id": range(1, 9), "task": TASKS, "size": [5.0, 3, 8, 1, 2, 9, 4, 7]})
    table = build_table(noise(), tasks=tasks)
    assert list(table.tasks) == ["size"]
    assert any("column 'id' of the tasks is no feature" in note for note in table.notes)
    forced = build_table(noise(), tasks=tasks, settings=TableSettings(features=r"source\.id$"))
    assert list(forced.tasks) == ["id", "size"]
    with pytest.raises(InputError, match="has no feature"):
        build_table(noise(), tasks=tasks[["id", "task"]])
