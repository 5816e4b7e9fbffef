from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_page import captured, plain_words

SCRIPT = Path(__file__).with_name("run_page.py")
GOOD = """
```toml
# file: plans/a.toml
a = 1
```
```console
$ cat plans/a.toml && export WORD=blue && cd plans
a = 1
$ echo "$WORD" $(ls)
blue a.toml
$ transfer-meta outcomes list --json
[
…
$ transfer-meta outcomes show nothing.csv
error: …nothing.csv…
$ transfer-meta outcomes show nothing.csv 2> /dev/null || echo failed
failed
$ make everything
```
```python
import os

x = len(os.listdir())
print(x, "file")
```

```text
1 file
```
```python
>>> x + 1
2
>>> y = list(range(30)); y
[0, 1, …, 29]
```
```python
assert y[1] == 1
```
<!-- not run: needs a GPU -->
```python
raise SystemExit
```
"""
BAD = """
```console
$ echo one
two
$ false
$ transfer-meta outcomes show nothing.csv
$ echo fine
error: not so
```
```python
print("a")
1 / 0
```
```python
>>> 1 + 1
3
```
```python
print(5)
```
```text
6
```
"""


def run(page: str, folder: Path) -> list[str]:
    (folder / "page.md").write_text(page, encoding="utf-8")
    (folder / "run").mkdir()
    result = subprocess.run(
        [sys.executable, SCRIPT, folder, "page.md", folder / "report.json"],
        cwd=folder / "run",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return json.loads((folder / "report.json").read_text())


def test_a_page_that_is_right(tmp_path: Path) -> None:
    assert run(GOOD, tmp_path) == []


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    echo, false, error, fine, python, examples, output = run(BAD, tmp_path)
    assert echo.startswith("page.md:3: $ echo one\nnot found in its place: two\n")
    assert echo.endswith("--- got\none\n")
    assert false.startswith("page.md:5: $ false\nexit code 1")
    assert error.startswith(
        "page.md:6: $ transfer-meta outcomes show nothing.csv\nexit code 2\nerror: nothing.csv"
    )
    assert fine.startswith("page.md:7: $ echo fine\nexit code 0")
    assert python.startswith("page.md:10: python\nTraceback")
    assert 'File "page.md", line 12' in python
    assert python.endswith("ZeroDivisionError: division by zero\n\na\n")
    assert examples.startswith("page.md:14: python\n")
    assert "line 15" in examples
    assert output.startswith("page.md:21: output of the block above\nnot found in its place: 6\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "transfer-meta benchmark 'my runs.csv' --json  # quickly",
            ["benchmark", "my runs.csv", "--json"],
        ),
        ("transfer-meta importance T --by 'a|b'", ["importance", "T", "--by", "a|b"]),
        ("transfer-meta outcomes list | head -2", None),
        ("transfer-meta outcomes list>a.txt", None),
        ("transfer-meta fit $TABLE", None),
        ("transfer-meta profile *.csv", None),
        ("python examples/scaling.py", None),
    ],
)
def test_commands_that_the_shell_has_nothing_to_do_with(command: str, words: list[str] | None) -> None:
    assert plain_words(command) == words


def test_both_streams_are_captured_in_the_order_of_writing() -> None:
    with captured() as output:
        print("one")
        print("two", file=sys.stderr)
        os.system("echo three")
        print("four")
    assert output == ["one\ntwo\nthree\nfour\n"]
