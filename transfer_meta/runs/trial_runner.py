"""Runs of the ways to train one target, through the run store, with the models that they leave."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from transfer_meta.errors import InputError
from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
from transfer_meta.runs.cost import BYTES_PER_WEIGHT
from transfer_meta.runs.driver import PlanDriver, describe
from transfer_meta.runs.local_engine import LocalEngine
from transfer_meta.runs.open_plan import store_address
from transfer_meta.runs.plan import Plan
from transfer_meta.runs.rung_runner import RungRunner
from transfer_meta.runs.search import REDUCTION, Rung, search_sources
from transfer_meta.runs.store.run_store import Store
from transfer_meta.runs.trials import Trial, TrialScores, read_scores

if TYPE_CHECKING:
    from transfer_meta.records import Tell

MAX_SHORT_RUNGS = 2
"""Lengths of runs that decide between sources: a half and a quarter of the epochs."""


class TrialRunner:
    """Execute the runs of trials; a context manager that ends the workers.

    Parameters
    ----------
    plans : sequence of Plan
        Of the same tasks and seeds, one for each encoder; the first is that of the target alone.
    store : str, Path or None
        See `transfer_meta.runs.open_plan.store_address`.
    devices : sequence of str
        One for each worker.
    tell : callable
        Called with one line for every run that ended.

    Attributes
    ----------
    signal : int or None
        Number of the signal that stopped the runs.
    """

    def __init__(
        self, plans: Sequence[Plan], store: str | Path | None, devices: Sequence[str], *, tell: Tell
    ) -> None:
        self.signal: int | None = None
        self.plans = tuple(plans)
        self.store = Store(store_address(store), create=True)
        self.checkpoints = open_checkpoints(self.store.checkpoint_folder)
        self._runs = {run.key: run for plan in plans for run in plan.runs}
        self._stages = {key: stage for plan in plans for key, stage in plan.stages.items()}
        self._engine = LocalEngine(devices, plans[0].task_sources, cache=self.checkpoints.tokens)
        self._devices = tuple(devices)
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.close()
        self.store.close()

    def check_space(self, trials: Sequence[Trial], out: Path) -> None:
        """Raise an InputError if a disk has too little space for the models that the runs leave."""
        weights = max(plan.encoder.weights for plan in self.plans)
        size = weights * BYTES_PER_WEIGHT
        models = sum(len(trial.keys) for trial in trials)
        # Beside the models each worker may leave the encoder of a source.
        files = models + len(self._devices)
        places = {Path(self.checkpoints.address): files * size, out.absolute(): size}
        needed: dict[Path, int] = {}
        for path, number in places.items():
            folder = next(parent for parent in (path, *path.parents) if parent.is_dir())
            needed[folder] = needed.get(folder, 0) + number
        for folder, number in needed.items():
            free = shutil.disk_usage(folder).free
            if free < number:
                raise InputError(
                    f"too little disk: '{folder}' has {free / 1e6:.0f} MB, the models need {number / 1e6:.0f} MB"
                )

    def best_by_halving(self, prior: Mapping[str, float]) -> tuple[str | None, list[str]]:
        """Compare sources by short runs with the first seed, and successive halving.

        Parameters
        ----------
        prior : mapping of str to float
            Expected gain of each source, a fraction.

        Returns
        -------
        best : str or None
            None if short runs do not tell, or a signal stopped them.
        dropped : list of str
            A line for each of the others.
        """
        plan = self.plans[0]
        full = plan.file.training.epochs
        lengths = sorted({max(1, full // REDUCTION**k) for k in range(1, MAX_SHORT_RUNGS + 1)} - {full})
        if not lengths:
            return None, []
        rungs = [Rung(n / full, n / full, f"{n} epoch{'s' * (n > 1)}") for n in lengths]
        budget = sum(rung.cost * max(1, len(prior) // REDUCTION**k) for k, rung in enumerate(rungs))
        self._tell(
            f"comparing {', '.join(prior)} by runs of {' and '.join(map(str, lengths))} of {full} epochs, seed"
            f" {plan.file.seeds[0]}"
        )
        runner = RungRunner(plan, lengths, self.store, self.checkpoints, self._engine, tell=self._tell)
        try:
            is_done = runner.alone()
        except InputError as error:
            self._tell(f"no short runs, {len(prior)} sources are trained on in full: {error}")
            return None, []
        found = search_sources(prior, runner, rungs=rungs, budget_runs=budget) if is_done else None
        self.signal = runner.signal
        if found is None or self.signal is not None:
            return None, []
        dropped = []
        for one in found.candidates[1:]:
            gain = f"{100 * one.gains[-1]:+.1f} %".replace("-", "−") if one.gains else "none"
            after = rungs[len(one.gains) - 1].name if one.gains else "no run"
            why = "its run failed" if one.state == "failed" else f"gain on dev {gain} after {after}"
            dropped.append(f"{one.source} was not trained on in full: {why}")
        return found.best.source, dropped

    def run(self, trials: Sequence[Trial]) -> list[TrialScores]:
        """Execute the runs of trials that are not done, and return the scores of all; see `signal`.

        Runs that are executed leave their models; those that were done before may have none, see `model_file`.
        """
        known = self.store.statuses()
        models = [key for trial in trials for key in trial.keys if known.get(key) != "done"]
        self._execute([key for trial in trials for key in trial.needed], models=models)
        return [read_scores(self.store, trial) for trial in trials]

    def model_file(self, key: str) -> Path | None:
        """Return the file of a finished run's model, after training again if it left none.

        Raises
        ------
        InputError
            That run failed.
        """
        name = self.checkpoints.model(key)
        if not self.checkpoints.is_whole(name, run=self._stages[key].run_name):
            self._tell(f"{describe(self._stages[key])}: done before without its model, trained again")
            needed, start = [key], self._runs[key].start_key
            while start is not None:
                needed.append(start)
                start = self._runs[start].start_key
            self._execute(needed, models=[key])
            (run,) = self.store.runs(keys=[key])
            if self.signal is not None:
                return None
            if run.status != "done":
                raise InputError(f"{describe(self._stages[key])} failed: {run.reason}")
        file = self.checkpoints.file(self.checkpoints.model(key))
        assert isinstance(file, Path)
        return file

    def drop_models(self, trials: Sequence[Trial]) -> None:
        """Remove the models of all runs of trials."""
        keys = [key for trial in trials for key in trial.keys]
        self.checkpoints.remove([self.checkpoints.model(key) for key in keys])

    def _execute(self, keys: Sequence[str], *, models: Sequence[str]) -> None:
        """Execute those of some runs that are not done; failed ones are tried again."""
        self.store.add([self._runs[key] for key in dict.fromkeys(keys)])
        self.store.retry(only=set(keys))
        stages = {key: self._stages[key] for key in keys}
        driver = PlanDriver(
            self.store, stages, self.checkpoints, self._engine, models=models, tell=self._tell
        )
        self.signal = driver.run(close_engine=False).signal
