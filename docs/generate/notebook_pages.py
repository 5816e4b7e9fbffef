"""Pages made of executed notebooks: their text, their code, and the outputs that they are stored with."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode


class NotebookPage:
    """One notebook as a page.

    Parameters
    ----------
    notebook : Path
        An executed notebook.
    """

    def __init__(self, notebook: Path) -> None:
        self.path = f"tutorials/{notebook.stem}.md"
        self._outputs: dict[str, str] = {}
        blocks = []
        for number, cell in enumerate(nbformat.read(notebook, as_version=4).cells):
            if cell.cell_type == "markdown":
                blocks.append(cell.source)
                continue
            blocks.append(f"```python\n{cell.source}\n```")
            for index, output in enumerate(cell.outputs):
                # Outputs are HTML that Markdown must not touch: they are put in after it.
                mark = f'<div class="nb-output" id="output-{number}-{index}"></div>'
                self._outputs[mark] = mark.replace("></div>", f">{_as_html(output)}</div>")
                blocks.append(mark)
        blocks.append(f"This page is the notebook `notebooks/{notebook.name}`, as it ran.")
        self.markdown = "\n\n".join(blocks) + "\n"

    def with_outputs(self, page: str) -> str:
        """Return the HTML of the page with the outputs in their places."""
        for mark, output in self._outputs.items():
            if mark not in page:
                raise ValueError(f"{self.path}: no place for the output {mark}")
            page = page.replace(mark, output)
        return page


def _as_html(output: NotebookNode) -> str:
    return "".join(_parts(output))


def _parts(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "stream":
        yield f"<pre>{html.escape(output.text)}</pre>"
        return
    if output.output_type == "error":
        raise ValueError(f"a stored output is an error: {output.ename}: {output.evalue}")
    data = output.data
    if "text/html" in data:
        yield data["text/html"]
    elif "image/svg+xml" in data:
        yield data["image/svg+xml"]
    elif "image/png" in data:
        code = data["image/png"].replace("\n", "")
        yield f'<img alt="Figure" src="data:image/png;base64,{code}">'
    else:
        yield f"<pre>{html.escape(data['text/plain'])}</pre>"
