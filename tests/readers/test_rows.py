"""What all tables share."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_meta.errors import InputError
from transfer_meta.readers import rows as module
from transfer_meta.readers.jsonl import JsonLines, open_jsonl
from transfer_meta.readers.rows import sample_rows


def write(folder: Path, count: int, text: str = "a") -> JsonLines:
    path = folder / "a.jsonl"
    path.write_text(f'{{"text": "{text}", "more": ["{text}", {{"b": "{text}"}}, 1]}}\n' * count)
    return open_jsonl(path)


def test_a_sample_ends_at_a_number_of_rows_or_of_characters(tmp_path: Path, monkeypatch) -> None:
    table = write(tmp_path, 30, "x" * 100)
    assert len(sample_rows(table)) == 30
    monkeypatch.setattr(module, "SAMPLE_ROWS", 7)
    assert [number for number, _ in sample_rows(table)] == list(range(1, 8))
    monkeypatch.setattr(module, "SAMPLE_CHARACTERS", 1000)  # a row has a little over 300
    assert len(sample_rows(table)) == 4


def test_fingerprints_are_of_bytes_and_reading(tmp_path: Path) -> None:
    table = write(tmp_path, 3)
    copy = tmp_path / "b.jsonl"
    copy.write_bytes(table.path.read_bytes())
    assert JsonLines(copy, "utf-8").fingerprint() == table.fingerprint()
    assert JsonLines(copy, "latin-1").fingerprint() != table.fingerprint()
    copy.unlink()
    with pytest.raises(InputError, match=r"b\.jsonl: cannot be read"):
        JsonLines(copy, "utf-8").fingerprint()
