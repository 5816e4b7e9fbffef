from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.outcomes.table_settings import TableSettings
from transfer_meta.outcomes.tables import build_table, load_outcomes


def frame(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


GOOD = "source,target,baseline,score\na,b,0.5,0.6\nb,a,0.4,0.3\n"


def test_the_shipped_table_is_the_published_one(shared: Path) -> None:
    table = load_outcomes("bingel-soegaard-2017")
    theirs = pd.read_csv(shared / "bingel_soegaard" / "outcomes.csv").set_index(["aux", "main"])
    ours = table.pairs.set_index(["source", "target"])
    assert len(ours) == 90
    assert (ours["gain"] > 0).sum() == 40
    np.testing.assert_allclose(
        100 * ours["gain"], theirs.loc[ours.index, "relative_gain_pct"], atol=1e-9
    )
    features = pd.read_csv(shared / "bingel_soegaard" / "tasks.csv").set_index("task")
    for ours_name, theirs_name in {
        "curve_c_published_fit": "curve_c_oldenv",
        "curve_c_refit": "curve_c",
        "grad_30": "grad_30",
    }.items():
        np.testing.assert_allclose(
            table.tasks[ours_name], features.loc[table.tasks.index, theirs_name], rtol=1e-12
        )
    np.testing.assert_allclose(
        100 * table.tasks["oov_rate"], features.loc[table.tasks.index, "oov_rate"]
    )


def test_gain_comes_from_score_and_baseline() -> None:
    pairs = build_table(frame(GOOD)).pairs.set_index("source")
    assert pairs.loc["a", "gain"] == pytest.approx(0.2)
    assert pairs.loc["b", "gain"] == pytest.approx(-0.25)


def test_scores_alone_can_only_rank() -> None:
    assert not build_table(frame("source,target,score\na,b,0.5\nb,a,0.4\n")).has_gain


def test_repeated_runs_are_averaged_and_their_spread_kept() -> None:
    text = "source,target,seed,baseline,score\na,b,1,0.5,0.6\na,b,2,0.5,0.4\nb,a,1,0.5,0.6\n"
    pairs = build_table(frame(text)).pairs.set_index("source")
    assert pairs.loc["a", "gain"] == pytest.approx(0.0)
    assert pairs.loc["a", "gain_std"] == pytest.approx(np.std([0.2, -0.2], ddof=1))
    assert pairs.loc["a", "n_seeds"] == 2
    assert np.isnan(pairs.loc["b", "gain_std"])


def test_columns_are_renamed() -> None:
    text = GOOD.replace("source", "aux").replace("target", "main")
    table = build_table(frame(text), columns={"source": "aux", "target": "main"})
    assert table.pairs["source"].tolist() == ["a", "b"]


def test_further_numeric_columns_are_pair_features() -> None:
    table = build_table(frame(GOOD).assign(jsd=[0.1, 0.2], note=["x", "y"], seed=[1, 1]))
    assert table.pair_features == ("jsd",)


def test_settings_are_told_apart() -> None:
    both = pd.concat(
        [frame(GOOD).assign(method=m) for m in ("intermediate", "multitask")], ignore_index=True
    )
    assert build_table(both).pairs["setting"].tolist() == ["intermediate"] * 2 + ["multitask"] * 2


def test_names_are_read_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("source,target,gain\n007,NA,0.1\nNA,007,-0.1\n")
    assert load_outcomes(path).pairs["source"].tolist() == ["007", "NA"]


def test_parquet_and_gzip_are_read(tmp_path: Path) -> None:
    frame(GOOD).to_parquet(tmp_path / "t.parquet")
    frame(GOOD).to_csv(tmp_path / "t.csv.gz", index=False)
    assert load_outcomes(tmp_path / "t.parquet").pairs.equals(
        load_outcomes(tmp_path / "t.csv.gz").pairs
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorce,target,gain\na,b,1\n", "missing column 'source'.*did you mean 'sorce'"),
        ("source,target,gian\na,b,1\n", "missing column 'gain' or 'score'"),
        ("source,target,score\na,b,high\n", "score must be a number, got 'high' in row 1"),
        ("source,target,gain\na,b,inf\n", "gain is inf in row 1"),
        ("source,target,gain\nc,c,0.1\n", "no row of 'outcomes' is a transfer"),
        ("source,target,gain\n,b,0.1\n", "source is empty in row 1"),
        (
            "source,target,baseline,score\na,b,0.5,0.6\na,b,0.4,0.6\n",
            "contradicting baselines of a -> b: 0.4, 0.5",
        ),
        ("source,target,baseline,score\na,b,0,0.6\n", "baseline is 0 in row 1"),
        ("source,target,baseline,score,gain\na,b,0.5,0.6,20\n", "gains are fractions"),
        ("source,target,gain\n", "no rows"),
    ],
)
def test_bad_tables_are_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        build_table(frame(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target,gain\na,b,0.1\nb,a,\n", "gain is nan in row 2"),
        ("source,target,gain\na,b,0.1\nc,c,0.1\n", "same task 'c' in row 2"),
        ("source,target,gain\na,b,0.1\nb,a,0.2\nc,,0.1\n", "target is empty in row 3"),
        (GOOD + "c,a,0.0,0.5\n", "baseline is 0 in row 3"),
        (GOOD + "c,a,0.5,crashed\n", "score must be a number, got 'crashed' in row 3"),
        (GOOD + "a,b,0.5,0.6\n", "row 3 repeats an earlier row"),
        (GOOD + "c,a,0.4,40\n", "percent and a fraction"),
    ],
)
def test_strict_refuses_what_is_left_out_else(text: str, message: str) -> None:
    assert len(build_table(frame(text)).pairs) in (1, 2)
    with pytest.raises(InputError, match=message):
        build_table(frame(text), settings=TableSettings(strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe", "is no table"),
        (b"just a line of prose\n", "it has one column"),
        (b'source,target,gain\na,b,"unclosed\n', "is no table|missing|must be"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_outcomes(path)


def test_missing_file_and_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_outcomes(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="did you mean 'bingel-soegaard-2017'"):
        load_outcomes("bingel-sogaard-2017")
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="no known suffix"):
        load_outcomes(tmp_path / "t.xlsx")


def test_a_task_without_features_is_named() -> None:
    with pytest.raises(InputError, match="task 'b' .*no row in the table of tasks; did you mean 'bb'"):
        build_table(frame(GOOD), tasks=frame("task,size\na,1\nbb,2\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,size\na,1\na,2\nb,1\n", "occurs twice"),
        ("task,kind\na,x\nb,y\n", "no numeric column"),
        ("task,size\n", "no rows"),
    ],
)
def test_bad_task_tables(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_table(frame(GOOD), tasks=frame(text))


def test_an_infinite_feature_is_missing() -> None:
    tasks = frame("task,size\na,inf\nb,1\n")
    table = build_table(frame(GOOD), tasks=tasks)
    assert table.tasks["size"].isna().tolist() == [True, False]
    with pytest.raises(InputError, match="feature size of task 'a' is infinite"):
        build_table(frame(GOOD), tasks=tasks, settings=TableSettings(strict=True))


odd = st.one_of(
    st.none(),
    st.text(max_size=4),
    st.floats(),
    st.integers(-(10**30), 10**30),
    st.booleans(),
    st.sampled_from(["a", "b", "0.5", "NA"]),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(("source", "target", "score", "baseline", "seed", "jsd"), odd)
        ),
        min_size=1,
        max_size=6,
    ),
    st.sets(st.sampled_from(["source", "target", "score", "baseline", "seed", "jsd"])),
)
def test_odd_values_give_a_table_or_an_input_error(tmp_path_factory, rows, dropped) -> None:
    path = tmp_path_factory.mktemp("odd") / "t.csv"
    pd.DataFrame(rows, dtype=object).drop(columns=list(dropped)).to_csv(path, index=False)
    try:
        table = load_outcomes(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(table.pairs[["score"]].to_numpy()).all()
