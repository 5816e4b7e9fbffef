"""Options that several commands share."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from transfer_meta.cli.shared.options import parse_pairs, with_options
from transfer_meta.cli.shared.table_options import parse_columns
from transfer_meta.cli.shared.task_options import ReadOptions
from transfer_meta.errors import InputError
from transfer_meta.tasks import ReadSettings


@dataclass(frozen=True, kw_only=True)
class Baking:
    """A group of options."""

    minutes: Annotated[int, typer.Option("--minutes")] = 30
    salt: Annotated[bool, typer.Option("--salt")] = False


def test_a_dataclass_becomes_options_in_its_place() -> None:
    @with_options
    def command(
        name: str, *, first: int = 0, baking: Baking, last: int = 9
    ) -> tuple[str, int, Baking, int]:
        return name, first, baking, last

    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["name", "first", "minutes", "salt", "last"]
    assert parameters["minutes"].default == 30
    assert command(name="bread", salt=True, last=1) == ("bread", 0, Baking(salt=True), 1)


def test_options_of_reading_tasks() -> None:
    options = ReadOptions(scheme="IOB1", columns=["text=body"])
    assert options.to_settings() == ReadSettings(scheme="IOB1", columns={"text": "body"})
    with pytest.raises(InputError, match="unknown format"):
        ReadOptions(format="doc").to_settings()


def test_pairs_of_names_and_values() -> None:
    assert parse_columns(" source = aux,target=a=b") == {"source": "aux", "target": "a=b"}
    for pairs in (["a"], ["a="], ["=b"]):
        with pytest.raises(InputError, match="--x: expected A=B, got"):
            parse_pairs("--x", pairs, form="A=B")
    with pytest.raises(InputError, match="--x: two values for 'a': 'b' and 'c'"):
        parse_pairs("--x", ["a=b", "a=c"], form="A=B")
