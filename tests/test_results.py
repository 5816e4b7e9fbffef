"""Texts, tables and HTML of results."""

from __future__ import annotations

import sys
import unicodedata
from html.parser import HTMLParser

import pandas as pd
import pytest

from transfer_meta.results import HIDDEN, frame_as_html, table_as_text, visible

TAGS = (
    "<script>alert(1)</script>",
    "</td></tr></table><h1>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "<!-- ",
)


def test_all_that_unicode_calls_control_format_or_separator_is_hidden() -> None:
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    characters = map(chr, range(sys.maxunicode + 1))
    seen = [c for c in characters if unicodedata.category(c) in hidden and not HIDDEN.match(c)]
    assert seen == [" ", "\u3000"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – café 中文 日本　語", "plain – café 中文 日本　語"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", r"\x1b]8;;http://x\x07link\x1b]8;;\x07"),
        ("a\tb\rc\nd\u2028e", r"a\tb\rc\nd\u2028e"),
        ("\u202etxt.exe\u2066\u200f\u061c", r"\u202etxt.exe\u2066\u200f\u061c"),
        ("pay\u200bpal\ufeff\xad\xa0x", r"pay\u200bpal\ufeff\xad\xa0x"),
        ("\udc80", r"\udc80"),
        ("[red]", "[red]"),
        # Joiners of a script that needs them, and of emoji; not those between Latin letters.
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("a\u200db", r"a\u200db"),
    ],
)
def test_what_is_hidden_is_written_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert visible(f"{text}\n", lines=True).endswith("\n")


def test_tables_show_names_in_one_line_and_no_markup() -> None:
    name = "[bold]a[/bold]\n\x1b[31m"
    text = table_as_text([name, "value"], [[name, 1.0]], title=name)
    assert text.count("\n") == 3
    assert text.count(r"[bold]a[/bold]\n\x1b[31m") == 3
    # Not a mistake of markup either.
    assert "[/x]" in table_as_text(["[/x]"], [["[link=http://a"]])


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


@pytest.mark.parametrize("name", TAGS)
def test_names_in_html_are_text(name: str) -> None:
    def html(name: str) -> str:
        return frame_as_html(pd.DataFrame({name: [name], "other": [1.0]}))

    assert _Tags(html(name)).found == _Tags(html("x")).found
