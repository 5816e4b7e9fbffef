"""Options that several commands share."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from transfer_meta.cli.shared.options import find_target_and_sources, gathers
from transfer_meta.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Baking:
    """A group of options."""

    minutes: Annotated[int, typer.Option("--minutes")] = 30
    salt: Annotated[bool, typer.Option("--salt")] = False


def test_a_group_of_options_stands_where_its_keyword_stood() -> None:
    @gathers("baking", Baking)
    def command(
        name: str, *, first: int = 0, baking: Any, last: int = 9
    ) -> tuple[str, int, Baking, int]:
        return name, first, baking, last

    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["name", "first", "minutes", "salt", "last"]
    assert parameters["minutes"].default == 30
    assert command("bread", salt=True, last=1) == ("bread", 0, Baking(salt=True), 1)


def test_the_target_is_none_of_its_sources(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.train.csv" for name in ("a", "b", "c")]
    for file in files:
        file.write_text("text,label\nx,y\n")
    target, sources = find_target_and_sources(str(files[1]), [str(tmp_path), str(files[2])])
    assert (target, sources) == (str(files[1]), [str(files[0]), str(files[2])])
    with pytest.raises(InputError, match="--target: expected one task, got 3"):
        find_target_and_sources(str(tmp_path), [])
