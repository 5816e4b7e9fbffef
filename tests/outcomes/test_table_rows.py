"""Rows of a table of outcomes: keys, failed runs, directions and units, baselines among the rows."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.evaluation.ceiling import noise_ceiling
from transfer_meta.outcomes.metric_units import lower_is_better
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import OutcomeTable, build_table, load_outcomes

NAMES = ("ant", "bee", "cod", "dab", "eel")


def runs(seeds: int = 2) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [
        (s, t, k, 0.5 + 0.01 * NAMES.index(t), round(random.uniform(0.4, 0.7), 4))
        for t in NAMES
        for s in NAMES
        if s != t
        for k in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["source", "target", "seed", "baseline", "score"])


def note(table: OutcomeTable, part: str) -> str:
    found = [text for text in table.notes if part in text]
    assert len(found) == 1, table.notes
    return found[0]


@pytest.mark.parametrize(
    "spelling", ["ant ", " ant", "ant\u200b", "\ufeffant", "an\u00adt", "\u00a0ant"]
)
def test_names_that_look_alike_are_one_task(spelling: str) -> None:
    frame = runs()
    frame.loc[frame.index % 3 == 0, "source"] = frame["source"].replace("ant", spelling)
    frame.loc[frame.index % 2 == 0, "target"] = frame["target"].replace("ant", spelling)
    table = build_table(frame)
    assert set(table.pairs["source"]) | set(table.pairs["target"]) == set(NAMES)
    pd.testing.assert_frame_equal(table.pairs, build_table(runs()).pairs)
    assert note(table, "white space and invisible characters")


def test_composed_and_decomposed_letters_are_one_and_case_is_two() -> None:
    table = build_table(
        runs().replace({"source": {"ant": "cafe\u0301"}, "target": {"ant": "caf\u00e9"}})
    )
    assert set(table.pairs["source"]) == {"café", *NAMES[1:]}
    frame = runs()
    frame.loc[0, "source"] = frame.loc[0, "source"].upper()
    assert "differ only in case" in note(build_table(frame), "case")


def test_settings_are_cleaned_and_an_empty_one_is_its_own() -> None:
    frame = pd.concat([runs().assign(regime="small"), runs().assign(regime="small ")])
    frame.iloc[len(runs()) :, frame.columns.get_loc("score")] += 0.01
    with pytest.raises(InputError, match="2 different rows of bee -> ant with seed 0: score"):
        build_table(frame)
    frame["regime"] = ["small"] * len(runs()) + [None] * len(runs())
    table = build_table(frame)
    assert set(table.pairs["setting"]) == {"", "small"}
    assert "a setting of its own" in note(table, "regime is empty")
    assert len(noise_ceiling(table, ["spearman"]))
    number = build_table(frame.assign(regime=[200.0] * len(runs()) + [np.nan] * len(runs())))
    assert set(number.pairs["setting"]) == {"", "200"}


@pytest.mark.parametrize("last", [["1.0"], [" 1"], [1.0], ["1 "]])
def test_seeds_are_numbers_however_they_are_written(last: list) -> None:
    frame = pd.concat([runs(), runs().tail(1).assign(seed=last)])
    frame["seed"] = frame["seed"].astype(object)
    table = build_table(frame)
    assert table.runs["seed"].dtype == "int64"
    assert "1 repeated rows count once (row 41)" in note(table, "repeated")


def test_a_run_without_a_seed_is_a_run() -> None:
    frame = runs(3)
    frame.loc[4, "seed"] = np.nan
    table = build_table(frame)
    assert (table.pairs["n_seeds"] == 3).all()
    assert note(table, "without a seed") == "runs without a seed (row 5)"
    assert noise_ceiling(table, ["spearman"])["n"].tolist() == [5] * 3


def test_repeated_rows_make_no_ceiling() -> None:
    frame = runs(1)
    for table in (frame, frame.drop(columns="seed")):
        twice = build_table(pd.concat([table, table]))
        pd.testing.assert_frame_equal(twice.pairs, build_table(table).pairs)
        assert noise_ceiling(twice).empty
        numbered = pd.concat([table, table]).reset_index(drop=True).reset_index()
        assert noise_ceiling(build_table(numbered)).empty


def test_repeats_without_seeds_stay_repeats() -> None:
    frame = runs(2).drop(columns="seed")
    assert (build_table(frame).pairs["n_seeds"] == 2).all()


def test_different_rows_of_a_seed_name_the_column_that_tells_them_apart() -> None:
    frame = pd.concat([runs(1).assign(prompt=1), runs(1).assign(prompt=2, score=0.6)])
    with pytest.raises(
        InputError, match=r"\(rows 1, 21\); if 'prompt' tells.*--columns settings=prompt"
    ):
        build_table(frame)
    assert build_table(frame, columns={"settings": "prompt"}).pairs["setting"].nunique() == 2


BAD = {
    "without score": {"score": None},
    "score is no number": {"score": "crashed"},
    "score is infinite": {"score": "inf"},
    "without baseline": {"baseline": "-"},
    "baseline of 0 or below": {"baseline": -0.02},
    "without source": {"source": ""},
    "without target": {"target": None},
    "score and baseline in different units": {"score": 55, "baseline": 0.5},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_left_out_and_counted(reason: str, tmp_path) -> None:
    frame = runs().astype(object)
    for column, value in BAD[reason].items():
        frame.loc[[6, 20, 21, 30], column] = value
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = load_outcomes(tmp_path / "t.csv")
    assert len(table.runs) == 36
    text = note(table, "left out")
    assert text.startswith("4 of 40 rows left out: ")
    assert reason in text
    assert text.endswith("(rows 7, 21, 22, …)")
    listed = load_outcomes(tmp_path / "t.csv", settings=TableSettings(verbose=True))
    assert note(listed, "left out").endswith("(rows 7, 21, 22, 31)")
    expected = runs().drop(index=[6, 20, 21, 30])
    pd.testing.assert_frame_equal(table.pairs, build_table(expected).pairs)
    for column, value in BAD[reason].items():
        frame.loc[frame.index[:21], column] = value
    with pytest.raises(InputError, match=r"2\d of 40 rows .* cannot be used: 2\d .*" + reason):
        build_table(frame)


def test_a_gain_that_contradicts_is_left_out_and_one_in_percent_is_read() -> None:
    frame = runs().assign(gain=lambda f: (f["score"] / f["baseline"] - 1).round(4))
    wrong = frame.copy()
    wrong.loc[3, "gain"] += 0.2
    assert "contradicts" in note(build_table(wrong), "1 of 40 rows left out")
    expected = build_table(frame).pairs
    for other, words in (
        (100 * frame["gain"], "percent"),
        (frame["score"] - frame["baseline"], "holds score"),
    ):
        table = build_table(frame.assign(gain=other))
        pd.testing.assert_frame_equal(table.pairs, expected)
        assert note(table, words)


def test_taskweb_loads_with_its_two_failed_runs(shared) -> None:
    table = load_outcomes(shared / "taskweb" / "outcomes.csv.gz")
    assert len(table.runs) == 17_646
    assert note(table, "2 of 17648 rows left out: without score")


@pytest.mark.parametrize(
    ("name", "lower"),
    [("loss", True), ("eval_loss", True), ("Perplexity", True), ("ppl", True), ("WER", True), ("cer", True),
     ("test RMSE", True), ("error rate", True), ("bits_per_char", True), ("NLL", True),
     ("negative log-likelihood", True), ("cross_entropy", True), ("bpc", True), ("accuracy", False),
     ("f1", False), ("mcc", False), ("bleu", False),
     ("pearson", False), ("neg_mean_squared_error", False), ("1-WER", False), ("whatever", False),
     ("f1_per_class", False), ("error reduction", False)],
)  # fmt: skip
def test_the_direction_of_a_metric(name: str, lower: bool) -> None:
    assert lower_is_better(name) is lower


def test_lower_is_better_turns_gains_and_ranks() -> None:
    frame = runs()
    turned = frame.assign(score=2 * frame["baseline"] - frame["score"])
    expected = build_table(frame).pairs
    by_metric = build_table(turned.assign(metric="WER"))
    by_option = build_table(turned, settings=TableSettings(lower_is_better=True))
    by_name = build_table(turned.rename(columns={"score": "wer"}), columns={"score": "wer"})
    for table in (by_metric, by_option, by_name):
        np.testing.assert_allclose(table.pairs["gain"], expected["gain"], atol=1e-12)
        np.testing.assert_allclose(table.pairs["score"], expected["score"], atol=1e-12)
    assert "--higher-is-better" in note(by_metric, "lower is better")
    assert by_option.notes == ()
    told = build_table(turned.assign(metric="WER"), settings=TableSettings(lower_is_better=False))
    np.testing.assert_allclose(told.pairs["gain"], -expected["gain"], atol=1e-12)


def test_a_table_of_several_metrics_is_turned_row_by_row() -> None:
    frame = runs().assign(metric=lambda f: np.where(f["target"] == "bee", "perplexity", "accuracy"))
    bee = frame["target"] == "bee"
    turned = frame.copy()
    turned.loc[bee, "score"] = 2 * frame["baseline"] - frame["score"]
    table = build_table(turned)
    np.testing.assert_allclose(table.pairs["gain"], build_table(runs()).pairs["gain"], atol=1e-12)
    assert "in 8 of 40 rows: perplexity" in note(table, "lower is better")
    assert table.pairs["setting"].eq("").all()


def test_a_metric_is_a_setting_where_it_varies_in_a_target() -> None:
    both = pd.concat([runs().assign(metric="f1"), runs().assign(metric="accuracy", score=0.55)])
    assert set(build_table(both).pairs["setting"]) == {"f1", "accuracy"}


def test_scores_alone_are_turned() -> None:
    frame = runs().drop(columns="baseline")
    table = build_table(frame.assign(metric="loss"))
    np.testing.assert_allclose(table.pairs["score"], -build_table(frame).pairs["score"])


@pytest.mark.parametrize("alone", [False, True])
def test_percent_beside_fractions_is_one_unit(alone: bool) -> None:
    frame = runs().drop(columns="baseline") if alone else runs()
    mixed = frame.copy()
    measured = [c for c in ("score", "baseline") if c in frame]
    mixed.loc[mixed["target"].isin(["bee", "eel"]), measured] *= 100
    table = build_table(mixed)
    np.testing.assert_allclose(table.pairs["score"], build_table(frame).pairs["score"])
    assert "16 of 40 rows, target bee, eel" in note(table, "percent beside fractions")
    whole = frame.copy()
    whole[measured] *= 100
    assert build_table(whole).notes == ()
    assert build_table(whole).pairs["score"].max() > 40


def test_a_target_alone_is_its_baseline() -> None:
    frame = runs()
    alone = frame.drop_duplicates(["target", "seed"])
    alone = alone.assign(source=alone["target"], score=alone["baseline"])
    long = pd.concat([frame, alone]).drop(columns="baseline")
    for sources in (alone["target"], "none", "baseline"):
        table = build_table(pd.concat([frame, alone.assign(source=sources)]).drop(columns="baseline"))
        pd.testing.assert_frame_equal(table.pairs, build_table(frame).pairs)
        assert "its baseline (rows 41" in note(table, "alone")
    left = build_table(pd.concat([frame, alone]))
    pd.testing.assert_frame_equal(left.pairs, build_table(frame).pairs)
    assert note(left, "rows whose source is the target left out")
    one_seed = build_table(long[(long["source"] != long["target"]) | (long["seed"] == 0)])
    pd.testing.assert_frame_equal(one_seed.pairs, build_table(frame).pairs)
    few = build_table(long[(long["source"] != long["target"]) | (long["target"] == "ant")])
    assert not few.has_gain


EXCEL = "source;target;seed;baseline;score\n" + "".join(
    f"{s};{t};{k};{str(b).replace('.', ',')};{str(v).replace('.', ',')}\n"
    for s, t, k, b, v in runs().itertuples(index=False)
)


@pytest.mark.parametrize(
    "content",
    [
        EXCEL.encode(),
        b"sep=;\r\n" + EXCEL.replace("\n", "\r\n").encode(),
        EXCEL.encode("utf-16"),
        EXCEL.replace(";", "\t").encode("utf-16"),
        EXCEL.replace("\n", ";\n").encode(),
        EXCEL.replace("\n", ";\n").replace("score;", "score", 1).encode(),
        EXCEL.replace("\n", "\r").encode(),
        EXCEL.replace(";", '";"').replace("\n", '"\n"').strip('"').join(['"', ""]).encode(),
        runs().to_csv(sep="|", index=False).encode(),
        runs().to_csv().encode(),
        runs().rename(columns=str.title).to_csv(index=False).encode(),
    ],
    ids=[
        "semicolons",
        "sep=",
        "utf-16",
        "tabs",
        "trailing",
        "trailing-rows",
        "cr",
        "quoted",
        "bars",
        "index",
        "title",
    ],
)
def test_tables_as_spreadsheets_write_them(content: bytes, tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = load_outcomes(path)
    assert table.pair_features == ()
    pd.testing.assert_frame_equal(table.pairs, build_table(runs()).pairs)


def test_columns_are_renamed_and_names_stay_text() -> None:
    text = "aux,main,seed,gain\n007,01,1,0.1\n01,007,1,-0.1\n"
    frame = pd.read_csv(io.StringIO(text), dtype=str)
    assert build_table(frame, columns={"source": "aux", "target": "main"}).pairs["source"].tolist() == [
        "007",
        "01",
    ]


def test_rows_with_too_many_fields_are_left_out(tmp_path) -> None:
    lines = runs().to_csv(index=False).splitlines()
    lines[4] += ",a note"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table = load_outcomes(tmp_path / "t.csv")
    assert len(table.runs) == 39
    assert "1 row with more fields than the header left out (line 5)" in table.notes
    with pytest.raises(InputError, match=r"t\.csv:5: more fields"):
        load_outcomes(tmp_path / "t.csv", settings=TableSettings(strict=True))


def test_rows_copied_under_other_seeds_are_one_run() -> None:
    """No noise ceiling may come from them: it would be 1."""
    rows = [
        {"source": s, "target": t, "seed": seed, "baseline": 0.5, "score": 0.5 + 0.01 * (i + 1)}
        for i, (s, t) in enumerate(
            [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
        )
        for seed in (1, 2, 3)
    ]
    table = build_table(pd.DataFrame(rows))
    assert table.pairs["n_seeds"].eq(1).all()
    assert any("they count as one run" in note for note in table.notes)
    rows[0]["score"] = 0.6
    assert build_table(pd.DataFrame(rows)).pairs["n_seeds"].eq(3).all()
