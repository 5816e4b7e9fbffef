from __future__ import annotations

import pytest
from shown_output import difference

OUTPUT = """
 name    value
 ─────────────
 first   0.123
 second  1,234

note: [a] is (new)
"""


@pytest.mark.parametrize(
    "shown",
    [
        "name value|─────────────────|first 0.123|second 1,234||note: [a] is (new)",
        "…",
        "…|first 0.123|…",
        "name value|...|note: …",
        "name …|…|…|note: [a] is …w)",
        "name value|───|first 0.123|…|second 1,234|note: [a] is (new)",
    ],
)
def test_as_shown(shown: str) -> None:
    assert difference(shown.split("|"), OUTPUT) is None


@pytest.mark.parametrize(
    ("shown", "first"),
    [
        ("name value|───|first 0.124|…", "first 0.124"),
        ("first 0.123|…", "first 0.123"),
        ("name value|…|first 0.123|second 1,234", "the end"),
        ("…|second 1,234|first 0.123|…", "first 0.123"),
        ("…|note: .a. is (new)", "note: .a. is (new)"),
        ("", "the end"),
    ],
)
def test_not_as_shown(shown: str, first: str) -> None:
    problem = difference(shown.split("|"), OUTPUT)
    assert problem is not None
    assert problem.startswith(f"not found in its place: {first}\n")
    assert "second 1,234" in problem


def test_lines_of_progress_are_no_output() -> None:
    assert difference(["done"], "benchmark: 3/12\ndone\n") is None
