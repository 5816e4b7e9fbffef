"""Whatever bytes a file holds, reading it gives a task or one error line, soon and in little memory."""

from __future__ import annotations

import gzip
import json
import random
import resource
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings, read_task
from transfer_meta.tasks.check import check_task

MUTATIONS = 10_000
#: Bytes that mean something to one of the formats.
PIECES = [b'"', b"\n", b"\t", b",", b"\0", b"[", b'{"a":', b"1e999", b"NaN", b"\xff\xfe", b"\xef\xbb\xbf", b"\r",
          b"\\ud800", b"null", b"-1", b"I-X", b"true", b'""', b"]", b"}", b"#", b" ", b"U-X", b"B_X",
          b"(X*", b"\n# x ", b"\n-DOCSTART-", b"\n\t\n", b"[1]", b"-7"]  # fmt: skip


def reads(path: Path) -> str:
    """``read`` or the error's one line."""
    try:
        check_task(read_task(path), examples=1)
    except InputError as error:
        message = str(error)
        assert len(message.splitlines()) == 1, message
        assert len(message) < 1000
        return message
    return "read"


def head(path: Path, lines: int = 40) -> bytes:
    return b"".join(path.read_bytes().splitlines(keepends=True)[:lines])


def squad_document(rows: list[dict[str, Any]]) -> bytes:
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {
                    "question": row["question"],
                    "answers": [
                        {"text": text, "answer_start": start}
                        for text, start in zip(*row["answers"].values(), strict=True)
                    ],
                }
            ],
        }
        for row in rows
    ]
    return json.dumps(
        {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}, indent=1
    ).encode()


def real_files(folder: Path, scratch: Path) -> list[tuple[str, bytes]]:
    """The beginnings of real files of every format, by suffix."""
    names = ["rotten_tomatoes.train.csv", "sst2.train.jsonl", "stsb.train.jsonl", "rte.train.jsonl",
             "copa.train.jsonl", "squad.train.jsonl", "wnut17.train.conll", "ewt_upos.train.conll"]  # fmt: skip
    found = [(name.rsplit(".", 1)[1], head(folder / name)) for name in names]
    csv, jsonl = found[0][1], found[1][1]
    rows = [json.loads(line) for line in jsonl.splitlines()]
    found += [
        ("csv.gz", gzip.compress(csv)),
        ("jsonl.gz", gzip.compress(jsonl)),
        ("csv.zst", bytes(pa.compress(csv, codec="zstd", asbytes=True))),
        (
            "tsv",
            b"text\tlabel\n" + b"".join(f"{row['text']}\t{row['label']}\n".encode() for row in rows),
        ),
        (
            "json",
            squad_document(
                [json.loads(line) for line in head(folder / "squad.train.jsonl", 8).splitlines()]
            ),
        ),
    ]
    pq.write_table(pa.Table.from_pylist(rows), scratch / "seed.parquet")
    found.append(("parquet", (scratch / "seed.parquet").read_bytes()))
    (scratch / "data.csv").write_bytes(csv)
    card = b"""
name = "a"
type = "classification"
[files]
train = "data.csv"
[columns]
text = "text"
[read]
encoding = "utf-8"
"""
    return [*found, ("toml", card)]


def mutate(data: bytes, draw: random.Random) -> bytes:
    mutated = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 30))):
        place = draw.randrange(len(mutated) + 1)
        match draw.randrange(6):
            case 0:
                mutated[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del mutated[place : place + draw.randrange(1, 20)]
            case 2:
                mutated[place:place] = draw.randbytes(draw.randrange(1, 8))
            case 3 if draw.random() < 0.3:
                del mutated[place:]
            case 4:
                mutated[place:place] = draw.choice(PIECES)
            case _:
                start = draw.randrange(len(mutated) + 1)
                mutated[place:place] = mutated[start : start + draw.randrange(400)]
    return bytes(mutated)


def test_ten_thousand_mutations_of_real_files(shared: Path, tmp_path: Path) -> None:
    draw = random.Random(20240117)
    seeds = real_files(shared / "tasks", tmp_path)
    for suffix, data in seeds:
        path = tmp_path / f"sound.{suffix}"
        path.write_bytes(data)
        assert reads(path) == "read"
        (tmp_path / f"mutated.{suffix}").touch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read: Counter[str] = Counter()
    for number in range(MUTATIONS):
        suffix, data = seeds[number % len(seeds)]
        path = tmp_path / f"mutated.{suffix}"
        # Emptying a file before each writing costs more than all the rest.
        with path.open("r+b") as file:
            file.truncate(file.write(mutate(data, draw)))
        read[suffix] += reads(path) == "read"
    # KiB; a mutated zstd frame may ask for its window of 128 MiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    # Both ends were reached: many files still read, and many do not.
    assert 0 < sum(read.values()) < MUTATIONS
    assert read["csv"] > 0
    assert read["jsonl"] > 0


@pytest.mark.parametrize(
    "suffix",
    ["csv", "tsv", "jsonl", "json", "conll", "conllu", "parquet", "toml", "csv.gz", "json.zst"],
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200)
    | st.text(string.printable + "äß日\u2028\ufeff", max_size=200).map(str.encode)
)
def test_any_bytes(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"any.{suffix}"
    path.write_bytes(data)
    reads(path)


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["O", "B-X", "I-X", "X_B", "(X*", "A", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "answer_start", "label"]), inner)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "text",
        "text_pair",
        "label",
        "tokens",
        "tags",
        "context",
        "question",
        "answers",
        "answer_start",
        "choices",
        "choice1",
        "choice2",
        "is_impossible",
        "score",
    ]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.dictionaries(NAMES, CELLS, max_size=5), min_size=1, max_size=4), same=st.booleans()
)
def test_any_rows_of_json(tmp_path: Path, rows: list[dict[str, Any]], same: bool) -> None:
    rows = [rows[0]] * 3 if same else rows
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reads(path)
    for type in (
        "classification",
        "regression",
        "token-classification",
        "question-answering",
        "multiple-choice",
    ):
        try:
            check_task(read_task(path, ReadSettings(type=type)))
        except InputError as error:
            assert len(str(error).splitlines()) == 1
