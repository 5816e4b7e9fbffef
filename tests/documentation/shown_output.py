"""Output as a page shows it against output as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

ELLIPSES = ("…", "...")
_RULE = re.compile(r"[─━═ ]*[─━═]{3}[─━═ ]*")
# Written every ten seconds where stderr is no terminal; in a terminal it is a bar that goes away.
_PROGRESS = re.compile(r"\S.*: \d+/\d+")


def difference(shown: Sequence[str], got: str) -> str | None:
    """Return what is not as shown, or None.

    White space counts as one blank, empty lines and the length of rules not at all. An ellipsis stands for any text
    within a line, and alone on a line for any number of lines. All else is compared as it is printed, numbers too.
    """
    expected = _normalise(shown)
    found = _normalise(got.splitlines())
    output = "".join(f"{line}\n" for line in found if not _PROGRESS.fullmatch(line))
    if re.fullmatch(_pattern(expected), output):
        return None
    fits = next(n for n in range(len(expected), -1, -1) if re.match(_pattern(expected[:n]), output))
    first = expected[fits] if fits < len(expected) else "the end"
    return (
        f"not found in its place: {first}\n--- shown\n" + "\n".join(expected) + f"\n--- got\n{output}"
    )


def _normalise(lines: Sequence[str]) -> list[str]:
    words = (" ".join(line.split()) for line in lines)
    return ["───" if _RULE.fullmatch(line) else line for line in words if line]


def _pattern(lines: Sequence[str]) -> str:
    return "".join(
        r"(?:[^\n]*\n)*?"
        if line in ELLIPSES
        else "[^\\n]*".join(re.escape(part) for part in re.split(r"…|\.\.\.", line)) + r"\n"
        for line in lines
    )
