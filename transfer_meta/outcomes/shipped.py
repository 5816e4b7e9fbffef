"""The outcome tables that ship with the package."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from transfer_meta.errors import InputError, unknown


@dataclass(frozen=True)
class Shipped:
    """A folder of ``data/``: ``outcomes.csv``, ``dataset.toml`` and whatever else is known of its tasks.

    Parameters
    ----------
    name : str
        What `load_outcomes` takes.
    folder : Path
    title, citation : str
    feature_sets : dict of str to tuple of str
        Named sets of task features.
    profile_examples : int or None
        So many training examples of a task its profile and its vectors are made of, drawn as a run draws
        them; a new task that is to be compared with them should have no more.
    """

    name: str
    folder: Path
    title: str
    citation: str
    feature_sets: dict[str, tuple[str, ...]]
    profile_examples: int | None = None

    @property
    def outcomes(self) -> Path:
        """The file of outcomes."""
        return self.folder / "outcomes.csv"

    @property
    def others(self) -> Path | None:
        """Outcomes of the same tasks by other methods and in other regimes, if there are any."""
        return self._file("others.csv")

    @property
    def tasks(self) -> Path | None:
        """The file of task features, if there is one."""
        return self._file("tasks.csv")

    @property
    def pairs(self) -> Path | None:
        """The file of pair features, if there is one."""
        return self._file("pairs.csv")

    @property
    def profiles(self) -> dict[str, Path]:
        """Files for `features.profile_files.load_profile`, by task."""
        return {path.stem: path for path in sorted((self.folder / "profiles").glob("*.json"))}

    @property
    def vectors(self) -> dict[str, Path]:
        """Files for `features.vector_files.load_vectors`, by task."""
        return {path.stem: path for path in sorted((self.folder / "vectors").glob("*.npz"))}

    @property
    def models(self) -> dict[str, Path]:
        """Folders of fitted models, by name."""
        return {path.name: path for path in sorted((self.folder / "models").glob("*/"))}

    def _file(self, name: str) -> Path | None:
        path = self.folder / name
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
            profile_examples=fields.get("profile_examples"),
        )
    return tables


def find_shipped(name: str) -> Shipped:
    """The shipped table of that name; an InputError offers the nearest."""
    tables = shipped_tables()
    if name not in tables:
        raise unknown("dataset", name, tables)
    return tables[name]
