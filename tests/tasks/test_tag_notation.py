"""Spellings of span tags."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings, Task, read_task
from transfer_meta.tasks.iob import find_spans, write_spans
from transfer_meta.tasks.label_kinds import are_entity_tags
from transfer_meta.tasks.tag_notation import (
    TagNotation,
    find_notation,
    has_bare_types,
    looks_like_spans,
)

WORDS = ["Mia", "rowed", "to", "Green", "Point", "."]
SPANS = [(0, 1, "PER"), (3, 5, "LOC")]
USUAL = ("B-PER", "O", "O", "B-LOC", "I-LOC", "O")


def write(folder: Path, tags: str, times: int = 4) -> Path:
    path = folder / "boat.train.conll"
    sentence = "".join(f"{word}\t{tag}\n" for word, tag in zip(WORDS, tags.split(), strict=True))
    path.write_text(f"{sentence}\n" * times)
    return path


def labels(task: Task) -> tuple[str, ...]:
    (found,) = {example.label for example in task.examples()}
    return found


@pytest.mark.parametrize(
    ("tags", "scheme", "note"),
    [
        ("U-PER O O B-LOC L-LOC O", "IOBES", "BILOU: U-PER read as S-PER"),
        ("S-PER O O B-LOC E-LOC O", "IOBES", "tags IOBES"),
        ("W-PER O O B-LOC E-LOC O", "IOBES", "W-PER read as S-PER"),
        ("S-PER O O B-LOC M-LOC E-LOC", "IOBES", "BMES: M-LOC read as I-LOC"),
        ("PER-B O O LOC-B LOC-I O", "IOB2", "PER-B read as B-PER"),
        ("PER-U O O LOC-B LOC-L O", "IOBES", "BILOU: PER-U read as S-PER"),
        ("B_PER O O B_LOC I_LOC O", "IOB2", "B_PER read as B-PER"),
        ("PER_B O O LOC_B LOC_I O", "IOB2", "PER_B read as B-PER"),
        ("B:PER O O B:LOC I:LOC O", "IOB2", "B:PER read as B-PER"),
        ("LOC.B O O LOC.B LOC.I O", "IOB2", "LOC.B read as B-LOC"),
        ("b-PER o o b-LOC i-LOC o", "IOB2", "b-PER read as B-PER"),
        ("begin-PER out out begin-LOC inside-LOC out", "IOB2", "begin-PER read as B-PER"),
        ("B-PER _ _ B-LOC I-LOC _", "IOB2", "_ read as O"),
        ("B-PER N N B-LOC I-LOC N", "IOB2", "N read as O"),
        ("B O O B I O", "IOB2", "without types"),
        ("S O O B E O", "IOBES", "without types"),
        ("E-PER O O I-LOC E-LOC O", "IOB2", "IOE"),
        ("(PER) * * (LOC* *) *", "IOB2", "brackets"),
    ],
)
def test_spellings_are_read_as_spans(tmp_path: Path, tags: str, scheme: str, note: str) -> None:
    task = read_task(write(tmp_path, tags))
    (found,) = [text for text in task.notes if text.startswith(f"tags {scheme}")]
    assert note in found
    expected = SPANS if "M-LOC" not in tags else [(0, 1, "PER"), (3, 6, "LOC")]
    if "LOC.B O O" in tags:
        expected = [(0, 1, "LOC"), (3, 5, "LOC")]
    untyped = "without types" in note
    assert find_spans(labels(task)) == [(a, b, "" if untyped else kind) for a, b, kind in expected]
    assert are_entity_tags(task.labels())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "A_B", "x.y"]))),
    st.sampled_from(["-", "_", ":"]),
    st.booleans(),
    st.sampled_from([str.upper, str.lower]),
)
def test_any_spelling_gives_the_spans_back(parts, separator, type_first, case) -> None:
    spans, position = [], 0
    for gap, length, kind in parts:
        spans.append((position + gap, position + gap + length, kind.replace(separator, "")))
        position += gap + length
    tags = write_spans(spans, position + 1, "IOBES")
    bilou = str.maketrans("ES", "LU")

    def spell(tag: str) -> str:
        letter, _, kind = tag.partition("-")
        letter = case(letter.translate(bilou))
        if not kind:
            return tag
        return separator.join((kind, letter) if type_first else (letter, kind))

    notation = TagNotation(separator, type_first)
    assert notation.sentence([spell(tag) for tag in tags]) == tags


@pytest.mark.parametrize(
    "tags",
    [
        ["NOUN", "VERB", "ADP"],
        ["PRP", "VBD", "IN", "LS", "SYM", "UH", "MD", "NN", "NNS", "JJ"],
        ["nsubj", "nsubj:pass", "acl:relcl", "O"],
        ["PER", "O", "LOC", "BRAND", "O"],
        ["N", "O", "V", "A", "P", "D", "S", "U"],
        ["-LRB-", "NN", "-RRB-"],
        ["N-sg", "N-pl", "V-sg", "V-pl"],
        ["0", "1", "2"],
    ],
)
def test_classes_are_no_spans(tags: list[str]) -> None:
    assert find_notation([tags] * 3) == ("plain", None)
    assert not looks_like_spans([tags] * 3)


@pytest.mark.parametrize(
    "tags",
    [
        ["X-PER", "Y-PER", "O"],
        ["BPER", "IPER", "O"],
        ["PER#B", "B-PER", "Q-PER", "B-LOC", "Q-LOC", "O"],
        ["(PER", "(LOC(PER*", "*", "*)", "(LOC*"],
        ["B-PER", "I_PER", "B_LOC", "I-LOC", "O"],
    ],
)
def test_spans_of_no_known_scheme_are_named(tmp_path: Path, tags: list[str]) -> None:
    path = tmp_path / "a.conll"
    path.write_text("".join(f"w{i}\t{tag}\n" for i, tag in enumerate(tags)))
    with pytest.raises(
        InputError, match=r"a\.conll: the tags .* look like spans.*but of no known scheme"
    ):
        read_task(path)
    task = read_task(path, ReadSettings(scheme="plain"))
    assert labels(task) == tuple(tags)


def test_a_scheme_can_be_set(tmp_path: Path) -> None:
    for name in ("BILOU", "BIOUL", "IOBES", "BIOES"):
        task = read_task(write(tmp_path, "U-PER O O B-LOC L-LOC O"), ReadSettings(scheme=name))
        assert labels(task) == ("S-PER", "O", "O", "B-LOC", "E-LOC", "O")
    for name in ("BIO", "IOB2"):
        task = read_task(write(tmp_path, "PER-B O O LOC-B LOC-I O"), ReadSettings(scheme=name))
        assert labels(task) == USUAL
    task = read_task(write(tmp_path, "U-PER O O B-LOC L-LOC O"), ReadSettings(scheme="plain"))
    assert labels(task) == ("U-PER", "O", "O", "B-LOC", "L-LOC", "O")


def test_types_without_letters_are_spans_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path, "PER O O LOC LOC O")
    task = read_task(path)
    assert "tags plain" in task.notes
    assert any("--scheme IO reads them" in note for note in task.notes)
    assert labels(read_task(path, ReadSettings(scheme="IO"))) == USUAL
    assert not has_bare_types([["NOUN", "O"]])


def test_numbers_without_names_are_said(tmp_path: Path) -> None:
    task = read_task(write(tmp_path, "1 0 0 2 3 0"))
    assert any("the F1 of spans cannot be computed" in note for note in task.notes)
    path = tmp_path / "a.jsonl"
    path.write_text('{"tokens": ["Mia", "rowed"], "ner_tags": [1, 0]}\n')
    assert any("numbers without names" in note for note in read_task(path).notes)


def test_usual_tags_have_no_notation_and_their_digest(tmp_path: Path) -> None:
    assert find_notation([list(USUAL)]) == ("IOB2", None)
    task = read_task(write(tmp_path, " ".join(USUAL)))
    assert "tags IOB2" in task.notes
    other = read_task(write(tmp_path, "B_PER O O B_LOC I_LOC O"))
    assert other.digest != task.digest


def test_a_stray_tag_costs_its_sentence_alone(tmp_path: Path) -> None:
    path = write(tmp_path, " ".join(USUAL), times=20)
    path.write_text(path.read_text() + "Mia\tQ\n\nTim\tI-PER\n\nTom \tO \n")
    task = read_task(path)
    assert "tags IOB2" in task.notes
    found = list(task.examples())
    assert [e.label for e in found[20:]] == [("B-PER",), ("O",)]
    log = task.splits["train"].log
    assert dict(log.left_out) == {"with a tag of another scheme": 1}
    assert log.mended["with illegal tags"] == 1
    with pytest.raises(
        InputError, match=r":141: tag 1 of the sentence is illegal in IOB2: Q is no tag of IOB2"
    ):
        list(read_task(path, ReadSettings(strict=True)).examples())
    path = write(tmp_path, "B_PER O O B_LOC I_LOC O", times=20)
    path.write_text(path.read_text() + "Mia\tQ\n")
    with pytest.raises(InputError, match=r":141: tag 1 of the sentence, 'Q', is none of the scheme"):
        list(read_task(path, ReadSettings(strict=True)).examples())


def test_brackets_that_do_not_close_cost_their_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, "(PER) * * (LOC* *) *", times=40)
    path.write_text(path.read_text() + "a\t(X*\nb\t*\n\na\t*)\n\na\t(X(Y*\n")
    task = read_task(path)
    assert len(list(task.examples())) == 40
    assert task.splits["train"].log.left_out["with a tag of another scheme"] == 3
