"""Run the notebooks and store them with their outputs: ``run_notebooks.py NOTEBOOK...``.

Numbers that differ from run to run (times, addresses, identifiers of styled tables) are taken out of the outputs.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

SECONDS_A_CELL = 600
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_TABLE = re.compile(r"T_[0-9a-f]{5}(?![0-9a-f])")


def run_notebook(path: Path) -> None:
    """Run a notebook in an empty folder and store it in its place."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook,
            timeout=SECONDS_A_CELL,
            kernel_name="python3",
            resources=resources,
            record_timing=False,
        )
        client.execute()
    nbformat.write(repeatable(notebook), path)


def repeatable(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook whose outputs are the same each time that the results are."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02d}", {}
        for output in cell.get("outputs", ()):
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = _TABLE.sub(f"T_{number:05d}", _ADDRESS.sub("", value))
    return notebook


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        run_notebook(Path(argument))
        print(argument)
