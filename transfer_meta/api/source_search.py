"""Search for the best source of a target with few training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from transfer_meta.api.added_sources import added_address, added_addresses, described_addresses
from transfer_meta.api.train_sources import named_set, named_sources
from transfer_meta.errors import InputError, nearest, require, unknown
from transfer_meta.records import relative_gain
from transfer_meta.results import Result, plain_values, records_as_text, visible
from transfer_meta.runs.search import PRIOR_RUNS, Rung, parse_budget, search_sources
from transfer_meta.tasks.resolve import is_same_task
from transfer_meta.tasks.source_sets import SourceSet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from transfer_meta.records import Tell

MAX_RUNGS = 3
"""Lengths of runs: all epochs, a half and a quarter of them."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of `search`.

    Parameters
    ----------
    budget : str
        Full runs or a time: ``20runs``, ``2h``, ``90min``.  A run on a set of sources counts as one.
    prior : str, path or mapping
        Gains to expect: ``auto`` (those of `transfer_meta.recommend`), ``none``, the file of a table with columns
        ``source`` and ``gain``, or a mapping of source to gain (a fraction).
    regime : str
        Training examples of a source and of the target: ``1000-full``.
    epochs : int
        Epochs of a full run.
    seed : int
        Seed of everything that is drawn at random.
    encoder : str
        ``offline``, a folder, or a name on the Hugging Face Hub.
    store : str, Path or None
        Run store: a file (SQLite, made if it is not there) or ``postgresql://USER@HOST/DATABASE``.  Default:
        ``$TRANSFER_META_STORE``, else ``runs.sqlite``.
    checkpoints : str, Path or None
        Folder or URL of fsspec for checkpoints; None for a folder beside the store.
    device : str
        ``auto``, ``cpu``, or CUDA devices: ``cuda:0,cuda:1``.
    workers : int or None
        Worker processes; None for one on each device.

    Raises
    ------
    InputError
        The budget cannot be read, or a number is out of range.
    """

    budget: str = "20runs"
    prior: str | Path | Mapping[str, float] = "auto"
    regime: str = "1000-full"
    epochs: int = 4
    seed: int = 0
    encoder: str = "offline"
    store: str | Path | None = field(default=None, repr=False)  # may hold a password
    checkpoints: str | Path | None = None
    device: str = "auto"
    workers: int | None = None

    def __post_init__(self) -> None:
        parse_budget(self.budget)
        if self.epochs < 1:
            raise InputError(f"--epochs {self.epochs} (expected at least 1)")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} (expected at least 0)")

    @property
    def rung_epochs(self) -> list[int]:
        """Epochs of each length of runs, the shortest first."""
        return sorted({max(1, round(self.epochs / 2**k)) for k in range(MAX_RUNGS)})


@dataclass(frozen=True, kw_only=True)
class SearchedSource:
    """A source and what the search found out about it.

    Parameters
    ----------
    source : str
        Name of the task, or of the set: ``one>two``, ``one+two``.
    state : str
        ``finished`` (has a full run), ``short`` (only shorter ones), ``failed``, or ``not tried``.
    prior, expected_gain : float
        Gains (fractions) expected before and after the search.
    gains : mapping of str to float
        Gains on the dev split by length of the run; NaN for a failed one.
    test_score : float or None
        Score of the full run on the test split, on 0-1.
    test_gain : float or None
        Its relative gain over training on the target alone, a fraction.
    """

    source: str
    state: str
    prior: float
    expected_gain: float
    gains: Mapping[str, float]
    test_score: float | None = None
    test_gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchResult(Result):
    """Sources of a target, the best first.

    Parameters
    ----------
    target : str
        Name of the task.
    sources : tuple of SearchedSource
        By expected gain; failed ones last.  Empty if training on the target alone was not finished.
    rungs : tuple of str
        Names of the lengths of runs, the shortest first.
    budget : str
        As it was given.
    spent_runs : float
        Full runs spent; training on the target alone is not counted.
    test_score_alone : float or None
        Test score of the target alone, on 0-1.
    notes : tuple of str
        How the tasks were read.
    signal : int or None
        Number of the signal that stopped the search.
    """

    target: str
    sources: tuple[SearchedSource, ...]
    rungs: tuple[str, ...]
    budget: str
    spent_runs: float = 0.0
    test_score_alone: float | None = None
    notes: tuple[str, ...] = ()
    signal: int | None = None

    @property
    def best(self) -> str | None:
        """The source with the highest expected gain; None if none was compared."""
        return self.sources[0].source if self.sources else None

    @property
    def helps(self) -> bool:
        """Whether the best source is expected to help."""
        return bool(self.sources) and self.sources[0].expected_gain > 0

    @property
    def verdict(self) -> str:
        """The answer as a phrase."""
        if not self.sources:
            return (
                "stopped before training on the target alone was done; to continue, repeat the command"
            )
        if not any(source.gains for source in self.sources):
            return "no source was run; to continue, repeat the command"
        if not self.helps:
            return "no source is expected to help"
        on_test = self.sources[0].test_gain
        if on_test is not None and on_test <= 0:
            return f"{self.best} did best on the dev split, but on the test split it gains nothing"
        return f"{self.best} is the best source"

    @property
    def exit_code(self) -> int:
        """Exit code of the command: 128 + the signal if one stopped the search, else 0."""
        return 0 if self.signal is None else 128 + self.signal

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each source, a column for the gains of each length of runs."""
        import pandas as pd

        columns = [
            *("rank", "source", "prior"), *self.rungs, *("expected_gain", "test_gain", "test_score", "state"),
        ]  # fmt: skip
        rows = [
            {"rank": place, **vars(s), **dict.fromkeys(self.rungs, math.nan), **s.gains}
            for place, s in enumerate(self.sources, start=1)
        ]
        return pd.DataFrame(rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer, its cost and every source."""
        records = [
            {
                "rank": place,
                "source": s.source,
                "state": s.state,
                "prior": s.prior,
                "expected_gain": s.expected_gain,
                "gains": s.gains,
                "test_score": s.test_score,
                "test_gain": s.test_gain,
            }
            for place, s in enumerate(self.sources, start=1)
        ]
        return plain_values(
            {
                "target": self.target,
                "notes": list(self.notes),
                "best": self.best,
                "helps": self.helps,
                "budget": self.budget,
                "spent_runs": self.spent_runs,
                "test_score_alone": self.test_score_alone,
                "sources": records,
            }
        )

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the gains of the sources that were run, by the length of the runs."""
        from transfer_meta.figures.axes import new_axes
        from transfer_meta.figures.run_charts import draw_rungs

        axes = new_axes(axes)
        gains = {s.source: [s.gains[r] for r in self.rungs if r in s.gains] for s in self.sources}
        draw_rungs(axes, {source: found for source, found in gains.items() if found}, self.rungs)
        axes.set_title(f"target {self.target}".replace("$", r"\$"), fontsize=10)
        return axes

    def __str__(self) -> str:
        if not self.sources:
            return visible(self.caption)
        rows = [
            {"": place, "source": s.source, "prior": s.prior}
            | {name: s.gains.get(name) for name in self.rungs}
            | {"expected gain": s.expected_gain, "test gain": s.test_gain, "state": s.state}
            for place, s in enumerate(self.sources, start=1)
        ]
        return f"{visible(self.caption)}\n\n{records_as_text(rows)}"

    @property
    def caption(self) -> str:
        """The verdict and what it cost."""
        return f"{self.target}: {self.verdict}; {self.spent_runs:g} runs spent ({self.budget})"


def search(
    target: str | Path,
    sources: Sequence[str | Path] = (),
    settings: SearchSettings | None = None,
    *,
    tell: Tell = lambda _: None,
) -> SearchResult:
    """Find the best source for a target with few training runs.

    The most promising sources get short runs, the best of them longer ones; a run counts by its share of the
    epochs.  Runs in the store are not repeated: to continue after Ctrl-C, call it again.

    Parameters
    ----------
    target : str or path
        The task to be helped: a file, a card, ``hf:DATASET``, or the name of one of the sources.
    sources : sequence of str or path
        Tasks that may help: files, task cards, folders, ``hf:DATASET``, names of sources that were added; sets of
        them, ``one>two`` (one after the other) or ``one+two`` (together with the target), whose tasks may also be
        named as those of `TrainSettings.source`.  None: all sources that were added and whose data can be read.
    settings : SearchSettings, optional
    tell : callable
        Called with one line for each note on the tasks, and for each run that ended.

    Raises
    ------
    InputError
        A task cannot be used, there is no source beside the target, or the run of the target alone failed.
    """
    settings = settings or SearchSettings()
    require("sqlalchemy", "torch")
    given = [str(source) for source in sources] or _added(tell)
    sets = [source for source in given if len(named_set(source).members) > 1]
    tasks, name = find_target(str(target), [source for source in given if source not in sets])
    tasks = {n: a for n, a in tasks.items() if n == name or not is_same_task(a, tasks[name])}
    candidates = {source: SourceSet((source,)) for source in tasks if source != name}
    for source in sets:
        found_set = named_sources([source], tasks, name)
        joined = SourceSet(found_set.names, ordered=bool(found_set.ordered))
        earlier = next((c for c in candidates if joined.is_same(candidates[c])), None)
        if earlier not in (None, str(joined)):
            tell(f"{joined} is {earlier}: a mixture has no order")
            continue
        candidates[str(joined)] = joined
    if not candidates:
        raise InputError(f"no sources beside the target '{name}' (expected at least one other task)")
    expected = _expected_gains(settings, tasks, name, candidates, tell)
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
    from transfer_meta.runs.local_engine import LocalEngine
    from transfer_meta.runs.open_plan import store_address
    from transfer_meta.runs.rung_runner import RungRunner, plan_of_search
    from transfer_meta.runs.store.run_store import Store

    slots = find_devices(settings.device, workers=settings.workers)
    plan = plan_of_search(
        target=name,
        tasks=tasks,
        sources=candidates.values(),
        regime=settings.regime,
        epochs=settings.epochs,
        seed=settings.seed,
        encoder=settings.encoder,
    )
    for note in plan.notes:
        tell(note)
    lengths, epochs = settings.rung_epochs, settings.epochs
    rungs = [Rung(n / epochs, n / epochs, f"{n} epoch{'s' * (n > 1)}") for n in lengths]
    budget = parse_budget(settings.budget)
    store = Store(store_address(settings.store), create=True)
    checkpoints = open_checkpoints(settings.checkpoints or store.checkpoint_folder)
    engine = LocalEngine(slots, plan.task_sources, cache=checkpoints.tokens)
    runner = RungRunner(plan, lengths, store, checkpoints, engine, seconds=budget.seconds, tell=tell)
    searched: list[SearchedSource] = []
    spent, alone = 0.0, None
    try:
        if runner.alone():
            found = search_sources(
                dict.fromkeys(candidates, 0.0) if expected is None else expected,
                runner,
                rungs=rungs,
                budget_runs=budget.runs,
                prior_runs=0.0 if expected is None else PRIOR_RUNS,
            )
            spent = found.spent
            for c in found.candidates:
                score, alone = runner.test_scores(c.source)
                searched.append(
                    SearchedSource(
                        source=c.source,
                        state=c.state,
                        prior=c.prior,
                        expected_gain=c.expected,
                        gains=dict(zip([rung.name for rung in rungs], c.gains, strict=False)),
                        test_score=score,
                        test_gain=None
                        if score is None or alone is None
                        else relative_gain(score, alone),
                    )
                )
    finally:
        runner.close()
        store.close()
    return SearchResult(
        target=name,
        sources=tuple(searched),
        rungs=tuple(rung.name for rung in rungs),
        budget=settings.budget,
        spent_runs=spent,
        test_score_alone=alone,
        notes=tuple(plan.notes),
        signal=runner.signal,
    )


def _added(tell: Tell) -> list[str]:
    """Return the names of the sources that were added and whose data can be read; the others are told."""
    found = []
    for name in added_addresses():
        try:
            added_address(name)
        except InputError as error:
            tell(str(error))
        else:
            found.append(name)
    if not found:
        raise InputError(
            "no sources (expected files, hf:DATASET, or some that were added by `transfer-meta sources add`)"
        )
    return found


def find_target(target: str, sources: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return the addresses of all tasks by name, and the name of the target; a name may be of an added source."""
    from transfer_meta.tasks.hub import is_hub_address
    from transfer_meta.tasks.read import read_task
    from transfer_meta.tasks.resolve import find_tasks
    from transfer_meta.tasks.settings import ReadSettings

    tasks: dict[str, str] = {}

    def add(found: list[str]) -> list[str]:
        names = [read_task(address, ReadSettings()).name for address in found]
        for name, address in zip(names, found, strict=True):
            absolute = address if is_hub_address(address) else str(Path(address).absolute())
            if tasks.setdefault(name, absolute) != absolute:
                raise InputError(f"two tasks are named '{name}': {tasks[name]} and {absolute}")
        return names

    files = []
    for source in sources:
        try:
            files += find_tasks([source])
        except InputError:
            address = added_address(source)
            if address is None:
                raise
            tasks[source] = address
    add(find_tasks(files))
    if target in tasks:
        return tasks, target
    try:
        found = find_tasks([target])
    except InputError:
        address = added_address(target)
        if address is not None:
            return tasks | {target: address}, target
        if not tasks or is_hub_address(target) or Path(target).suffix or len(Path(target).parts) > 1:
            raise
        raise unknown("task", target, tasks) from None
    if len(found) != 1:
        raise InputError(f"TARGET: expected one task, got {len(found)} in '{target}'")
    return tasks, add(found)[0]


def _expected_gains(
    settings: SearchSettings,
    tasks: Mapping[str, str],
    target: str,
    candidates: Mapping[str, SourceSet],
    tell: Tell,
) -> dict[str, float] | None:
    """Return the expected gain of each candidate, or None if nothing is expected; a set has its members' mean."""
    prior = settings.prior
    names = [name for name in tasks if name != target]
    if prior == "none":
        return None
    searched = list(dict.fromkeys([*names, *candidates]))
    if isinstance(prior, Mapping):
        found = _checked_gains(prior, searched, place="prior", column="gain")
    elif prior == "auto":
        from transfer_meta.recommender.recommend import RecommendSettings, recommend

        added = described_addresses()
        try:
            recommendation = recommend(
                tasks[target],
                # What was added is known by its name, without its data.
                sources=[n if added.get(n) == tasks[n] else tasks[n] for n in names],
                settings=RecommendSettings(top=len(names), encoder=settings.encoder, checkpoints=0),
                tell=tell,
            )
        except InputError as error:
            tell(f"no prior, sources in the order given: {error}")
            return None
        found = {s.source: s.expected_gain for s in recommendation.sources}
    else:
        found = _read_gains(Path(prior), searched)
    parts = {name: (name,) if name in found else c.members for name, c in candidates.items()}
    missing = [name for name in names if name not in found and any(name in p for p in parts.values())]
    if missing:
        tell(f"no expected gain for {', '.join(missing)}: the mean of the others is used")
    mean = fmean(found.values()) if found else 0.0
    return {name: fmean(found.get(part, mean) for part in of) for name, of in parts.items()}


def _read_gains(path: Path, names: Sequence[str]) -> dict[str, float]:
    """Read the columns ``source`` and ``gain`` (or ``expected_gain``) of a table."""
    from transfer_meta.readers.whole_table import read_table

    frame = read_table(path)
    column = next((c for c in ("expected_gain", "gain") if c in frame), None)
    if column is None or "source" not in frame:
        raise InputError(
            f"--prior {path}: expected columns source and gain, got {', '.join(map(str, frame.columns))}"
        )
    gains = dict(zip(frame["source"].astype(str), frame[column], strict=True))
    return _checked_gains(gains, names, place=f"--prior {path}", column=column)


def _checked_gains(
    gains: Mapping[str, Any], names: Sequence[str], *, place: str, column: str
) -> dict[str, float]:
    """Return gains as numbers; an InputError for a source that is not searched, or a gain that is no number."""
    found: dict[str, float] = {}
    for source, gain in gains.items():
        if source not in names:
            raise InputError(f"{place}: source '{source}' is not searched{nearest(source, names)}")
        try:
            found[source] = float(gain)
        except (TypeError, ValueError):
            found[source] = math.nan
        if not math.isfinite(found[source]):
            raise InputError(f"{place}: {column} of '{source}' is {gain!r} (expected a number)")
    return found
