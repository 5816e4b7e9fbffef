"""The user's own outcomes beside those of a library: their settings, tasks and pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_meta._version import __version__
from transfer_meta.errors import InputError, first_line, list_names
from transfer_meta.evaluation.pair_values import seed_weights
from transfer_meta.features.profile_cache import cache_folder
from transfer_meta.features.profile_files import load_profile, save_profile
from transfer_meta.features.vectors.similarities import Vectors
from transfer_meta.features.vectors.vector_files import load_vectors, save_vectors
from transfer_meta.files import digest
from transfer_meta.outcomes.tables import OutcomeTable, build_table, load_outcomes
from transfer_meta.readers.whole_table import read_table
from transfer_meta.recommender.candidates import known_as
from transfer_meta.recommender.catalogue_facts import (
    DESCRIPTION_KIND,
    catalogue_profile,
    catalogue_vectors,
    description_vector,
    facts_of,
)
from transfer_meta.recommender.describe_target import TargetDescription, describe_target
from transfer_meta.recommender.library import ATLAS, Library, OwnOutcomes, Setting, setting_name
from transfer_meta.records import TaskProfile, Tell
from transfer_meta.tasks import Task
from transfer_meta.tasks.read import read_task
from transfer_meta.tasks.resolve import find_tasks

UNKNOWN_REGIME = "full-full"
"""Of a table without the column ``regime``."""


@dataclass(frozen=True)
class _Tasks:
    """Tasks of own tables.

    Parameters
    ----------
    names : dict of str to str
        Names in the extended library by those in the tables; tasks that are not known have none.
    profiles, vectors : dict
        Of tasks that the library lacks, by their names in it.
    own : dict of str to Task
        Tasks of the user that the library lacks, by their names in it.
    """

    names: dict[str, str]
    profiles: dict[str, TaskProfile]
    vectors: dict[str, Vectors]
    own: dict[str, Task]


def add_outcomes(
    library: Library,
    tables: Sequence[str | Path | pd.DataFrame | OutcomeTable],
    folder: str | Path | None = None,
    *,
    mode: str,
    encoder: str | None = None,
    tell: Tell = lambda _: None,
) -> tuple[Library, dict[str, Task]]:
    """Return a library with the outcomes of the user's own tables, and those of their tasks that it lacked.

    Rows of an encoder, adaptation and regime that the library has become part of that setting, others one of their
    own.  Tasks are found in a folder by their names; one that is a task of the library, by its content, counts as
    that task.  Without a file a task is that of the library or the catalogue of the same name.  All other rows are
    left out, and counted.

    Parameters
    ----------
    library : Library
    tables : sequence of str, Path, DataFrame or OutcomeTable
        As `load_outcomes` takes them; a column ``setting`` may tell settings apart.
    folder : str or Path, optional
        Files and cards of the tasks.
    mode : str
        ``text``, or another of `inputs.MODES` to embed the tasks too.
    encoder : str, optional
        Of tables without a column ``encoder`` or ``model``; by default the library's.
    tell : callable
        Called with a line per step, and per kind of rows left out.

    Raises
    ------
    InputError
        A table that cannot be read or has no gains, no folder of that name, or no outcome of known tasks.
    """
    parts: list[tuple[str, Setting, pd.DataFrame]] = []
    taken = {setting.name for setting in library.settings}
    for given in tables:
        table = _read(given)
        for note in () if table is given else table.notes:
            tell(f"{table.name}: {note}")
        for setting, pairs in _settings_of(table, library, encoder, taken, tell):
            taken.add(setting.name)
            parts.append((table.name, setting, pairs))
    names = sorted(
        {str(n) for *_, pairs in parts for role in ("source", "target") for n in pairs[role]}
    )
    files = {} if folder is None else _read_folder(Path(folder), tell)
    tasks = _resolve(names, files, library, "text" if mode == "text" else "encoder", tell)
    used: list[tuple[str, Setting, pd.DataFrame]] = []
    for name, setting, pairs in parts:
        kept = _known_pairs(name, pairs, tasks.names, folder, tell)
        if len(kept):
            n_runs = int(kept["runs"].sum())
            used.append((name, replace(setting, n_outcomes=n_runs), kept.assign(setting=setting.name)))
    if not used:
        where = (
            "name the folder of their files with --tasks-folder"
            if folder is None
            else f"in '{folder}': {list_names(files) or 'none'}"
        )
        raise InputError(
            f"no outcome is of two known tasks (of the tables: {list_names(names) or 'none'}; {where})"
        )
    own = OwnOutcomes(
        tables=tuple(dict.fromkeys(name for name, *_ in used)),
        tasks=tuple(sorted(tasks.own)),
        pairs=_merged(pd.concat([pairs for *_, pairs in used], ignore_index=True)),
        settings=tuple({setting.name: setting for _, setting, _ in used}.values()),
    )
    present = {*own.pairs["source"], *own.pairs["target"]}
    extended = extend_library(
        library,
        own,
        {name: found for name, found in tasks.profiles.items() if name in present},
        {name: found for name, found in tasks.vectors.items() if name in present},
    )
    return extended, {name: task for name, task in tasks.own.items() if name in present}


def extend_library(
    library: Library,
    own: OwnOutcomes,
    profiles: Mapping[str, TaskProfile],
    vectors: Mapping[str, Vectors],
) -> Library:
    """Return a library with own outcomes, and with the profiles and vectors of tasks that it lacks."""
    shipped = {setting.name: setting for setting in library.settings}
    for setting in own.settings:
        before = shipped.get(setting.name)
        more = 0 if before is None else before.n_outcomes
        shipped[setting.name] = replace(before or setting, n_outcomes=more + setting.n_outcomes)
    return replace(
        library,
        settings=tuple(shipped.values()),
        pairs=_merged(pd.concat([library.pairs, own.pairs], ignore_index=True)),
        profiles={**library.profiles, **profiles},
        vectors={**library.vectors, **vectors},
        digest=digest(
            library.digest, own.pairs.to_csv(index=False), *(p.digest for p in profiles.values())
        ),
        own=own,
    )


def _merged(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting and pair: means weighted by the number of runs."""
    key = ["setting", "source", "target"]
    if not pairs.duplicated(key).any():
        return pairs
    columns = ["gain", "weight", "baseline"]
    runs = pairs["runs"].to_numpy(dtype=float)[:, None]
    # A baseline that is not known has no weight.
    weights = pairs[columns].notna() * runs
    ids = [pairs[name] for name in key]
    total = (pairs[columns].fillna(0.0) * weights).groupby(ids, sort=False).sum()
    count = weights.groupby(ids, sort=False).sum()
    means = total / count.where(count > 0)
    means["runs"] = pairs["runs"].groupby(ids, sort=False).sum()
    return means.reset_index()[list(pairs.columns)].astype(dict.fromkeys(key, object))


def _read(given: str | Path | pd.DataFrame | OutcomeTable) -> OutcomeTable:
    if isinstance(given, OutcomeTable):
        return given
    columns: dict[str, str] = {}
    if isinstance(given, pd.DataFrame):
        names = {str(c) for c in given}
    else:
        path = Path(given)
        names = {str(c) for c in read_table(path)} if path.is_file() else set()
        if not names and not path.exists():
            raise InputError(f"no such file of outcomes: '{path}'")
    # `settings` is the name of the column that tells settings apart; `setting` is that of a table's own result.
    if "setting" in names and "settings" not in names:
        columns["settings"] = "setting"
    return load_outcomes(given, columns=columns)


def _settings_of(
    table: OutcomeTable, library: Library, encoder: str | None, taken: set[str], tell: Tell
) -> Iterator[tuple[Setting, pd.DataFrame]]:
    """Yield the settings of a table with their pairs, the largest first."""
    if not table.has_gain:
        raise InputError(
            f"{table.name}: no gains (expected numbers in a column 'gain', or in 'baseline' beside 'score')"
        )
    runs = table.runs
    if "method" in runs:
        of_method = runs["method"] == library.method
        if not of_method.all():
            tell(
                f"{table.name}: {int((~of_method).sum())} of {len(runs)} outcomes left out: of another method than"
                f" '{library.method}' ({list_names(sorted(set(runs['method'][~of_method])))})"
            )
        runs = runs[of_method]
    named = next((c for c in ("encoder", "model") if c in runs), None)
    if named is None:
        tell(
            f"{table.name}: no column 'encoder': taken for outcomes of"
            f" {_short(encoder or library.trained.encoder, library)}"
        )
    used: set[str] = set()
    groups = sorted(runs.groupby("setting", sort=True), key=lambda group: -len(group[1]))
    for _, rows in groups:
        first = rows.iloc[0]
        facts = {
            "encoder": _short(str(first[named]) if named else encoder or "offline", library),
            "adaptation": str(first["adaptation"]) if "adaptation" in rows else "finetune",
        }
        regime = str(first["regime"]) if "regime" in rows else ""
        match = _same_setting(library, facts, regime)
        if match is not None and match.name not in used:
            used.add(match.name)
            setting = match
        else:
            regime = regime if "-" in regime else UNKNOWN_REGIME
            name = base = f"{setting_name(facts, regime)}, own outcomes"
            number = 1
            while name in taken | used:
                number += 1
                name = f"{base} {number}"
            used.add(name)
            setting = Setting(name, table.name, facts["encoder"], facts["adaptation"], regime)
        yield setting, _pairs(rows, table.name)


def _same_setting(library: Library, facts: Mapping[str, str], regime: str) -> Setting | None:
    """Return the library's setting of an encoder, an adaptation and, if it is known, a regime."""
    for found in library.settings:
        is_same = found.encoder.lower() == facts["encoder"].lower()
        if is_same and found.adaptation == facts["adaptation"] and regime in ("", found.regime):
            return found
    return None


def _short(encoder: str, library: Library) -> str:
    """Return an encoder's name as settings have it: without its owner, spaces or commas."""
    if encoder in ("offline", ""):
        return library.trained.encoder
    return "-".join(encoder.rstrip("/").split("/")[-1].replace(",", " ").split())


def _pairs(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the pairs of one setting with the columns of `Library.pairs`."""
    wanted = ("source", "target", "seed", "gain", "baseline", "gain_std", "n_seeds")
    columns = [c for c in wanted if c in rows]
    pairs = build_table(rows[columns].reset_index(drop=True), name=name, trusted=True).pairs
    weight = seed_weights(pairs, pairs["target"].to_numpy())
    return pd.DataFrame(
        {
            "setting": "",
            "source": pairs["source"].astype(object),
            "target": pairs["target"].astype(object),
            "gain": pairs["gain"].astype(float),
            "weight": 1.0 if weight is None else weight,
            "runs": pairs["n_seeds"].fillna(1).astype(int),
            "baseline": pairs["baseline"].astype(float) if "baseline" in pairs else np.nan,
        }
    ).dropna(subset=["gain"])


def _known_pairs(
    table: str, pairs: pd.DataFrame, names: Mapping[str, str], folder: str | Path | None, tell: Tell
) -> pd.DataFrame:
    """Return the pairs of known tasks under their names in the library; the others are counted."""
    renamed = pairs.assign(source=pairs["source"].map(names), target=pairs["target"].map(names))
    unknown = renamed[["source", "target"]].isna().any(axis=1)
    if unknown.any():
        of_unknown = pairs.loc[unknown, ["source", "target"]].to_numpy().ravel()
        lacking = sorted({str(name) for name in of_unknown} - names.keys())
        where = "" if folder is None else f" in '{folder}'"
        tell(
            f"{table}: {int(pairs.loc[unknown, 'runs'].sum())} of {int(pairs['runs'].sum())} outcomes left out: no"
            f" file{where} and no known task of the names {list_names(lacking)}"
        )
    return renamed[~unknown].reset_index(drop=True)


def _read_folder(folder: Path, tell: Tell) -> dict[str, Task]:
    """Return the tasks of a folder by name; what cannot be read is told."""
    if not folder.is_dir():
        raise InputError(f"no such folder of tasks: '{folder}'")
    found: dict[str, Task] = {}
    for address in find_tasks([str(folder)]):
        try:
            task = read_task(address)
        except InputError as error:
            tell(f"not read: {first_line(error)}")
            continue
        if task.name in found:
            raise InputError(
                f"two tasks in '{folder}' are named '{task.name}'; name one of them in a card"
            )
        found[task.name] = task
    return found


def _resolve(
    names: Sequence[str], files: Mapping[str, Task], library: Library, mode: str, tell: Tell
) -> _Tasks:
    """Find the tasks of own tables by their names."""
    found = _Tasks({}, {}, {}, {})
    folded = {name.casefold(): task for name, task in files.items()}
    of_table = {name: files.get(name, folded.get(name.casefold())) for name in names}
    with_file = {name: task for name, task in of_table.items() if task is not None}
    by_name: list[str] = []
    # Names of known tasks first: of two files of one task, the one of its name is the task.
    order = sorted(names, key=lambda name: (name not in with_file, name not in library.profiles, name))
    for name in order:
        task = with_file.get(name)
        if task is None:
            known = _known_name(name, library)
            if known is None or known in found.names.values():
                continue
            found.names[name] = known
            by_name.append(name)
            if known not in library.profiles and (facts := facts_of(known)) is not None:
                found.profiles[known] = catalogue_profile(facts)
                found.vectors[known] = _as_stored(catalogue_vectors().get(known, {}))
            continue
        try:
            described = _describe(task, library, mode, tell)
        except InputError as error:
            tell(f"{name} is left out: {first_line(error)}")
            continue
        known = known_as(described, library)
        if known is not None and known not in found.names.values():
            found.names[name] = known
            if known != name:
                tell(f"{name} is the known task {known}")
            continue
        label = name if name not in library.profiles else f"{name} (own)"
        found.names[name] = label
        found.profiles[label] = replace(described.profile, name=label)
        found.vectors[label] = _as_stored(described.vectors)
        found.own[label] = task
    if by_name:
        tell(f"without a file, taken for the known tasks of their names: {list_names(by_name)}")
    return found


def _as_stored(vectors: Vectors) -> Vectors:
    """Return vectors as files have them, so that answers are the same before and after they are stored."""
    return {name: np.asarray(v, dtype=np.float32).astype(np.float64) for name, v in vectors.items()}


def _known_name(name: str, library: Library) -> str | None:
    """Return the name in the library or the catalogue of a task of which there is no file."""
    if name in library.profiles:
        return name
    facts = facts_of(name) if library.name == ATLAS else None
    if facts is None:
        return None
    return next((known for known in facts.names if known in library.profiles), facts.name)


def _describe(task: Task, library: Library, mode: str, tell: Tell) -> TargetDescription:
    """Return the description of a task, from the cache or written to it."""
    made_with = json.dumps([library.embedding, library.profile_examples], sort_keys=True, default=str)
    key = digest(__version__, mode, made_with, str(task.type), task.digest)
    folder = cache_folder() / "own_tasks" / key[:2]
    profile_file, vectors_file = folder / f"{key}.json", folder / f"{key}.npz"
    words = description_vector(task.description)
    if profile_file.is_file() and vectors_file.is_file():
        try:
            profile = replace(load_profile(profile_file), name=task.name)
            vectors = load_vectors(vectors_file)[0].get("task", {})
            return TargetDescription(profile, {**vectors, **words}, mode, 0, None, (), task.description)
        except InputError as error:
            tell(f"computed anew: {first_line(error)}")
    tell(f"describing {task.name}")
    described = describe_target(task, library, mode, tell=tell)
    kept = {name: v for name, v in described.vectors.items() if name != DESCRIPTION_KIND}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_profile(profile_file, described.profile)
        save_vectors(vectors_file, {"task": kept})
    except (InputError, OSError) as error:
        tell(f"{task.name} is not cached: {first_line(error)}")
    return described
