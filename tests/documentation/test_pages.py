"""Every block of the documentation runs from a clone, and prints what the page shows.

How blocks are written is told in `markdown_blocks`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_names import named_in, option_names, options_in, parse_error, wrong_name
from markdown_blocks import PAGES, ROOT, Block, find_commands, prose, read_page
from run_page import SET_UP

SCRIPT = Path(__file__).with_name("run_page.py")
CLONE = ("data", "examples", "notebooks", "Makefile", "pyproject.toml")
SECONDS_A_PAGE = 600
REASONS = re.compile(
    r"\b(network|Hub|GPUs?|cluster|server|container|minutes?|hours?|browser|your shell)\b",
    re.IGNORECASE,
)
"""What a block that is not run has to need."""
OPTIONS_OF_OTHERS = {"--exclusive", "--outdir"}
"""Options named alone in prose that are those of other programs."""


def runs(block: Block) -> bool:
    """Whether something of a block is run."""
    return block.language in ("console", "python") and block.reason is None


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(runs, read_page(page)))])
def test_it_runs(page: str, tmp_path: Path) -> None:
    folder, home = tmp_path / "clone", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    for name in CLONE:
        # Copies: a command may write there.
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    report = tmp_path / "report.json"
    result = subprocess.run(
        [sys.executable, SCRIPT, ROOT, page, report],
        cwd=folder,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_A_PAGE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    failures = json.loads(report.read_text(encoding="utf-8"))
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)


def environment(home: Path) -> dict[str, str]:
    """The environment of a user without settings and without a network."""
    inherited = ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT", "TMPDIR", "LD_LIBRARY_PATH")
    # The cache of matplotlib's fonts takes seconds to make.
    fonts = os.environ.get("MPLCONFIGDIR") or str(Path("~/.cache/matplotlib").expanduser())
    return {
        **{name: os.environ[name] for name in inherited if name in os.environ},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "TRANSFER_META_CACHE": str(home / "cache"),
        "MPLCONFIGDIR": fonts,
        "MPLBACKEND": "agg",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_their_language(page: str) -> None:
    wrong = [b.line for b in read_page(page) if b.language in ("", "bash", "sh", "shell", "pycon")]
    assert wrong == [], "these blocks are to be console, python, text, toml, csv, json or yaml"
    text = prose((ROOT / page).read_text(encoding="utf-8"))
    indented = re.findall(
        r"^(?: {4,}|\t)(?:\$|transfer-meta|make|git|pip|python) .*$", text, flags=re.MULTILINE
    )
    assert indented == [], "commands stand in console blocks"


@pytest.mark.parametrize("page", PAGES)
def test_data_in_blocks_parses(page: str) -> None:
    for block in read_page(page):
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        elif block.language in ("yaml", "yml"):
            pytest.importorskip("yaml").safe_load(block.text)
        elif block.language == "python" and block.reason is not None:
            compile(block.text, page, "exec")


def not_run() -> Iterator[tuple[Block, str]]:
    """Every block that says why it is not run."""
    for page in PAGES:
        for block in read_page(page):
            if block.reason is not None:
                yield block, block.reason


def test_what_is_not_run_needs_what_a_test_has_not() -> None:
    without = [
        f"{b.page}:{b.line}: {reason!r}" for b, reason in not_run() if not REASONS.search(reason)
    ]
    assert without == [], f"the reason is to name one of {REASONS.pattern}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_not_run_parse(page: str) -> None:
    problems = []
    for block in read_page(page):
        if block.language == "console" and block.reason is not None:
            for command in find_commands(block):
                for part in re.findall(r"(?:^|[;&|]\s*)(transfer-meta\b[^;]*)", command.text):
                    if problem := parse_error(part):
                        problems.append(f"{page}:{command.line}: {problem}")
    assert problems == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_named_in_prose_exist(page: str) -> None:
    text = prose((ROOT / page).read_text(encoding="utf-8"))
    problems = [f"{page}:{line}: {problem}" for line, t in named_in(text) if (problem := wrong_name(t))]
    known = option_names(None) | OPTIONS_OF_OTHERS
    problems += [f"{page}:{line}: no option {o}" for line, o in options_in(text) if o not in known]
    assert problems == []


def test_set_up_is_as_the_project_has_it() -> None:
    """Set-up commands are not run here; their targets and extras exist."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    missing = []
    for page in PAGES:
        for block in read_page(page):
            commands = find_commands(block) if block.language == "console" else []
            for command in commands:
                if SET_UP.match(command.text) or block.reason is not None:
                    wanted = re.findall(r"(?:^|&& )make ([\w-]+)", command.text)
                    missing += [f"{page}:{command.line}: make {t}" for t in wanted if t not in targets]
                    extras = re.findall(r"(?:transfer-meta|\.)\[([\w,-]+)\]", command.text)
                    missing += [
                        f"{page}:{command.line}: [{extra}]"
                        for extra in ",".join(extras).split(",")
                        if extra and extra not in project["optional-dependencies"]
                    ]
        text = prose((ROOT / page).read_text(encoding="utf-8"))
        missing += [
            f"{page}: make {t}" for t in re.findall(r"`make ([\w-]+)`", text) if t not in targets
        ]
    assert missing == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(page: str) -> None:
    places = (ROOT, ROOT / "transfer_meta")
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+/[\w.-]*|[\w-]+\.(?:py|md|toml|csv))`", text))
    paths = {
        name for name in named if not name.isupper() and "NAME" not in name and "FORMAT" not in name
    }
    missing = [n for n in sorted(paths) if not any((place / n).exists() for place in places)]
    # Files that a user or a run writes, and rooms named within their row of the map.
    outside = {"../shared", "outcomes.csv", "dataset.toml"}
    inner = {
        "commands/",
        "shared/",
        "store/",
        "checkpoints/",
        "text/",
        "curves/",
        "vectors/",
        "scores/",
    }
    assert [n for n in missing if n not in outside | inner] == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_the_clone_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rooms = "examples|notebooks|tests|deploy|transfer_meta"
    named = set(
        re.findall(rf"(?<![\w./-])((?:{rooms})/[\w./-]*\w\.(?:py|toml|md|ipynb|sh|yaml))\b", text)
    )
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


# Pages of the site have links to pages that are generated: the site's strict build checks them.
@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("docs/")])
def test_links_within_the_clone_lead_somewhere(page: str) -> None:
    text = prose((ROOT / page).read_text(encoding="utf-8"))
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
