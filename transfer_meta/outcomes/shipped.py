"""Outcome tables that ship with the package."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from transfer_meta.errors import unknown
from transfer_meta.files import data_folder

FACTS = ("encoder", "method", "regime")
"""Entries of ``dataset.toml`` that stand for a column of `table_checks.SETTING_COLUMNS`."""


@dataclass(frozen=True)
class Shipped:
    """A folder of ``data/`` with outcomes, ``dataset.toml`` and optional files about its tasks.

    Parameters
    ----------
    name : str
        Name for `load_outcomes`.
    folder : Path
    title, citation, licence : str
    feature_sets : dict of str to tuple of str
        Named sets of task features.
    profile_examples : int or None
        Number of training examples, drawn as by a run, that profiles and vectors are computed from; a new task
        should be compared with at most as many.
    facts : dict of str to str
        What all rows have in common and no column says: ``encoder``, ``method``, ``regime``.
    developed : tuple of str
        Predictors that were developed with these outcomes in view: their figures on the table flatter them.
    """

    name: str
    folder: Path
    title: str
    citation: str
    feature_sets: dict[str, tuple[str, ...]]
    profile_examples: int | None = None
    licence: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    developed: tuple[str, ...] = ()

    @property
    def outcomes(self) -> Path:
        """File of outcomes, CSV or Parquet."""
        return self._file("outcomes.parquet") or self.folder / "outcomes.csv"

    @property
    def ceiling(self) -> Path | None:
        """File of the noise ceiling, for a table of means over seeds, if any."""
        return self._file("ceiling.csv")

    @property
    def others(self) -> Path | None:
        """Outcomes of the same tasks by other methods and in other regimes, if any."""
        return self._file("others.csv")

    @property
    def tasks(self) -> Path | None:
        """File of task features, if any."""
        return self._file("tasks.csv")

    @property
    def pairs(self) -> Path | None:
        """File of pair features, if any."""
        return self._file("pairs.csv")

    @property
    def profiles(self) -> dict[str, Path]:
        """Files for `features.profile_files.load_profile`, by task."""
        return {path.stem: path for path in sorted((self.folder / "profiles").glob("*.json"))}

    @property
    def vectors(self) -> dict[str, Path]:
        """Files for `features.vectors.vector_files.load_vectors`, by task."""
        return {path.stem: path for path in sorted((self.folder / "vectors").glob("*.npz"))}

    @property
    def models(self) -> dict[str, Path]:
        """Folders of fitted models, by name."""
        return {path.name: path for path in sorted((self.folder / "models").glob("*/"))}

    def _file(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None


def shipped_tables() -> dict[str, Shipped]:
    """Return all shipped tables by name, for example ``bingel-soegaard-2017``."""
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
            licence=fields.get("licence", ""),
            facts={name: fields[name] for name in FACTS if name in fields},
            developed=tuple(fields.get("developed", ())),
        )
    return tables


def find_shipped(name: str) -> Shipped:
    """Return a shipped table by name; raises InputError with the nearest name."""
    tables = shipped_tables()
    if name not in tables:
        raise unknown("dataset", name, tables)
    return tables[name]
