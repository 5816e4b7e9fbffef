"""The outcome tables that ship with the package."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from transfer_meta.errors import InputError, unknown


@dataclass(frozen=True)
class Shipped:
    """A folder of ``data/``: ``outcomes.csv``, ``dataset.toml`` and, for most, ``tasks.csv``."""

    name: str
    folder: Path
    title: str
    citation: str
    feature_sets: dict[str, tuple[str, ...]]

    @property
    def outcomes(self) -> Path:
        """The file of outcomes."""
        return self.folder / "outcomes.csv"

    @property
    def tasks(self) -> Path | None:
        """The file of task features, if there is one."""
        path = self.folder / "tasks.csv"
        return path if path.is_file() else None


def data_folder() -> Path:
    """Where the shipped data lie: in the installed package, or beside it in a source checkout."""
    package = Path(str(files("transfer_meta")))
    for folder in (package / "data", package.parent / "data"):
        if folder.is_dir():
            return folder
    raise InputError(f"the package is incomplete: no data folder in '{package}'; install it again")


def shipped_tables() -> dict[str, Shipped]:
    """All shipped tables by name, for example ``bingel-soegaard-2017``."""
    tables = {}
    for card in sorted(data_folder().glob("*/dataset.toml")):
        fields = tomllib.loads(card.read_text(encoding="utf-8"))
        name = card.parent.name.replace("_", "-")
        tables[name] = Shipped(
            name=name,
            folder=card.parent,
            title=fields["title"],
            citation=fields["citation"],
            feature_sets={k: tuple(v) for k, v in fields.get("feature_sets", {}).items()},
        )
    return tables


def find_shipped(name: str) -> Shipped:
    """The shipped table of that name; an InputError offers the nearest."""
    tables = shipped_tables()
    if name not in tables:
        raise unknown("dataset", name, tables)
    return tables[name]
