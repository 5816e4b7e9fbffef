"""Tables as data frames."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers.whole_table import read_table

TEXT = b"\xef\xbb\xbfsource,target,score,seed\n007,NA,0.1,1\nnull,b,,2\n"


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".zst", zstd),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
    ],
)
def test_names_stay_text_and_only_an_empty_field_is_missing(tmp_path: Path, suffix: str, pack) -> None:
    for kind, text in (("csv", TEXT), ("tsv", TEXT.replace(b",", b"\t"))):
        path = tmp_path / f"t.{kind}{suffix}"
        path.write_bytes(pack(text))
        frame = read_table(path)
        assert list(frame["source"]) == ["007", "null"]
        assert list(frame["target"]) == ["NA", "b"]
        assert (frame["score"].isna().tolist(), frame["seed"].dtype) == ([False, True], "int64")


def test_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"source": ["a"], "score": [0.1]})
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"t\.parquet' is no table: "):
        read_table(tmp_path / "t.parquet")


def test_a_damaged_file_is_one_error_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(TEXT * 1000)[:-20])
    with pytest.raises(InputError, match=r"t\.csv\.gz: the packed file ends early"):
        read_table(path)
    with pytest.raises(InputError, match="two columns named 'a'"):
        (tmp_path / "t.csv").write_text("a,a \n1,2\n")
        read_table(tmp_path / "t.csv")
