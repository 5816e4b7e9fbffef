"""JSON Lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.jsonl import kind, mend_surrogates, open_jsonl
from transfer_meta.tasks.reading_log import ReadingLog


def write(folder: Path, text: str) -> Path:
    path = folder / "a.jsonl"
    path.write_bytes(text.encode())
    return path


def test_objects_with_their_lines(tmp_path: Path) -> None:
    rows = open_jsonl(write(tmp_path, '{"a": 1}\n\n  \r\n{"a": "é"}\r\n{"a": "\u2028 no line end"}'))
    assert list(rows) == [(1, {"a": 1}), (4, {"a": "é"}), (5, {"a": "\u2028 no line end"})]
    assert list(rows) == list(rows)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', r"a\.jsonl:2: not JSON: .* at character"),
        ("[1]", r"a\.jsonl:2: expected a JSON object, got a list"),
        ("12", r"a\.jsonl:2: expected a JSON object, got an integer"),
        ("[" * 100_000, r"a\.jsonl:2: not usable JSON"),
        ('{"a": ' + "1" * 5000 + "}", r"a\.jsonl:2: not usable JSON: Exceeds the limit"),
        ('{"a": 1} {"a": 2}', r"a\.jsonl:2: not JSON: Extra data"),
    ],
)
def test_broken_lines(tmp_path: Path, line: str, message: str) -> None:
    rows = open_jsonl(write(tmp_path, f'{{"a": 1}}\n{line}\n'))
    with pytest.raises(InputError, match=message) as error:
        list(rows)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl: the file is empty"):
        open_jsonl(write(tmp_path, text))


def test_half_a_surrogate_pair_is_mended_and_whole_ones_stay(tmp_path: Path) -> None:
    ((_, row),) = open_jsonl(
        write(tmp_path, r'{"text": "a\ud83d\ude00b\ud83dc", "n": [{"\udead": 1.5}]}')
    )
    assert row == {"text": "a😀b\ufffdc", "n": [{"\ufffd": 1.5}]}
    assert mend_surrogates("plain") == "plain"
    row["text"].encode()


def test_words_of_json() -> None:
    values = [None, True, 1, 1.5, "a", [1], {}, b"x"]
    words = [
        "nothing (null)",
        "true or false",
        "an integer",
        "a number",
        "a string",
        "a list",
        "an object",
        "bytes",
    ]
    assert [kind(value) for value in values] == words


def test_a_broken_line_costs_itself_only(tmp_path: Path) -> None:
    log = ReadingLog()
    rows = open_jsonl(write(tmp_path, '{"a": 1\n{"a": 2}\n[3]\n{"a": 4}\n{"a'))
    assert list(rows.lenient(log)) == [(2, {"a": 2}), (4, {"a": 4})]
    assert dict(log.left_out) == {"not JSON": 2, "no JSON object": 1}


def test_a_file_without_an_object_says_what_its_first_line_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl:1: not JSON"):
        open_jsonl(write(tmp_path, "text,label\na,x\n"))
