"""What several files say of the package is the same; `make dist` builds it and tries the wheel."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from transfer_meta import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_has_the_version_and_the_licence() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [__version__]
    assert re.findall(r"^license: (.+)$", citation, re.MULTILINE) == [PROJECT["license"]]
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_first_entry_of_the_changelog_is_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == __version__


def test_the_classifiers_are_the_versions_that_are_tested() -> None:
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    tested = re.findall(r'"(\d\.\d+)"', re.search(r"python: \[(.*)\]", workflow)[1])
    prefix = "Programming Language :: Python :: "
    assert [c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix)] == tested
    assert PROJECT["requires-python"] == f">={tested[0]}"
