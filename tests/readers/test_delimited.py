"""CSV and TSV."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.readers.delimited import open_delimited


def write(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_rows_with_the_lines_they_begin_on(tmp_path: Path) -> None:
    path = write(tmp_path, 'text,label\r\n"two\r\nlines, one ""cell""",x\r\n\r\nplain,y\r\n')
    assert list(open_delimited(path)) == [
        (2, {"text": 'two\r\nlines, one "cell"', "label": "x"}),
        (5, {"text": "plain", "label": "y"}),
    ]


def test_iterating_again_starts_anew(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "text,label\na,b\nc,d\n"))
    assert list(rows) == list(rows)
    assert len(list(rows)) == 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cells=st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)]
            * 2
        ),
        min_size=1,
    ),
    separator=st.sampled_from([",", "\t", ";", "|"]),
)
def test_reads_what_pandas_writes(tmp_path: Path, cells: list[tuple[str, str]], separator: str) -> None:
    frame = pd.DataFrame(cells, columns=["text", "label"])
    path = write(tmp_path, frame.to_csv(index=False, sep=separator, lineterminator="\n", quoting=1))
    rows = [row for _, row in open_delimited(path, separator=separator, quoted=True)]
    assert [tuple(row.values()) for row in rows] == cells


@pytest.mark.parametrize(
    ("name", "text", "separator", "quoted"),
    [
        ("a.csv", "text,label\na,b\n", ",", True),
        ("a.csv", "text;label\na, b;c\nd;e\n", ";", True),
        ("a.csv", 'text\tlabel\nsay "a"\tb\n', "\t", False),
        ("a.tsv", 'text\tlabel\n"open\tb\n', "\t", False),
        ("a.tsv", 'text\tlabel\n"He said ""no"""\tb\n', "\t", True),
        ("a.tsv", "text|label\na|b\n", "|", True),
    ],
)
def test_separator_and_quotes_are_told(
    tmp_path: Path, name: str, text: str, separator: str, quoted: bool
) -> None:
    rows = open_delimited(write(tmp_path, text, name))
    assert (rows.separator, rows.quoted, rows.names) == (separator, quoted, ("text", "label"))


def test_a_glue_style_tsv_keeps_lone_quotes(tmp_path: Path) -> None:
    text = 'index\tsentence\tlabel\n0\t"unclosed\t1\n1\tinches 5" long\t0\n'
    rows = [row for _, row in open_delimited(write(tmp_path, text, "a.tsv"))]
    assert [row["sentence"] for row in rows] == ['"unclosed', 'inches 5" long']


def test_a_row_of_empty_cells_is_a_row(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "text,label\n,\n \na,b\n"))
    assert list(rows) == [(2, {"text": "", "label": ""}), (4, {"text": "a", "label": "b"})]


def test_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "a,b\nc,d\n"), header=False)
    assert list(rows) == [(1, {"1": "a", "2": "b"}), (2, {"1": "c", "2": "d"})]


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    long = "word " * 100_000  # over the 128 KiB of the csv module
    rows = open_delimited(write(tmp_path, f"text,label\n{long},b\n"))
    assert next(iter(rows))[1]["text"] == long


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.csv: the file is empty"),
        ("\n \n\n", r"a\.csv: the file is empty"),
        ("text,label\n", r"a\.csv:1: a header and no rows; if there is no header, set --no-header"),
        (
            "text\nfoo\nbar\n",
            r"a\.csv:1: one column \('text'\), expected a text and a label at least; set --separator",
        ),
        ("text,text\na,b\n", r"a\.csv:1: two columns are named 'text'"),
        (",\n,\n", r"a\.csv:1: the first row is empty, expected the columns' names"),
        ('""\n""\n', r"a\.csv:1: the first row is empty"),
        ("x;y|z\na;b|c\n", r"a\.csv: semicolon or bar may separate the columns; set --separator"),
    ],
)
def test_files_that_cannot_be_opened(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_delimited(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\na,b\nc\n", r"a\.csv:3: 1 fields, expected 2 \(text, label\)"),
        ("text,label\na,b\nc,d,e\n", r"a\.csv:3: 3 fields, expected 2"),
        ('text,label\na,b\n"c,d\nmore\n', r"a\.csv:3: not readable as CSV: .*set --no-quotes"),
        ('text,label\na,b\n"c"d,e\n', r"a\.csv:3: not readable as CSV"),
    ],
)
def test_rows_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    rows = open_delimited(write(tmp_path, text), separator=",")
    with pytest.raises(InputError, match=message):
        list(rows)


@pytest.mark.parametrize("separator", ["", ",,", '"', "\n"])
def test_separators_that_are_none(tmp_path: Path, separator: str) -> None:
    with pytest.raises(InputError, match="--separator: expected one character"):
        open_delimited(write(tmp_path, "a,b\nc,d\n"), separator=separator)


def test_the_real_file_is_read_as_pandas_reads_it(shared: Path) -> None:
    path = shared / "tasks" / "rotten_tomatoes.train.csv"
    frame = pd.read_csv(io.BytesIO(path.read_bytes()), keep_default_na=False)
    rows = [row for _, row in open_delimited(path)]
    assert rows == frame.to_dict("records")
