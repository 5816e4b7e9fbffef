"""CSV and TSV."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.files import data_folder
from transfer_meta.readers.delimited import DelimitedRows, open_delimited
from transfer_meta.tasks.reading_log import ReadingLog


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
        ("text,label\n", r"a\.csv:1: a header and no rows$"),
        (
            "text\nfoo\nbar\n",
            r"a\.csv:1: one column \('text'\), expected a text and a label at least; set --separator",
        ),
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
        ('text,label\n"a",b\n"c,d\nmore\n', r"a\.csv:3: not readable as CSV: .*set --no-quotes"),
        ('text,label\n"a",b\n"c"d,e\n', r"a\.csv:3: not readable as CSV"),
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


@pytest.mark.parametrize("name", ["messages", "reviews", "questions"])
def test_the_demo_files_are_read_as_pandas_reads_them(name: str) -> None:
    _is_read_as_by_pandas(data_folder() / "demo" / f"{name}.train.csv")


def test_the_real_file_is_read_as_pandas_reads_it(shared: Path) -> None:
    _is_read_as_by_pandas(shared / "tasks" / "rotten_tomatoes.train.csv")


def _is_read_as_by_pandas(path: Path) -> None:
    frame = pd.read_csv(io.BytesIO(path.read_bytes()), dtype=str, keep_default_na=False)
    rows = [row for _, row in open_delimited(path)]
    assert rows == frame.to_dict("records")


def cells(rows: DelimitedRows) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for _, row in rows]


def lenient(rows: DelimitedRows) -> tuple[list[tuple[str, ...]], ReadingLog]:
    log = ReadingLog()
    return [tuple(row.values()) for _, row in rows.lenient(log)], log


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_columns_without_name_and_values_are_passed_over(tmp_path: Path, end: str) -> None:
    rows = open_delimited(write(tmp_path, end.join(["v1,v2,,,", 'x,"a, b",,,', "y,c,,,", ""])))
    assert rows.names == ("v1", "v2")
    assert cells(rows) == [("x", "a, b"), ("y", "c")]
    assert rows.notes == ("3 empty columns without a name passed over",)


def test_a_value_that_turns_up_in_such_a_column_leaves_its_row_out(tmp_path: Path) -> None:
    text = "text,label,\n" + "a,x,\n" * 300 + "b,y,more\n"
    rows = open_delimited(write(tmp_path, text))
    found, log = lenient(rows)
    assert (len(found), dict(log.left_out)) == (300, {"with a value in a column without a name": 1})
    with pytest.raises(InputError, match=r"a\.csv:302: a value in a column without a name"):
        list(rows)


def test_a_column_without_a_name_that_has_values_is_named_by_its_place(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, ",text,label\n0,a,x\n1,b,y\n"))
    assert rows.names == ("column 1", "text", "label")
    assert rows.notes == ("column 1 has no name",)


def test_names_of_rows_that_r_writes_have_no_name_in_the_header(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, '"text","label"\n"1","a","x"\n"2","b","y"\n'))
    assert rows.names == ("column 1", "text", "label")
    assert cells(rows)[0] == ("1", "a", "x")


def test_commas_after_the_rows_only(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "text,label\na,x,\nb,y,\n"))
    assert (rows.names, cells(rows)) == (("text", "label"), [("a", "x"), ("b", "y")])


def test_a_name_that_is_there_twice_is_numbered(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "text,note,note,label\na,1,2,x\n"))
    assert rows.names == ("text", "note", "note.2", "label")
    assert rows.repeated == ("note",)
    assert rows.notes == ("several columns are named 'note', one is read as 'note.2'",)


@pytest.mark.parametrize("at", [2, 300])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_carriage_return_in_a_cell_is_text(tmp_path: Path, at: int, end: str) -> None:
    lines = ["text,label"] + [f"text {i},x" for i in range(400)]
    lines[at] = "two\rlines,y"
    rows = open_delimited(write(tmp_path, end.join([*lines, ""])))
    assert len(cells(rows)) == 400
    assert cells(rows)[at - 1] == ("two\rlines", "y")
    assert [line for line, _ in rows] == list(range(2, 402))


def test_lines_that_end_with_carriage_returns(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, 'text,label\ra,x\r"two\nlines",y\r'))
    assert list(rows) == [(2, {"text": "a", "label": "x"}), (3, {"text": "two\nlines", "label": "y"})]


def test_carriage_returns_in_quotes_do_not_end_lines(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, 'text,label\n"a\rb\rc\rd\re",x\n'))
    assert cells(rows) == [("a\rb\rc\rd\re", "x")]


BACKSLASHED = r"""text,label
"She said \"a, b\" twice",x
"C:\new and \\",y
plain,x
"""


@pytest.mark.parametrize("escape", [None, "\\"])
def test_backslashes_before_quotes(tmp_path: Path, escape: str | None) -> None:
    rows = open_delimited(write(tmp_path, BACKSLASHED), escape=escape)
    assert rows.escape == "\\"
    assert cells(rows) == [('She said "a, b" twice', "x"), ("C:\\new and \\", "y"), ("plain", "x")]


def test_a_backslash_at_the_end_of_a_cell_is_one(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, 'text,label\n"C:\\new\\",x\n"say ""no""",y\n'))
    assert (rows.escape, cells(rows)) == ("", [("C:\\new\\", "x"), ('say "no"', "y")])


@pytest.mark.parametrize("escape", ["ab", '"', ","])
def test_escapes_that_are_none(tmp_path: Path, escape: str) -> None:
    with pytest.raises(InputError, match="--escape: expected one character"):
        open_delimited(write(tmp_path, "a,b\nc,d\n"), separator=",", escape=escape)


def test_backslashes_that_turn_up_late_name_the_option(tmp_path: Path) -> None:
    text = "text,label\n" + '"a",x\n' * 300 + r'"say \"no\", she did",y' + "\n"
    found, log = lenient(open_delimited(write(tmp_path, text)))
    assert len(found) == 300
    assert "--escape" in next(iter(log.left_out))
    assert cells(open_delimited(write(tmp_path, text), escape="\\"))[-1] == ('say "no", she did', "y")


def test_a_quote_that_does_not_close_costs_its_line_only(tmp_path: Path) -> None:
    text = 'text,label\n"a, b",x\n"open,x\nc,y\n"d, e",x\n"f, g",y\n"to the end,x\nh,y\n'
    found, log = lenient(open_delimited(write(tmp_path, text)))
    assert found == [("a, b", "x"), ("c", "y"), ("d, e", "x"), ("f, g", "y"), ("h", "y")]
    assert dict(log.left_out) == {"with a quote that does not close": 2}


def test_the_end_of_a_broken_cell_is_no_row(tmp_path: Path) -> None:
    text = 'text,label\n"a, b",x\n"He said "no"\nand left",y\n"c, d",y\n'
    found, log = lenient(open_delimited(write(tmp_path, text)))
    assert found == [("a, b", "x"), ("c, d", "y")]
    assert log.left_out.total() == 2


def test_cells_that_only_begin_with_quotes_are_not_quoted(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, 'text,label\n"No" he said,x\n"Yes" she did,y\n'))
    assert (rows.quoted, cells(rows)[0]) == (False, ('"No" he said', "x"))


def test_a_ragged_row_is_left_out(tmp_path: Path) -> None:
    found, log = lenient(open_delimited(write(tmp_path, "text,label\na,b\nc\nd,e,f\ng,h,\n")))
    assert found == [("a", "b"), ("g", "h")]
    assert dict(log.left_out) == {"with 1 fields instead of 2": 1, "with 3 fields instead of 2": 1}
    assert dict(log.mended) == {"with empty fields after the last column": 1}


def test_a_ragged_row_does_not_hide_the_separator(tmp_path: Path) -> None:
    text = "text;label\n" + "a, b;x\n" * 20 + "c\n" + "d;y\n"
    assert open_delimited(write(tmp_path, text)).separator == ";"


def test_a_carriage_return_does_not_hide_the_separator(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "text;label\na\rb;x\nc;y\n"))
    assert (rows.separator, cells(rows)[0]) == (";", ("a\rb", "x"))


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
def test_excels_line_with_the_separator(tmp_path: Path, first: str) -> None:
    rows = open_delimited(write(tmp_path, f"{first}\r\ntext;label\r\na,b;x\r\n"))
    assert list(rows) == [(3, {"text": "a,b", "label": "x"})]


def test_spaces_before_quotes(tmp_path: Path) -> None:
    text = 'label, text\nx, "a, b"\ny, "c ""d"""\nx, "e"\n'
    rows = open_delimited(write(tmp_path, text))
    assert (rows.names, cells(rows)) == (
        ("label", "text"),
        [("x", "a, b"), ("y", 'c "d"'), ("x", "e")],
    )
    inside = 'text,label\n"he said, "" no ""  twice",x\n"a, ""b"" c",y\n'
    assert not open_delimited(write(tmp_path, inside)).spaces


def test_single_quotes(tmp_path: Path) -> None:
    text = "text,label\n'a, b',x\n'it''s \"c\"',y\n'd',x\n"
    rows = open_delimited(write(tmp_path, text))
    assert cells(rows) == [("a, b", "x"), ('it\'s "c"', "y"), ("d", "x")]
    assert rows.notes == ("cells quoted by '",)
    some = "text,label\n'tis so,x\nthe boys',y\na,x\nb,y\nc,x\n"
    assert cells(open_delimited(write(tmp_path, some)))[0] == ("'tis so", "x")


@pytest.mark.parametrize("before", ["Our data,,\n,,\n", "Our data\n\nof May,,\n"])
def test_a_title_before_the_header(tmp_path: Path, before: str) -> None:
    text = before + "text,label,\n" + '"a, b",x,\nc,y,\nd,x,\n'
    rows = open_delimited(write(tmp_path, text))
    assert (rows.names, cells(rows)) == (("text", "label"), [("a, b", "x"), ("c", "y"), ("d", "x")])
    assert rows.notes[0].endswith("lines before the header passed over")
    assert next(line for line, _ in rows) == before.count("\n") + 2


def test_a_header_of_one_name_is_no_title(tmp_path: Path) -> None:
    text = ",label\na,x\nb,y\nc,x\n"
    assert open_delimited(write(tmp_path, text)).names == ("column 1", "label")


def test_damaged_bytes_are_replaced_where_the_rest_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    good = "text,label\ncafé,x\nnaïve,y\n".encode()
    path.write_bytes(good + "tête,x\n".encode("latin-1") + b"plain,y\n")
    found, log = lenient(open_delimited(path))
    assert found == [("café", "x"), ("naïve", "y"), ("t\ufffdte", "x"), ("plain", "y")]
    assert log.mended.total() == 1
    with pytest.raises(InputError, match=r"a\.csv:4: not utf-8"):
        list(open_delimited(path))
    path.write_bytes("text,label\ncafé,x\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.csv:2: not utf-8 .*--encoding cp1252"):
        open_delimited(path)


def test_comments_before_the_header(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "# made by hand\n# in May\ntext,label\na,x\n"))
    assert (rows.names, list(rows)) == (("text", "label"), [(4, {"text": "a", "label": "x"})])
    assert rows.notes == ("2 lines of comments before the header",)
    assert open_delimited(write(tmp_path, "#text,label\na,x\n")).names == ("#text", "label")


def test_decimal_commas_are_told_by_column(tmp_path: Path) -> None:
    text = "text;score;id;labels\na;3,5;1;27\nb, c;4;2;3,10\nd;-0,25;3;5\n"
    rows = open_delimited(write(tmp_path, text))
    assert cells(rows) == [
        ("a", "3.5", "1", "27"),
        ("b, c", "4", "2", "3,10"),
        ("d", "-0.25", "3", "5"),
    ]
    assert rows.notes == ("numbers of score written with a decimal comma",)


@pytest.mark.parametrize(
    ("text", "headless"),
    [
        ("good,pos\nbad,neg\nfine,pos\n", True),
        ("a,3\nb,4\n", True),
        ("text,label\na,x\n", False),
        ("0,1\na,x\n", False),  # as pandas numbers columns
        ("text,score\na,3\n", False),
        ("this is no name of a column but a text of some length,pos\nb,neg\n", True),
    ],
)
def test_a_first_row_that_looks_like_data(tmp_path: Path, text: str, headless: bool) -> None:
    assert open_delimited(write(tmp_path, text)).headless is headless


def test_what_is_new_is_no_part_of_old_fingerprints(tmp_path: Path) -> None:
    rows = open_delimited(write(tmp_path, "text,label\na,x\n"))
    assert rows.fingerprint().startswith("8cd5408467061f2c")
    passed_over = open_delimited(write(tmp_path, "text,label,\na,x,\n"))
    assert passed_over.empty == (2,)
    assert replace(passed_over, empty=()).fingerprint() != passed_over.fingerprint()
    assert replace(passed_over, notes=()).fingerprint() == passed_over.fingerprint()
