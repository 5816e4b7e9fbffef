from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from transfer_meta.errors import InputError
from transfer_meta.files import atomic_file, atomic_folder, guard_cell, save_table, unguard_cell
from transfer_meta.readers.whole_table import TableFormat, read_table_file


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "new" / "a.txt") as path:
        path.write_text("x")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "x"


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as path:
        path.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_appears_whole_and_replaces_one_of_ours(tmp_path: Path) -> None:
    for content in ("1", "2"):
        with atomic_folder(tmp_path / "m") as folder:
            (folder / "card.json").write_text(content)
    assert (tmp_path / "m" / "card.json").read_text() == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_what_another_process_has_written_meanwhile_is_kept_on_request(tmp_path: Path) -> None:
    def write(content: str) -> None:
        with atomic_folder(tmp_path / "m", keeps_earlier=True) as folder:
            (folder / "card.json").write_text(content)
            if content == "late":
                write("early")

    write("late")
    assert (tmp_path / "m" / "card.json").read_text() == "early"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_folder_of_something_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"), atomic_folder(tmp_path):
        pass
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("write", [atomic_file, atomic_folder])
def test_an_unwritable_place_is_one_clear_error(tmp_path: Path, write) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), write(tmp_path / "file" / "below" / "it"):
        pass


def test_a_file_has_the_permissions_of_any_new_file_whoever_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_file(tmp_path / "a.bin") as path:
        path.unlink()
        path.touch(mode=0o600)  # as writers do that make a temporary file of their own
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("cell", "guarded"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("''-1", "'''-1"),
        ("'tis", "'tis"),
        ("-1", "-1"),
        ("+.5e-3", "+.5e-3"),
        ("a=b", "a=b"),
        ("", ""),
        (-1.5, -1.5),
        (None, None),
    ],
)
def test_a_cell_that_a_spreadsheet_would_compute_is_guarded(cell, guarded) -> None:
    assert guard_cell(cell) == guarded
    assert unguard_cell(guarded) == cell


@pytest.mark.parametrize("guard", [True, False])
def test_a_table_of_ours_is_read_back_as_it_was(tmp_path: Path, guard: bool) -> None:
    names = ["=a", "+b", "-c", "@d", "'=e", "'tis", "-1+x"]
    frame = pd.DataFrame({"source": names, "=own": names[::-1], "score": [-0.5, *map(float, range(6))]})
    save_table(frame, tmp_path / "a.csv", guard=guard)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == ("source,'=own,score" if guard else "source,=own,score")
    assert lines[1] == ("'=a,'-1+x,-0.5" if guard else "=a,-1+x,-0.5")
    if guard:
        read = read_table_file(tmp_path / "a.csv", TableFormat(), names=("source",)).frame
        pd.testing.assert_frame_equal(read, frame, check_dtype=False)
    save_table(frame, tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), frame)
