from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from transfer_meta.errors import InputError
from transfer_meta.features.text.hashing import hash_strings
from transfer_meta.features.text.vocabulary import Vocabulary, load_tokenizer

WORDS = ["film", "rain", "the"]


def hashes(words: list[str]) -> list[int]:
    return sorted(hash_strings(words).tolist())


@pytest.mark.parametrize(
    "text",
    [
        "film\nThe\nrain\n",
        "film\r\nthe\r\n\r\nrain",
        "the 0.1 -0.2 3e-2\nfilm 1 2 3\nrain 0 0 0\n",  # GloVe
        "3 2\nthe 0.1 0.2\nfilm 1 2\nrain 0 0\n",  # word2vec
        "the\t900\nfilm\t12\nrain\t5\n",  # counts
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_word_files(tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / ("words.txt.gz" if packed else "words.txt")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    vocabulary = Vocabulary.from_file(path)
    assert vocabulary.hashes.tolist() == hashes(WORDS)
    assert vocabulary.tokenizer_file is None


@pytest.mark.parametrize(
    "vocabulary",
    [
        {"Ġthe": 0, "film": 1, "▁rain": 2},
        [["▁the", -1.5], ["film", -2], ["▁rain", -3]],
    ],
)
def test_tokenizer_files(tmp_path: Path, vocabulary: object) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": vocabulary}}))
    found = Vocabulary.from_file(path)
    assert found.hashes.tolist() == hashes(WORDS)
    assert found.tokenizer_file == path


def test_a_real_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel({"the": 0, "film": 1, "rain": 2}, unk_token="the")).save(str(path))
    assert Vocabulary.from_file(path).hashes.tolist() == hashes(WORDS)
    assert load_tokenizer(path).encode("film").tokens == ["film"]


def test_names_tell_contents_apart(tmp_path: Path) -> None:
    names = set()
    for text in ("film\n", "rain\n", "film\n\n"):
        (tmp_path / "words.txt").write_text(text)
        names.add(Vocabulary.from_file(tmp_path / "words.txt").name)
    assert len(names) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("words.txt", b"", "no words in it"),
        ("words.txt", b"\n \n", "no words in it"),
        ("words.txt", b"fi\xfflm\n", r"words.txt:1: not utf-8"),
        ("words.txt.gz", gzip.compress(b"film\n" * 999, mtime=0)[:-9], "ends early"),
        ("tokenizer.json", b"{}", "not a tokenizer"),
        ("tokenizer.json", b"[1", "not a tokenizer"),
        ("tokenizer.json", b'{"model": {"vocab": [[]]}}', "not a tokenizer"),
        ("tokenizer.json", b'{"model": {"vocab": 3}}', "not a tokenizer"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Vocabulary.from_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Vocabulary.from_file(tmp_path / "nothing.txt")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer"):
        load_tokenizer(tmp_path / "t.json")
