"""Walking through JSON without holding it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transfer_meta.errors import InputError
from transfer_meta.readers import json_stream
from transfer_meta.readers.json_stream import JsonStream

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=15,
)


def walk(stream: JsonStream, depth: int) -> Any:
    """The document, by walking `depth` levels down and decoding what is below."""
    following = stream.peek()
    if depth and following == "[":
        return [walk(stream, depth - 1) for _ in stream.elements()]
    if depth and following == "{":
        return {key: walk(stream, depth - 1) for key in stream.members()}
    return stream.value()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    value=VALUES, depth=st.integers(0, 3), size=st.integers(1, 40), indent=st.sampled_from([None, 1])
)
def test_equals_the_json_module(
    tmp_path: Path, value: Any, depth: int, size: int, indent: int | None
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False), encoding="utf-8", newline="")
    stream = JsonStream(path, "utf-8")
    stream._chunks = json_stream.text_chunks(path, "utf-8", size)  # pieces that cut values anywhere
    assert walk(stream, depth) == value
    stream.end()


def test_elements_know_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n {"a": 1},\n\n {"a":\n 2}, {}]')
    stream = JsonStream(path, "utf-8")
    lines = []
    for line in stream.elements():
        lines.append(line)
        stream.value()
    assert lines == [2, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}\n {"a": 2}]', r"a\.json:2: not usable JSON: expected ',', got '\{'"),
        ('[{"a": 1},\n', r"a\.json:2: not usable JSON: Expecting value"),
        ("[1, 2", r"a\.json:1: not usable JSON: expected ',', got the end of the file"),
        ("[1] 2", r"a\.json:1: not usable JSON: text after the end"),
        ("[" + "[" * 100_000, r"a\.json:1: not usable JSON"),
        ("[" + "1" * 5000 + "]", r"a\.json:1: not usable JSON: Exceeds"),
    ],
)
def test_broken_documents(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)

    def read() -> None:
        stream = JsonStream(path, "utf-8")
        walk(stream, 1)
        stream.end()

    with pytest.raises(InputError, match=message):
        read()


def test_a_value_over_the_bound_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_LINE", 1000)
    path = tmp_path / "a.json"
    path.write_text('["' + "x" * 1_000_000 + '"]')
    with pytest.raises(InputError, match="broken, or one value of over"):
        walk(JsonStream(path, "utf-8"), 1)
