from __future__ import annotations

import pytest
from markdown_blocks import PAGES, find_blocks, find_commands, prose

PAGE = """\
Text with `a`.
```console
$ echo one \\
    two
one two

$ true  # says nothing
```

<!-- not run: needs
a GPU -->
```python
x = 1
```

```text
1
```
- in a list:

    ~~~ toml
    # file: plan.toml
    a = 1
      b = 2
    ~~~
> ````json
> {}
> ````
<!-- a comment -->
Last.
"""


def test_blocks() -> None:
    console, python, text, toml, json = find_blocks(PAGE)
    blocks = [console, python, text, toml, json]
    assert [b.line for b in blocks] == [2, 12, 16, 21, 26]
    assert [b.language for b in blocks] == ["console", "python", "text", "toml", "json"]
    assert (console.reason, python.reason, text.reason) == (None, "needs a GPU", None)
    assert (python.adjacent, text.adjacent, toml.adjacent) == (False, True, False)
    assert (toml.file_name, toml.text) == ("plan.toml", "a = 1\n  b = 2\n")
    assert (json.file_name, json.text) == (None, "{}\n")


def test_commands() -> None:
    first, second = find_commands(next(find_blocks(PAGE)))
    assert (first.line, first.text, first.shown) == (3, "echo one     two", ("one two", ""))
    assert (second.line, second.text, second.shown) == (7, "true  # says nothing", ())


def test_a_backslash_in_output_continues_nothing() -> None:
    (block,) = find_blocks("```console\n$ a\nx \\\ny\n$ b\n```\n")
    assert [c.shown for c in find_commands(block)] == [("x \\", "y"), ()]


def test_prose_keeps_its_lines() -> None:
    left = prose(PAGE).splitlines()
    assert (left[0], left[18], left[29]) == ("Text with `a`.", "- in a list:", "Last.")
    assert [line for line in left if line.strip()] == ["Text with `a`.", "- in a list:", "Last."]


@pytest.mark.parametrize("page", ["```console\noutput first\n```\n", "```console\n$ a\n"])
def test_what_is_no_console_block(page: str) -> None:
    with pytest.raises(
        ValueError, match=r"page\.md:[12]: (output without a command|a block that does not end)"
    ):
        find_commands(next(find_blocks(page)))


def test_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "data/minilm_grid/README.md", "deploy/README.md"} <= set(
        PAGES
    )
