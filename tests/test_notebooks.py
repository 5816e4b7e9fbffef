"""The notebooks run from top to bottom, do no more than call the package, and are stored as they ran."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SECONDS_A_CELL = 300
MAX_BYTES = 500_000


def test_there_are_notebooks() -> None:
    assert "01_bingel_soegaard.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing_and_is_stored_as_it_ran(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        nodes = ast.walk(ast.parse(cell.source))
        defined = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
        assert not defined
        assert not [output for output in cell.outputs if output.output_type == "error"]
        # Warnings and progress bars are of the machine that it ran on.
        assert not [output for output in cell.outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_small_and_names_no_path_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < MAX_BYTES
    assert (
        re.findall(r"(?:/(?:home|root|tmp|work|Users|usr|var|mnt)/[\w./-]+)|(?:[A-Z]:\\\\)", text) == []
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    # In an empty folder: a notebook that needs a file beside it would fail for its readers too.
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        notebook, timeout=SECONDS_A_CELL, kernel_name="python3", resources=resources
    ).execute()
    assert not list(tmp_path.iterdir())
