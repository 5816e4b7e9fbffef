"""Names of sets of sources."""

from __future__ import annotations

import pytest

from transfer_meta.errors import InputError
from transfer_meta.tasks.source_sets import SourceSet, has_sets, is_set, join_sources, parse_sources


@pytest.mark.parametrize(
    ("name", "members", "ordered"),
    [
        ("snli", ("snli",), False),
        ("snli+rte", ("snli", "rte"), False),
        ("snli>rte>cb", ("snli", "rte", "cb"), True),
        (" snli + rte ", ("snli", "rte"), False),
        ("a>b+c", ("a", "b", "c"), True),
        ("c++", ("c++",), False),
        (">", (">",), False),
        ("+rte", ("+rte",), False),
    ],
)
def test_a_name_stands_for_its_tasks(name: str, members: tuple[str, ...], ordered: bool) -> None:
    found = parse_sources(name)
    assert (found.members, found.ordered) == (members, ordered)
    assert is_set(name) == (len(members) > 1)


def test_the_name_of_a_known_task_is_no_set() -> None:
    assert parse_sources("q+a", known={"q+a"}).members == ("q+a",)
    assert not has_sets(["q+a", "snli"], known={"q+a"})
    assert has_sets(["q+a", "snli"])


@pytest.mark.parametrize("ordered", [False, True])
def test_names_that_are_joined_are_parsed_again(ordered: bool) -> None:
    name = join_sources(["b", "a"], ordered=ordered)
    assert name == ("b>a" if ordered else "b+a")
    assert parse_sources(name) == SourceSet(("b", "a"), ordered)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "at least one task, got none"),
        (["a", "a"], "source 'a' occurs twice"),
        (["a", "b+c"], r"source 'b\+c' cannot be part of a set"),
    ],
)
def test_names_that_would_not_be_parsed_again_are_refused(members: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        join_sources(members, ordered=False)
