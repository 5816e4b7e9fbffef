"""Library of known tasks: profiles, task vectors and measured transfers, in one or several settings."""

from __future__ import annotations

import contextlib
import functools
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_meta.errors import InputError
from transfer_meta.evaluation.pair_values import seed_weights
from transfer_meta.features.profile_files import load_profile
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors
from transfer_meta.files import data_folder, digest
from transfer_meta.outcomes.shipped import Shipped, find_shipped
from transfer_meta.outcomes.tables import OutcomeTable, build_table
from transfer_meta.readers.whole_table import read_table
from transfer_meta.recommender.catalogue_facts import description_vector, facts_of
from transfer_meta.recommender.pooled_runs import pooled_pairs
from transfer_meta.records import TaskProfile
from transfer_meta.tasks.source_sets import is_set

ATLAS = "atlas"
"""Name of the library of all tables in `ATLAS_TABLES`."""
ATLAS_TABLES = ("minilm-grid", "minilm-31", "taskweb")
"""Shipped tables with profiles and vectors of their tasks.

Of a task in several tables the first one's profile counts; runs in the same setting are pooled over tables.
"""
SCORES_FILE = "scores.csv"
"""In the folder of `ATLAS`: transferability scores of the source encoders that ship, on all targets."""
DEFAULT_LIBRARY = ATLAS
LIBRARY_METHODS = ("intermediate", "multitask")
"""Train on the source before the target, or on both together."""
MIN_TARGETS = 8
"""Targets with outcomes that a method needs: with fewer, an evaluation on held-out targets is mere chance."""


@dataclass(frozen=True)
class Setting:
    """Circumstances in which transfers were measured.

    Parameters
    ----------
    name : str
        For example ``t5-base adapter, 1,000 examples``.
    table : str
        Name of the shipped table, or of the first one.
    encoder, adaptation : str
        The model that was tuned, and how: ``finetune`` or ``adapter``.
    regime : str
        As in `transfer_meta.records.Outcome`.
    n_outcomes : int
        Number of runs with a source.
    more_tables : tuple of str
        Names of other shipped tables with outcomes in the same circumstances.
    """

    name: str
    table: str
    encoder: str
    adaptation: str
    regime: str
    n_outcomes: int = 0
    more_tables: tuple[str, ...] = ()

    @property
    def examples(self) -> tuple[int | None, int | None]:
        """Training examples of a source and of a target; None for all of them."""
        source, target = (int(n) if n.isdigit() else None for n in self.regime.split("-"))
        return source, target


@dataclass(frozen=True)
class Evidence:
    """Outcomes behind the prediction for a source.

    Parameters
    ----------
    n_outcomes, n_targets : int
        Runs with the source, and targets of these.
    encoders : tuple of str
    """

    n_outcomes: int = 0
    n_targets: int = 0
    encoders: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnOutcomes:
    """The user's own outcomes in a library.

    Parameters
    ----------
    tables : tuple of str
        Names of the files.
    tasks : tuple of str
        Tasks that do not ship.
    pairs : DataFrame
        Columns of `Library.pairs`.
    settings : tuple of Setting
        Those of the pairs, the largest first.
    """

    tables: tuple[str, ...]
    tasks: tuple[str, ...]
    pairs: pd.DataFrame = field(repr=False)
    settings: tuple[Setting, ...]

    def n_targets(self, setting: str) -> int:
        """Return the number of targets with own outcomes in a setting."""
        return int(self.pairs.loc[self.pairs["setting"] == setting, "target"].nunique())


@dataclass(frozen=True)
class Library:
    """Known tasks and their transfers by one method.

    Parameters
    ----------
    name : str
        ``atlas`` or the name of a shipped table.
    method : str
        As in `transfer_meta.records.Outcome`.
    settings : tuple of Setting
    pairs : DataFrame
        ``setting``, ``source``, ``target``, ``gain`` (mean over seeds, a fraction), ``weight`` (see
        `evaluation.pair_values.seed_weights`), ``runs`` (their number), ``baseline`` (the target's score alone).
    profiles : mapping of str to TaskProfile
        By task, with sketches, and with features of the learning curve where they are known.
    vectors : mapping of str to Vectors
        By task.
    digest : str
        Of the pairs.
    profile_examples : int or None
        Most training examples of a task that were profiled and embedded.
    embedding : mapping
        Settings of the vectors, see `transfer_meta.features.vectors.vector_files`.
    training : mapping
        Fields of `transfer_meta.training.training_settings.TrainingSettings` of the runs that can be repeated here.
    encoder : str
        The encoder of these runs.
    scores : DataFrame or None
        Transferability scores of the source encoders of `encoder` on the targets, indexed by target and source.
    own : OwnOutcomes or None
        Those of the pairs that are the user's own.
    """

    name: str
    method: str
    settings: tuple[Setting, ...]
    pairs: pd.DataFrame = field(repr=False)
    profiles: Mapping[str, TaskProfile] = field(repr=False)
    vectors: Mapping[str, Vectors] = field(repr=False)
    digest: str
    profile_examples: int | None = None
    embedding: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = "offline"
    scores: pd.DataFrame | None = field(default=None, repr=False)
    own: OwnOutcomes | None = None

    def scores_on(self, target: str, setting: str) -> pd.DataFrame | None:
        """Return the scores of source encoders on a target, indexed by source; None if there are none.

        Scores of one encoder tell little of the gains of another: with another one than `trained` there are none.
        """
        encoders = {found.name: found.encoder for found in self.settings}
        if self.scores is None or encoders[setting] != self.trained.encoder:
            return None
        if target not in self.scores.index.get_level_values("target"):
            return None
        return self.scores.loc[[target]].droplevel("target")

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources with outcomes, sorted."""
        return tuple(sorted(self.pairs["source"].unique()))

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets with outcomes, sorted."""
        return tuple(sorted(self.pairs["target"].unique()))

    @property
    def trained(self) -> Setting:
        """The setting whose runs can be repeated here: the first one."""
        return self.settings[0]

    @property
    def baselines(self) -> pd.Series:
        """Mean score of each target alone in `trained`."""
        here = self.pairs[self.pairs["setting"] == self.trained.name]
        return here.groupby("target")["baseline"].mean()

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the shipped tables, in the order of their settings."""
        found = (name for setting in self.settings for name in (setting.table, *setting.more_tables))
        return tuple(dict.fromkeys(found))

    @property
    def n_outcomes(self) -> int:
        """Number of runs with a source."""
        return int(self.pairs["runs"].sum())

    def tried_in(self, setting: str | None, *, without: Iterable[str] = ()) -> set[str]:
        """Return the sources with outcomes in a setting, or in any, not counting those on some targets."""
        pairs = self.pairs if setting is None else self.pairs[self.pairs["setting"] == setting]
        return set(pairs.loc[~pairs["target"].isin(set(without)), "source"])

    def behind(self, source: str, *, without: Iterable[str] = ()) -> Evidence:
        """Return the outcomes known of a source, not counting those on some targets."""
        pairs = self.pairs[(self.pairs["source"] == source) & ~self.pairs["target"].isin(set(without))]
        encoders = {s.name: s.encoder for s in self.settings}
        return Evidence(
            int(pairs["runs"].sum()),
            int(pairs["target"].nunique()),
            tuple(dict.fromkeys(encoders[name] for name in pairs["setting"])),
        )

    def find_setting(self, encoder: str | None, n_examples: int | None = None) -> Setting | None:
        """Return the setting that answers for an encoder; None for an encoder without outcomes.

        Parameters
        ----------
        encoder : str, optional
            A name on the Hugging Face Hub, with or without its owner, or ``offline``, the default.
        n_examples : int, optional
            Training examples of the target: of several settings of an encoder the one of the nearest size counts,
            fine-tuning before adapters.

        Own outcomes come first: without an `encoder` theirs is meant, and of its settings theirs.
        """
        own = () if self.own is None else tuple(setting.name for setting in self.own.settings)
        if encoder is None and self.own is not None:
            encoder = self.own.settings[0].encoder
        if encoder in (None, "offline"):
            encoder = self.trained.encoder
        short = str(encoder).rstrip("/").split("/")[-1].lower()
        found = [s for s in self.settings if s.encoder.lower() == short]
        return min(
            found,
            key=lambda s: (s.name not in own, size_distance(s, n_examples), s.adaptation != "finetune"),
            default=None,
        )


def size_distance(setting: Setting, n_examples: int | None) -> float:
    """Return |ln(setting's target examples / n_examples)|; 0 if one of them is not known."""
    of_setting = setting.examples[1]
    if not of_setting or not n_examples:
        return 0.0
    return abs(float(np.log(of_setting / n_examples)))


def tables_of(name: str) -> tuple[str, ...]:
    """Return the names of the shipped tables of a library."""
    return ATLAS_TABLES if name == ATLAS else (find_shipped(name).name,)


def open_library(name: str = DEFAULT_LIBRARY, *, method: str = "intermediate") -> Library:
    """Read shipped tables with the profiles and vectors of their tasks.

    Parameters
    ----------
    name : str
        ``atlas`` for all tables that have these, or the name of one table.
    method : str
        ``intermediate`` or ``multitask``; tables without outcomes of it are left out.

    Raises
    ------
    InputError
        No such table, one without profiles or vectors, or none with outcomes of that method.
    """
    measured: dict[str, list[tuple[Setting, OutcomeTable]]] = {}
    profiles: dict[str, TaskProfile] = {}
    vectors: dict[str, Vectors] = {}
    embedding: dict[str, Any] = {}
    used: list[Shipped] = []
    reasons: list[str] = []
    for table in tables_of(name):
        try:
            shipped = find_shipped(table)
            found = list(_measured(shipped, method))
        except InputError as error:
            if name != ATLAS:
                raise
            reasons.append(str(error))
            continue
        used.append(shipped)
        for setting, outcomes in found:
            measured.setdefault(setting.name, []).append((setting, outcomes))
        names = sorted({n for _, of in found for role in ("source", "target") for n in of.pairs[role]})
        more, embedding_here = _task_vectors(shipped, names)
        embedding = embedding or embedding_here
        for task in names:
            if task not in profiles:
                profiles[task] = load_profile(shipped.profiles[task])
                facts = facts_of(task)
                words = {} if facts is None else description_vector(facts.description)
                vectors[task] = {**more[task], **words}
    if not used:
        raise InputError(
            f"no table has enough outcomes of method '{method}' to learn from: {'; '.join(reasons)}"
        )
    plan: dict[str, Any] = {}
    if (file := used[0].folder / "plan.toml").is_file():
        plan = tomllib.loads(file.read_text(encoding="utf-8"))
    settings, parts = zip(*map(_pooled, measured.values()), strict=True)
    pairs = pd.concat(parts, ignore_index=True)
    return Library(
        name=name,
        method=method,
        settings=settings,
        pairs=pairs,
        profiles=profiles,
        vectors=vectors,
        digest=digest(pairs.to_csv(index=False)),
        profile_examples=used[0].profile_examples,
        embedding=embedding,
        training=plan.get("training", {}),
        encoder=str(plan.get("encoder", "offline")),
        scores=_source_scores(profiles),
    )


def shipped_library(name: str = DEFAULT_LIBRARY, *, method: str = "intermediate") -> Library:
    """Return what `open_library` does; a process that answers several times reads the files once."""
    return _read_library(name, method, data_folder())


@functools.lru_cache(maxsize=2)
def _read_library(name: str, method: str, _folder: Path) -> Library:
    return open_library(name, method=method)


def _source_scores(tasks: Collection[str]) -> pd.DataFrame | None:
    """Return the scores, of the source encoders that ship, of pairs of known tasks; None if there are none."""
    file = data_folder() / ATLAS / SCORES_FILE
    if not file.is_file():
        return None
    scores = pd.read_csv(file, index_col=["target", "source"])
    known = [scores.index.get_level_values(role).isin(list(tasks)) for role in ("target", "source")]
    scores = scores[np.logical_and(*known)]
    return None if scores.empty else scores


def methods_of(name: str) -> tuple[str, ...]:
    """Return the methods that a library has enough outcomes of."""
    found = []
    for method in LIBRARY_METHODS:
        with contextlib.suppress(InputError):
            open_library(name, method=method)
            found.append(method)
    return tuple(found)


def _measured(shipped: Shipped, method: str) -> Iterator[tuple[Setting, OutcomeTable]]:
    """Yield each setting of a table with its outcomes."""
    frame = one_regime(_outcomes(shipped), method=method, name=shipped.name)
    regime = str(frame["regime"].iloc[0]) if "regime" in frame else "full-full"
    default = {"encoder": shipped.facts.get("encoder", ""), "adaptation": "finetune"}
    keys = [c for c in ("encoder", "adaptation") if c in frame]
    groups = frame.groupby(keys, sort=True) if keys else [((), frame)]
    for values, rows in groups:
        facts = default | dict(zip(keys, map(str, values), strict=True))
        table = build_table(rows.reset_index(drop=True), name=shipped.name)
        name = setting_name(facts, regime)
        yield Setting(name, shipped.name, facts["encoder"], facts["adaptation"], regime), table


def _pooled(measured: Sequence[tuple[Setting, OutcomeTable]]) -> tuple[Setting, pd.DataFrame]:
    """Return a setting of one or several tables, and its pairs as `Library` has them."""
    settings, tables = zip(*measured, strict=True)
    pairs = pooled_pairs(tables)
    runs = pairs["n_seeds"].fillna(1) if "n_seeds" in pairs else pd.Series(1, index=pairs.index)
    weight = seed_weights(pairs, pairs["target"].to_numpy())
    setting = replace(
        settings[0],
        n_outcomes=int(runs.sum()),
        more_tables=tuple(setting.table for setting in settings[1:]),
    )
    return setting, pd.DataFrame(
        {
            "setting": setting.name,
            "source": pairs["source"].astype(object),
            "target": pairs["target"].astype(object),
            "gain": pairs["gain"].astype(float),
            "weight": 1.0 if weight is None else weight,
            "runs": runs.astype(int),
            "baseline": pairs["baseline"].astype(float) if "baseline" in pairs else np.nan,
        }
    ).dropna(subset=["gain"])


def setting_name(facts: Mapping[str, str], regime: str) -> str:
    """Return the name of a setting of an encoder, an adaptation and a regime."""
    n = regime.split("-")[1]
    how = "" if facts["adaptation"] == "finetune" else f" {facts['adaptation']}"
    return (
        f"{facts['encoder']}{how}, {int(n):,} examples" if n.isdigit() else f"{facts['encoder']}{how}"
    )


def _task_vectors(shipped: Shipped, names: list[str]) -> tuple[dict[str, Vectors], dict[str, Any]]:
    vectors: dict[str, Vectors] = {}
    embedding: dict[str, Any] = {}
    for file in shipped.vectors.values():
        found, embedding = load_vectors(file)
        vectors |= found
    for task in names:
        if task not in shipped.profiles or task not in vectors:
            lacking = "vectors" if task in shipped.profiles else "profile"
            raise InputError(
                f"'{shipped.name}' has no {lacking} of its task '{task}': it cannot recommend"
            )
    return vectors, embedding


def one_regime(frame: pd.DataFrame, *, method: str, name: str) -> pd.DataFrame:
    """Return the outcomes of single sources by one method, in the most common regime."""
    if "method" in frame:
        known = sorted(frame["method"].dropna().astype(str).unique())
        if method not in known:
            raise InputError(
                f"'{name}' has no outcomes of method '{method}' to learn from (it has: {', '.join(known)})"
            )
        frame = frame[frame["method"] == method]
    if "regime" in frame:
        frame = frame[frame["regime"] == frame["regime"].mode().iloc[0]]
    several_sources = frame["source"].astype(str).map(is_set).astype(bool)
    frame = frame[~several_sources].reset_index(drop=True)
    n_targets = frame["target"].nunique()
    if n_targets < MIN_TARGETS:
        raise InputError(
            f"'{name}' has outcomes of method '{method}' for {n_targets} targets"
            f" (expected at least {MIN_TARGETS}, to hold some out)"
        )
    return frame


def _outcomes(shipped: Shipped) -> pd.DataFrame:
    """Return the outcomes of all methods and regimes."""
    files = filter(None, (shipped.outcomes, shipped.others))
    return pd.concat(map(read_table, files), ignore_index=True)
