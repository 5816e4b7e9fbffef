"""CoNLL files."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.records import TaskType
from transfer_meta.tasks import ReadSettings, conll, read_task
from transfer_meta.tasks.conll import open_conll


def write(folder: Path, text: str, name: str = "a.conll") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def sentences(path: Path, **options) -> list[tuple[int, list[str], list[str]]]:
    return [
        (number, row["tokens"], row["label"])
        for number, row in open_conll(path, ReadSettings(**options))
    ]


TWO = [(1, ["Ann", "saw"], ["B-PER", "O"]), (4, ["Bob"], ["B-PER"])]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", ["\t", " ", "   ", "|"])
@pytest.mark.parametrize("last", ["", "{end}", "{end}{end}{end}"])
def test_any_separator_any_line_end(tmp_path: Path, end: str, separator: str, last: str) -> None:
    rows = ["Ann{s}B-PER", "saw{s}O", "", "Bob{s}B-PER"]
    text = end.join(row.format(s=separator) for row in rows) + last.format(end=end)
    assert sentences(write(tmp_path, text), separator="|" if separator == "|" else None) == TWO


def test_lines_of_white_space_end_a_sentence(tmp_path: Path) -> None:
    assert sentences(write(tmp_path, "Ann\tB-PER\nsaw\tO\n \t \nBob\tB-PER\n")) == TWO


def test_a_token_may_hold_a_blank_where_tabs_separate(tmp_path: Path) -> None:
    assert sentences(write(tmp_path, "New York\tB-LOC\n\xa0\tO\n")) == [
        (1, ["New York", "\xa0"], ["B-LOC", "O"])
    ]


def test_hashtags_are_tokens_and_comments_are_not(tmp_path: Path) -> None:
    text = "# text = Ann\n#ann\tO\nBob\tO\n\n# a comment alone\n\n#hash\tB-X\n"
    assert sentences(write(tmp_path, text)) == [
        (2, ["#ann", "Bob"], ["O", "O"]),
        (7, ["#hash"], ["B-X"]),
    ]
    assert sentences(write(tmp_path, "%% note\nAnn O\n%% note\nsaw O\n"), comment="%%") == [
        (2, ["Ann", "saw"], ["O", "O"])
    ]


def test_document_marks_are_passed_over(tmp_path: Path) -> None:
    text = "-DOCSTART- O\n\nAnn B-PER\nsaw O\n\n-DOCSTART- O\n\nBob B-PER\n\n-DOCSTART- O"
    assert [s[1] for s in sentences(write(tmp_path, text))] == [["Ann", "saw"], ["Bob"]]


FOUR = "Ann NNP I-NP I-PER\nsaw VBD I-VP O\n"


def test_columns_are_chosen_by_number(tmp_path: Path) -> None:
    path = write(tmp_path, FOUR)
    for tags, column in (
        (["NNP", "VBD"], "2"),
        (["I-NP", "I-VP"], "3"),
        (["I-PER", "O"], "4"),
        (["I-PER", "O"], "-1"),
    ):
        assert sentences(path, columns={"label": column}) == [(1, ["Ann", "saw"], tags)]
    assert sentences(path, columns={"tokens": "2", "label": "1"}) == [
        (1, ["NNP", "VBD"], ["Ann", "saw"])
    ]


def test_of_several_columns_the_only_one_with_span_tags_is_taken(tmp_path: Path) -> None:
    assert open_conll(write(tmp_path, "Ann NNP B-PER\nsaw VBD O\n")).tag_column == 2
    with pytest.raises(
        InputError, match=r"4 columns, and columns 3, 4 all hold span tags: set --column label=N"
    ):
        open_conll(write(tmp_path, FOUR))
    with pytest.raises(InputError, match=r"3 columns, and none holds span tags: set --column label=N"):
        open_conll(write(tmp_path, "Ann NNP X\nsaw VBD X\n"))


def test_universal_dependencies(tmp_path: Path) -> None:
    row = "{}\t{}\t_\t{}\t_\t_\t0\troot\t_\t_\n"
    text = (
        "# sent_id = 1\n"
        + row.format("1-2", "du", "_")
        + row.format(1, "de", "ADP")
        + row.format(2, "le", "DET")
    )
    text += row.format("2.1", "elided", "X") + "\n"
    path = write(tmp_path, text, "a.conllu")
    assert sentences(path, columns={"label": "4"}) == [(3, ["de", "le"], ["ADP", "DET"])]
    with pytest.raises(InputError, match="10 columns, and none holds span tags"):
        open_conll(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.conll: the file is empty"),
        (" \n\n", r"a\.conll: the file is empty"),
        ("Ann\nsaw\n", r"a\.conll:1: one column, expected a token and a tag; set --separator"),
        ("Ann\tO\nsaw\n", r"a\.conll:2: 1 columns, expected 2"),
        ("Ann\tO\nsaw\tO\tx\n", r"a\.conll:2: 3 columns, expected 2"),
        ("Ann\tO\n# note\n", r"a\.conll:2: 1 columns, expected 2"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message):
        sentences(path)


def test_rows_may_differ_in_length_where_both_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "Ann A x\nsaw B\n")
    assert sentences(path, columns={"tokens": "1", "label": "2"}) == [(1, ["Ann", "saw"], ["A", "B"])]
    path = write(tmp_path, "Ann A x\nsaw\n")
    with pytest.raises(InputError, match=r"a\.conll:2: 1 columns, expected at least 2"):
        sentences(path, columns={"tokens": "1", "label": "2"})


@pytest.mark.parametrize("column", ["0", "5", "-5", "x", "", "1.5"])
def test_columns_that_are_none(tmp_path: Path, column: str) -> None:
    with pytest.raises(InputError, match=r"--column label=.*: expected a number from 1 to 4"):
        open_conll(write(tmp_path, FOUR), ReadSettings(columns={"label": column}))
    with pytest.raises(InputError, match="has the columns tokens and label"):
        open_conll(write(tmp_path, FOUR), ReadSettings(columns={"text": "1"}))


def test_a_file_without_empty_lines_is_no_endless_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(conll, "MAX_TOKENS", 50)
    with pytest.raises(
        InputError, match=r"a\.conll:51: no empty line since line 1: a sentence of over 50 tokens"
    ):
        sentences(write(tmp_path, "Ann\tO\n" * 60))


def test_a_type_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a CoNLL file is for token-classification, not regression"):
        read_task(write(tmp_path, "Ann\tO\n"), ReadSettings(type="regression"))


@pytest.mark.parametrize("name", ["wnut17", "atis_slots", "ewt_upos", "ewt_deprel"])
def test_real_files_hold_the_tokens_of_a_plain_split(shared: Path, name: str) -> None:
    path = shared / "tasks" / f"{name}.train.conll"
    blocks = [b for b in path.read_text(encoding="utf-8").split("\n\n") if b.strip()]
    expected = [[line.split("\t") for line in block.strip("\n").split("\n")] for block in blocks]
    task = read_task(path)
    assert task.type is TaskType.TOKEN_CLASSIFICATION
    assert [
        [list(pair) for pair in zip(e.tokens, e.label, strict=True)] for e in task.examples()
    ] == expected
