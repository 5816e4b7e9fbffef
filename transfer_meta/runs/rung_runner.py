"""Runs of several lengths of one target after each of its sources, executed on demand.

A shorter run has fewer epochs, on the source and on the target.  All runs belong to plans and go through the
store, so finished ones are not repeated and can be shown and exported like any others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.runs.checkpoints.checkpoint_base import Checkpoints
from transfer_meta.runs.driver import Limits, PlanDriver
from transfer_meta.runs.engine import Engine
from transfer_meta.runs.plan import EncoderFacts, Plan, compile_plan, make_plan
from transfer_meta.runs.plan_file import PlanFile, parse_regime
from transfer_meta.runs.plan_sets import SourceSets, with_stored_mixtures
from transfer_meta.runs.store.run_store import NewRun, Store
from transfer_meta.runs.store.schema import Run
from transfer_meta.runs.trials import dev_score
from transfer_meta.tasks.source_sets import SourceSet, parse_sources
from transfer_meta.training.stage import Stage
from transfer_meta.training.training_settings import TrainingSettings

MINILM_GRID_TRAINING = TrainingSettings(
    batch_size=16, learning_rate=2e-4, max_length=128, evaluations=1
)
"""Training settings of the shipped grid; the number of epochs is the user's."""


def plan_of_search(
    *,
    target: str,
    tasks: Mapping[str, str],
    sources: Iterable[SourceSet] | None = None,
    regime: str,
    epochs: int,
    seed: int = 0,
    encoder: str = "offline",
    encoder_facts: Callable[[str], EncoderFacts] | None = None,
) -> Plan:
    """Make the plan of full runs: the target alone, and with each source or set of sources.

    Parameters
    ----------
    target : str
        One of the names in `tasks`.
    tasks : mapping of str to str
        Address of every task, by name.
    sources : iterable of SourceSet, optional
        Names in `tasks`; by default each task but the target.
    regime : str
        Training examples of a source and of the target: ``1000-full``; a task with fewer examples gives all.
    epochs, seed, encoder
        Settings of every run.
    encoder_facts : callable or None
        See `transfer_meta.runs.plan.make_plan`.

    Raises
    ------
    InputError
        With all problems, one a line.
    """
    if sources is None:
        sources = [SourceSet((name,)) for name in tasks if name != target]
    sources = list(sources)
    # A set may be among them as a chain and as a mixture; runs that nobody asks for are never executed.
    groups = dict.fromkeys(source.members for source in sources)
    file = PlanFile(
        path=Path("search"),
        tasks=tasks,
        sources=tuple(group for group in groups if len(group) == 1),
        sets=SourceSets(named=tuple(group for group in groups if len(group) > 1)),
        targets=(target,),
        methods=tuple(dict.fromkeys(map(_method, sources))) or ("intermediate",),
        regimes=(parse_regime(regime),),
        seeds=(seed,),
        encoder=encoder,
        training=replace(MINILM_GRID_TRAINING, epochs=epochs),
        allow_fewer=True,
    )
    return make_plan(file, encoder_facts=encoder_facts)


def _method(source: SourceSet) -> str:
    """Return the method that uses a source or a set of sources."""
    if len(source.members) == 1:
        return "intermediate"
    return "chain" if source.ordered else "multitask"


def shortened(plan: Plan, epochs: int) -> Plan:
    """Return the same plan with another number of epochs."""
    file = replace(plan.file, training=replace(plan.file.training, epochs=epochs))
    return compile_plan(file, plan.tasks, plan.encoder)


class RungRunner:
    """Evaluate sources on rungs for `transfer_meta.runs.search.search_sources`.

    The gain on a rung is (dev score after the source - dev score of the target alone, both with that rung's
    epochs) / dev score of the target alone with all epochs; test scores are used if there is no dev split.

    Parameters
    ----------
    plan : Plan
        Full runs, see `plan_of_search`.
    epochs : sequence of int
        Epochs of each rung; the last is that of the full runs.
    store, checkpoints, engine
        Arguments of `transfer_meta.runs.driver.PlanDriver`.  `close` closes the engine.
    seconds : float
        Time limit, from now.
    tell : callable
        Called with one line for every run that ended.
    """

    def __init__(
        self,
        plan: Plan,
        epochs: Sequence[int],
        store: Store,
        checkpoints: Checkpoints,
        engine: Engine,
        *,
        seconds: float = math.inf,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.signal: int | None = None
        self.target = plan.file.targets[0]
        self._plans = [with_stored_mixtures(shortened(plan, n), store) for n in epochs]
        self._store, self._checkpoints, self._engine = store, checkpoints, engine
        self._tell = tell
        self._until = time.monotonic() + seconds

    def alone(self) -> bool:
        """Run the target alone on every rung; return False if the time ended before.

        Raises
        ------
        InputError
            One of these runs failed, or the full one scores 0, so that relative gains are undefined.
        """
        runs = self._execute([("", rung) for rung in range(len(self._plans))])
        for run in runs:
            if run.status in ("failed", "skipped"):
                raise InputError(f"the run of '{self.target}' alone failed: {run.reason}")
        if any(run.status != "done" for run in runs):
            return False
        self._alone = [dev_score(self._store, run) for run in runs]
        if self._alone[-1] == 0:
            raise InputError(f"'{self.target}' alone scores 0: there is no relative gain to look for")
        return True

    def __call__(self, batch: Sequence[tuple[str, int]]) -> list[float | None]:
        """Return the gains of (source, rung) pairs: NaN if a run failed, None if the time ended before."""
        found: list[float | None] = []
        for run, (_, rung) in zip(self._execute(batch), batch, strict=True):
            if run.status == "done":
                found.append((dev_score(self._store, run) - self._alone[rung]) / self._alone[-1])
            else:
                found.append(math.nan if run.status in ("failed", "skipped") else None)
        return found

    def test_scores(self, source: str) -> tuple[float | None, float | None]:
        """Return the test scores of the full run after a source and of the target alone; None if not done."""
        keys = [self._run(name, len(self._plans) - 1).key for name in (source, "")]
        rows = {run.key: run.score for run in self._store.runs(keys=keys, statuses=("done",))}
        return rows.get(keys[0]), rows.get(keys[1])

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _execute(self, batch: Sequence[tuple[str, int]]) -> list[Run]:
        """Execute runs that are not done, if the time allows, and return the rows of all."""
        wanted = [(self._plans[rung], self._run(source, rung)) for source, rung in batch]
        runs: dict[str, NewRun] = {}
        stages: dict[str, Stage] = {}
        for plan, run in wanted:
            by_key = {r.key: r for r in plan.runs}
            needed = [run]
            while (start := needed[-1].start_key) is not None:
                needed.append(by_key[start])
            needed.reverse()  # each after the one that it starts from
            runs |= {r.key: r for r in needed}
            stages |= {r.key: plan.stages[r.key] for r in needed}
        self._store.add(runs.values())
        left = self._until - time.monotonic()
        if left > 0 and self.signal is None:
            driver = PlanDriver(
                self._store,
                stages,
                self._checkpoints,
                self._engine,
                limits=Limits(seconds=left if math.isfinite(left) else None),
                tell=self._tell,
            )
            self.signal = driver.run(close_engine=False).signal
        rows = {row.key: row for row in self._store.runs(keys=runs.keys())}
        return [rows[run.key] for _, run in wanted]

    def _run(self, source: str, rung: int) -> NewRun:
        """Return the target's run with a source or a set of sources, or alone for ""."""
        runs = self._plans[rung].runs
        if source:
            wanted = parse_sources(source)
            return next(
                r
                for r in runs
                if (r.method, r.target) == (_method(wanted), self.target)
                and wanted.is_same(parse_sources(r.source))
            )
        baselines = {r.baseline_key for r in runs}
        return next(r for r in runs if r.key in baselines and r.target == self.target)
