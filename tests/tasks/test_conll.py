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


SENTENCES = [
    [("Mia", "B-PER"), ("rowed", "O"), ("to", "O"), ("Green", "B-LOC"), ("Point", "I-LOC")],
    [("Tom", "B-PER"), ("likes", "O"), ("the", "O"), ("Wide", "B-LOC"), ("Bay", "I-LOC")],
    [("Ida", "B-PER"), ("was", "O"), ("there", "O")],
    [("Green", "B-LOC"), ("Point", "I-LOC"), ("is", "O"), ("quiet", "O")],
]
EXPECTED = [([word for word, _ in s], [tag for _, tag in s]) for s in SENTENCES]


def layout(row: str, *, before: str = "", after: str = "\n") -> str:
    """A file of `SENTENCES`; {i}, {j}, {w}, {t} stand for sentence, word number, word and tag."""
    lines = []
    for i, sentence in enumerate(SENTENCES):
        lines.append(before.format(i=i))
        lines += [row.format(i=i, j=j, w=w, t=t) + "\n" for j, (w, t) in enumerate(sentence, 1)]
        lines.append(after)
    return "".join(lines)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ("{w} {t}", (1, 2)),
        ("{t} {w}", (2, 1)),
        ("{w}      {t}", (1, 2)),
        ("{j} {w} {t}", (2, 3)),
        ("{j}\t{w}\t_\t{t}", (2, 4)),
        ("_ {w} NN {t}", (2, 4)),
        ("doc7 {w} NN {t}", (2, 4)),
        ("news/{i} 0 {j} {w} NN * {t}", (4, 7)),
        ("{j}:{i}{j} {w} {t}", (2, 3)),
        ("{w} {j} x {t}", (1, 4)),
        ("{t} {w} {i}", (2, 1)),
        ("{i}.{j}\t{w}\t{t}", (2, 3)),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        "",
        "# id {i}-a\tdomain=own\n",
        "# doc{i}\n",
        "# doc\n",
        "# {i} b c\n# text = Some words\n",
        "#document {i}\n",
        "%% part {i}\n",
        "sentence_{i}\n",
        "-DOCSTART- -X- O O\n\n",
        "-DOCSTART- O\n",
        "-DOCSTART-\n",
        "#begin document (x); part {i}\n",
    ],
)
@pytest.mark.parametrize("after", ["\n", " \t \n", "\t\n", "\n\n", "#end document\n\n"])
def test_words_tags_and_comments_are_told_by_what_they_hold(
    tmp_path: Path, row: str, columns: tuple[int, int], before: str, after: str
) -> None:
    rows = open_conll(write(tmp_path, layout(row, before=before, after=after)))
    assert (rows.token_column + 1, rows.tag_column + 1) == columns
    assert [(r["tokens"], r["label"]) for _, r in rows] == EXPECTED


@pytest.mark.parametrize("row", ["{w} {t}", "{w}\t{t}", "{w} _ _ {t}"])
@pytest.mark.parametrize("mark", ["#tag{i}", "#", "#{i}"])
def test_hashtags_with_a_tag_of_the_scheme_are_tokens(tmp_path: Path, row: str, mark: str) -> None:
    before = row.replace("{w}", mark).replace("{t}", "O") + "\n"
    rows = open_conll(write(tmp_path, layout(row, before=before)))
    assert rows.metadata is None
    assert [r["tokens"] for _, r in rows] == [
        [mark.format(i=i), *tokens] for i, (tokens, _) in enumerate(EXPECTED)
    ]


def test_hashtags_inside_sentences_are_tokens(tmp_path: Path) -> None:
    text = layout("{w} {t}\n# O\n#fun B-TOPIC", before="# doc {i}\n")
    tokens = [r["tokens"] for _, r in open_conll(write(tmp_path, text))]
    assert tokens[2] == ["Ida", "#", "#fun", "was", "#", "#fun", "there", "#", "#fun"]


def test_comments_of_files_with_classes(tmp_path: Path) -> None:
    text = layout("{w} X", before="# doc{i}\n").replace("rowed X", "rowed V")
    assert [r["tokens"] for _, r in open_conll(write(tmp_path, text))] == [t for t, _ in EXPECTED]
    # A class of hashtags alone is a class.
    text = layout("{w} X", before="#topic{i} HT\n").replace("rowed X", "rowed V")
    assert [r["label"][0] for _, r in open_conll(write(tmp_path, text))] == ["HT"] * 4


def test_comments_and_tokens_that_begin_alike_are_asked_for(tmp_path: Path) -> None:
    text = "# one\nMia B-PER\n\n# O\nTom B-PER\n\n# two\nIda B-PER\n\n"
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=r"comments \(# one\), others tokens \(# O\); set --comment"):
        open_conll(path)
    assert len(sentences(path, comment="# one")) == 3


def test_the_first_word_of_all_sentences_is_a_word(tmp_path: Path) -> None:
    for tags in (["U-PER", "O", "B-LOC", "L-LOC"], ["DET", "N", "V", "N"]):
        block = "".join(f"{w} {t}\n" for w, t in zip(["The", "sea", "Far", "Bay"], tags, strict=True))
        rows = open_conll(write(tmp_path, f"{block}\n" * 5))
        assert rows.metadata is None
        assert all(r["tokens"][0] == "The" for _, r in rows)


def test_columns_without_words_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="2 columns, of which 1 holds numbers, not words; set --column tokens=N"
    ):
        open_conll(write(tmp_path, layout("{j} {t}")))
    with pytest.raises(
        InputError, match=r"3 columns, and none holds words \(1 holds numbers, 2 holds the same"
    ):
        open_conll(write(tmp_path, layout("{j} _ {t}")))


def test_word_numbers_of_universal_dependencies_are_told_under_another_name(tmp_path: Path) -> None:
    row = "{}\t{}\t_\t{}\t_\t_\t0\troot\t_\t_\n"
    block = (
        row.format("1-2", "du", "_") + row.format(1, "de", "ADP") + row.format(2, "le", "DET") + "\n"
    )
    path = write(tmp_path, block * 3)
    assert [s[1:] for s in sentences(path, columns={"label": "4"})] == [
        (["de", "le"], ["ADP", "DET"])
    ] * 3


def test_a_line_of_another_width_costs_its_sentence_alone(tmp_path: Path) -> None:
    path = write(tmp_path, layout("{w}\t{t}") + "Mia\nrowed\tO\n\nTom\tO\tx\n\n")
    task = read_task(path)
    assert len(list(task.examples())) == 4
    log = task.splits["train"].log
    assert log.summary() == [
        "2 of 6 rows left out: 2 with a line of another number of columns (first a.conll:22)"
    ]
    with pytest.raises(InputError, match=r"a\.conll:22: 1 columns, expected 2"):
        list(read_task(path, ReadSettings(strict=True)).examples())


def test_few_tabs_do_not_separate(tmp_path: Path) -> None:
    text = layout("{w} _ {t}", before="# id {i}\tx=y\n").replace("the _ O", "the\t_ O")
    assert [r["tokens"] for _, r in open_conll(write(tmp_path, text))] == [t for t, _ in EXPECTED]


def test_what_was_told_is_noted(tmp_path: Path) -> None:
    notes = read_task(write(tmp_path, layout("{j} {w} _ {t}", before="# part {i} x\n"))).notes
    assert any("columns 2 (token) and 4 (tag)" in note for note in notes)
    assert "lines before sentences that begin with '# ' are comments" in notes


def test_other_splits_have_the_columns_of_train(tmp_path: Path) -> None:
    write(tmp_path, layout("{w} {j} NN {t}"), "sea.train.conll")
    write(tmp_path, "Mia 1 B-X B-PER\nrows 2 B-Y O\n\n", "sea.dev.conll")
    write(tmp_path, "Mia 1 NN\nrows 2 VB\n\n", "sea.test.conll")
    task = read_task(tmp_path / "sea.train.conll")
    assert next(task.examples("dev")).label == ("B-PER", "O")
    assert "test" not in task.splits
    assert "test is not used: it has no column of tags" in task.notes
