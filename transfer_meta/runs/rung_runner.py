"""Runs of several lengths of one target after each of its sources, done when they are asked for.

A shorter run is one of fewer epochs, of the source and of the target.  All runs are those of a plan: they go
through the store, so that what is there is not done again, and can be shown and exported like any others.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from transfer_meta.errors import InputError
from transfer_meta.runs.checkpoints.folder import Checkpoints
from transfer_meta.runs.driver import Limits, PlanDriver
from transfer_meta.runs.engine import Engine, Event, Job
from transfer_meta.runs.plan import EncoderFacts, Plan, load_plan
from transfer_meta.runs.store.run_store import NewRun, Store
from transfer_meta.runs.store.schema import Run
from transfer_meta.training.stage import Stage

# How the runs of the shipped grid were trained; the regime is that grid's, too.
TRAINING = {"batch_size": 16, "learning_rate": 2e-4, "max_length": 128, "evaluations": 1}


def plan_of_search(
    *,
    target: str,
    tasks: Mapping[str, str],
    regime: str,
    epochs: int,
    seed: int = 0,
    encoder: str = "offline",
    encoder_facts: Callable[[str], EncoderFacts] | None = None,
) -> Plan:
    """The plan of full runs: the target alone, and after each other task.

    Parameters
    ----------
    target
        One of the names in `tasks`.
    tasks
        Name to address.
    regime
        Training examples of a source and of the target: ``1000-full``; a task with fewer gives all it has.
    epochs, seed, encoder
        Of every run.
    encoder_facts
        See `transfer_meta.runs.plan.load_plan`.

    Raises
    ------
    InputError
        With every problem, one a line.
    """
    said = {
        "sources": [name for name in tasks if name != target],
        "targets": [target],
        "regimes": [regime],
        "allow_fewer": True,
        "seeds": [seed],
        "encoder": encoder,
    }
    # Strings, numbers and lists of JSON are those of TOML.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items()]
    for table, values in (("tasks", tasks), ("training", {**TRAINING, "epochs": epochs})):
        lines.append(f"[{table}]")
        lines += [f"{json.dumps(k)} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "search"
        path.write_text("\n".join(lines), encoding="utf-8")
        return load_plan(path, encoder_facts=encoder_facts)


def shortened(plan: Plan, epochs: int) -> Plan:
    """The same plan with so many epochs."""

    def shorter(stage: Stage) -> Stage:
        start = None if stage.start is None else shorter(stage.start)
        return replace(stage, training=replace(stage.training, epochs=epochs), start=start)

    digests = {name: facts.source.digest for name, facts in plan.tasks.items()}
    stages = {key: shorter(stage) for key, stage in plan.stages.items()}
    keys = {key: stage.key(digests, plan.encoder.revision) for key, stage in stages.items()}
    runs = [
        replace(
            run,
            key=keys[run.key],
            settings=stages[run.key].to_dict(),
            start_key=None if run.start_key is None else keys[run.start_key],
            baseline_key=None if run.baseline_key is None else keys[run.baseline_key],
        )
        for run in plan.runs
    ]
    return replace(plan, runs=tuple(runs), stages={keys[key]: stage for key, stage in stages.items()})


class RungRunner:
    """What `transfer_meta.runs.search.search_sources` looks with.

    The gain of a look is (dev score after the source - dev score of the target alone, both of that length) / dev
    score of the target alone at full length; without a dev split, of test scores.

    Parameters
    ----------
    plan
        Full runs, as `plan_of_search` gives them.
    epochs
        Of each rung, the last that of the full runs.
    store, folder, engine
        What `transfer_meta.runs.driver.PlanDriver` works with.  The engine is closed by `close`.
    seconds
        When to stop, from now.
    tell
        Called with one line for every run that ended.
    """

    def __init__(
        self,
        plan: Plan,
        epochs: Sequence[int],
        store: Store,
        folder: Checkpoints,
        engine: Engine,
        *,
        seconds: float = math.inf,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.signal: int | None = None
        self.target = plan.file.targets[0]
        self._plans = [shortened(plan, n) for n in epochs]
        self._store, self._folder, self._tell = store, folder, tell
        self._engine = _Kept(engine)
        self._until = time.monotonic() + seconds

    def alone(self) -> bool:
        """Run the target alone at every length; False where the time ended before.

        Raises
        ------
        InputError
            One of these runs failed, or scores 0 at full length, so that there is no relative gain.
        """
        rungs = range(len(self._plans))
        runs = self._do([("", rung) for rung in rungs])
        for run in runs:
            if run.status in ("failed", "skipped"):
                raise InputError(f"the run of '{self.target}' alone failed: {run.reason}")
        if any(run.status != "done" for run in runs):
            return False
        self._alone = [self._score(run) for run in runs]
        if self._alone[-1] == 0:
            raise InputError(f"'{self.target}' alone scores 0: there is no relative gain to look for")
        return True

    def __call__(self, batch: Sequence[tuple[str, int]]) -> list[float | None]:
        """Gains of runs by source and rung: NaN where one failed, None where the time ended before."""
        found: list[float | None] = []
        for run, (_, rung) in zip(self._do(batch), batch, strict=True):
            if run.status == "done":
                found.append((self._score(run) - self._alone[rung]) / self._alone[-1])
            else:
                found.append(math.nan if run.status in ("failed", "skipped") else None)
        return found

    def test_scores(self, source: str) -> tuple[float | None, float | None]:
        """Test score of the full run after a source, and of the target alone; None where it is not done."""
        keys = [self._run(name, len(self._plans) - 1).key for name in (source, "")]
        rows = {run.key: run.score for run in self._store.runs(keys=keys, statuses=("done",))}
        return rows.get(keys[0]), rows.get(keys[1])

    def close(self) -> None:
        """End the engine."""
        self._engine.really_close()

    def _do(self, batch: Sequence[tuple[str, int]]) -> list[Run]:
        """The rows of runs, done if they were not yet and the time allows it."""
        wanted = [self._run(source, rung) for source, rung in batch]
        stages: dict[str, Stage] = {}
        runs: list[NewRun] = []
        for run, (_, rung) in zip(wanted, batch, strict=True):
            plan = self._plans[rung]
            before = [r for r in plan.runs if r.key == run.start_key]
            runs += [*before, run]
            stages |= {r.key: plan.stages[r.key] for r in (*before, run)}
        self._store.add(runs)
        left = self._until - time.monotonic()
        if left > 0 and self.signal is None:
            limits = Limits(seconds=left if math.isfinite(left) else None)
            work = PlanDriver(
                self._store, stages, self._folder, self._engine, limits=limits, tell=self._tell
            )
            self.signal = work.run().signal
        rows = {row.key: row for row in self._store.runs(keys=[run.key for run in wanted])}
        return [rows[run.key] for run in wanted]

    def _run(self, source: str, rung: int) -> NewRun:
        """The target's run after a source, or alone."""
        runs = self._plans[rung].runs
        if source:
            return next(r for r in runs if (r.source, r.target) == (source, self.target))
        baselines = {r.baseline_key for r in runs}
        return next(r for r in runs if r.key in baselines and r.target == self.target)

    def _score(self, run: Run) -> float:
        dev = self._store.curves(run.id)[run.target].dev_scores
        return float(dev[-1]) if len(dev) else float(run.score or 0.0)


class _Kept:
    """An engine that does the work of many a `PlanDriver`, which closes what it works with."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def has_room(self, wanted: int) -> bool:
        return self._engine.has_room(wanted)

    def submit(self, job: Job) -> None:
        self._engine.submit(job)

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        return self._engine.events(timeout_seconds)

    def stop(self) -> None:
        self._engine.stop()

    def close(self) -> None:
        """Nothing: see `really_close`."""

    def really_close(self) -> None:
        self._engine.close()
