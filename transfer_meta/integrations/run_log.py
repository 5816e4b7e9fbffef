"""Runs of any training loop, and finished scores, written to the run store."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transfer_meta.errors import InputError, first_line, unknown
from transfer_meta.integrations.logged_run import LogSettings, new_logged_run
from transfer_meta.integrations.logged_scores import logged_number, main_score, unit_score
from transfer_meta.provenance import package_versions
from transfer_meta.records import LearningCurve, Tell
from transfer_meta.runs.open_plan import store_address
from transfer_meta.training.run_result import RunResult

if TYPE_CHECKING:
    from transfer_meta.runs.store.run_store import Store


class RunLog:
    """Log of one training run; `log_run` makes and writes it.

    Parameters
    ----------
    task : str
        The target.
    sources : str or sequence of str
    seed : int
    store : str, Path or None
    settings : LogSettings or None
    tell : callable
    logged_by : str
        Name of the function or class, kept in the run's notes.
    """

    def __init__(
        self,
        task: str,
        sources: str | Sequence[str] | None,
        *,
        seed: int,
        store: str | Path | None,
        settings: LogSettings | None,
        tell: Tell,
        logged_by: str = "log_run",
    ) -> None:
        self.settings = settings or LogSettings()
        self.main_metric = self.settings.metric
        self.tell = tell
        self.notes: dict[str, Any] = {"logged_by": logged_by}
        self.scores: dict[str, float] = {}
        self.seconds = self.tokens_per_second = math.nan
        self.device = ""
        self._began = time.perf_counter()
        self._token = uuid.uuid4().hex
        self._losses: list[tuple[float, float]] = []
        self._dev: list[tuple[float, float, float]] = []
        self._run = new_logged_run(
            task, sources, seed=seed, settings=self.settings, logged_by=logged_by
        )
        self._address = store
        self._store: Store | None = None

    def open(self) -> None:
        """Open or make the store, and leave no connection open: loops fork workers and take hours."""
        from transfer_meta.runs.store.run_store import Store

        address = store_address(self._address)
        if "://" not in address:
            # A loop may change the folder.
            address = str(Path(address).absolute())
        self._store = Store(address, create=True)
        self._store.close()

    def log(self, step: float, loss: Any) -> None:
        """Log the training loss at a step.

        Parameters
        ----------
        step : float
            Number of updates since the beginning of the run; above that of the call before.
        loss : float
            Mean per example; NumPy and torch scalars too.

        Raises
        ------
        InputError
            The step does not increase, or the loss is not a number.
        """
        self._losses.append((_next_step(step, self._losses), logged_number("loss", loss)))

    def dev(self, step: float, score: Any = None, loss: Any = None) -> None:
        """Log an evaluation of the dev split.

        Parameters
        ----------
        step : float
            As in `log`.
        score : float or None
            Main metric on 0-1.
        loss : float or None
            Mean per example.

        Raises
        ------
        InputError
            The step does not increase, or a value cannot be used.
        """
        metric = self.main_metric or "score"
        point = (
            math.nan if loss is None else logged_number("loss", loss),
            math.nan if score is None else unit_score(metric, score),
        )
        self._dev.append((_next_step(step, self._dev), *point))

    def score(self, **scores: Any) -> None:
        """Log test scores by metric: ``run.score(accuracy=0.71, macro_f1=0.68)``.

        The main metric (see `LogSettings.metric`) is on 0-1.  A later value replaces an earlier one.

        Raises
        ------
        InputError
            A value is not a number, or the main metric's is not on 0-1.
        """
        found = {name: logged_number(name, value) for name, value in scores.items()}
        main = self.main_metric or main_score({**self.scores, **found})
        if main in found:
            unit_score(main, found[main])
        self.scores.update(found)

    def finish(self) -> None:
        """Write the run.

        Raises
        ------
        InputError
            There is no score, or none of the main metric (the run is written as failed), or the store cannot be
            used.
        """
        try:
            main = self.checked_metric()
        except InputError as error:
            self.fail(str(error))
            raise
        self._write(main, unit_score(main, self.scores[main]))

    def checked_metric(self) -> str:
        """Return the main metric; an InputError if it has no score."""
        if not self.scores:
            raise InputError("no score was logged (expected run.score(accuracy=0.71))")
        main = self.main_metric or main_score(self.scores)
        if main is None:
            names = ", ".join(self.scores)
            raise InputError(f"no score where higher is better was logged (got {names})")
        if main not in self.scores:
            raise unknown("metric", main, self.scores)
        return main

    def fail(self, reason: str, *, is_final: bool = True) -> None:
        """Write the run as failed, with a reason in one line; `is_final` is False if a score may follow."""
        self._write("", math.nan, failure=first_line(reason), is_final=is_final)

    def _write(self, metric: str, score: float, *, failure: str = "", is_final: bool = True) -> None:
        from transfer_meta.runs.store.logged_runs import write_logged_run

        elapsed = time.perf_counter() - self._began
        logs_time = self.notes["logged_by"] != "log_outcome"
        seconds = elapsed if math.isnan(self.seconds) and logs_time else self.seconds
        result = RunResult(
            score=score,
            scores=self.scores,
            main_metric=metric,
            curve=self._curve(),
            seconds=seconds,
            tokens_per_second=self.tokens_per_second,
            peak_memory_bytes=0,
            device=self.device,
            versions=package_versions(),
            notes=self.notes,
        )
        if self._store is None:
            self.open()
        assert self._store is not None
        try:
            before = write_logged_run(
                self._store, self._run, result, token=self._token, failure=failure
            )
        finally:
            self._store.close()
        if before == "done" and failure and is_final:
            self.tell(f"{self}: failed: {failure}; the finished run of the same settings is kept")
        elif before == "done" and not failure:
            self.tell(f"{self}: replaces the run of the same settings in {self._store.name}")

    def _curve(self) -> LearningCurve:
        train = np.array(self._losses, dtype=np.float64).reshape(-1, 2)
        dev = np.array(self._dev, dtype=np.float64).reshape(-1, 3)
        return LearningCurve(train[:, 0], train[:, 1], dev[:, 0], dev[:, 1], dev[:, 2])

    def __str__(self) -> str:
        source = f" with {self._run.source}" if self._run.source else ""
        return f"{self._run.target}{source}, seed {self._run.seed}"


@contextmanager
def log_run(
    task: str,
    sources: str | Sequence[str] | None = (),
    *,
    seed: int,
    store: str | Path | None = None,
    settings: LogSettings | None = None,
    tell: Tell = print,
) -> Iterator[RunLog]:
    """Log a training run: ``with log_run("rte", "mnli", seed=0) as run:``.

    The run is written when the block ends.  An exception in the block writes it as failed, and is raised on.  The
    store is opened at the beginning, so that a wrong address costs no training.  A run that is logged again (same
    task, sources, seed and settings) replaces the earlier one; a failed one does not replace a finished one.

    Parameters
    ----------
    task : str
        The target, whose score is the result.
    sources : str or sequence of str
        Tasks that the model was trained on before, in that order, or beside the target (``method="multitask"``).
        Without any, the run is a baseline: that of all runs of the same task, seed and settings.
    seed : int
    store : str, Path or None
        Run store: a file (SQLite, made if it is not there) or ``postgresql://USER@HOST/DATABASE``.  Default:
        ``$TRANSFER_META_STORE``, else ``runs.sqlite``.
    settings : LogSettings, optional
    tell : callable
        Called with one line if there was a run of the same settings.

    Yields
    ------
    RunLog
        Its methods take losses (`RunLog.log`), dev evaluations (`RunLog.dev`) and test scores (`RunLog.score`).

    Raises
    ------
    InputError
        A name or setting that cannot be used, a store that cannot be opened, or no score at the end.
    """
    run = RunLog(task, sources, seed=seed, store=store, settings=settings, tell=tell)
    run.open()
    try:
        yield run
    except BaseException as error:
        name = "" if isinstance(error, InputError) else type(error).__name__
        message = "; ".join(filter(None, str(error).strip().splitlines()[:1]))
        try:
            run.fail(": ".join(filter(None, (name, message))))
        except InputError as problem:
            error.add_note(f"the run was not logged: {problem}")
        raise
    run.finish()


def log_outcome(
    target: str,
    source: str | Sequence[str] | None,
    score: float | Mapping[str, float],
    *,
    seed: int,
    store: str | Path | None = None,
    settings: LogSettings | None = None,
    tell: Tell = print,
) -> None:
    """Log a score that is there already, as the run that gave it.

    Parameters
    ----------
    target : str
        The target, whose score it is.
    source : str, sequence of str or None
        As the sources of `log_run`; None for the baseline, the target without a source.
    score : float or mapping of str to float
        Test score on 0-1 (of the metric ``settings.metric``, else named ``score``), or several by metric.
    seed : int
    store : str, Path or None
        As for `log_run`.
    settings : LogSettings, optional
    tell : callable
        Called with one line if there was a run of the same settings, which is replaced.

    Raises
    ------
    InputError
        A name, setting or score that cannot be used, or a store that cannot be opened; nothing is written.
    """
    settings = settings or LogSettings()
    run = RunLog(
        target, source, seed=seed, store=store, settings=settings, tell=tell, logged_by="log_outcome"
    )
    run.score(**(score if isinstance(score, Mapping) else {settings.metric or "score": score}))
    run.checked_metric()
    run.finish()


def _next_step(step: Any, before: Sequence[tuple[float, ...]]) -> float:
    number = logged_number("step", step)
    if not (number >= 0 and math.isfinite(number)):
        raise InputError(f"step = {number:g} (expected 0 or a positive number)")
    if before and number <= before[-1][0]:
        raise InputError(
            f"step {number:g} after step {before[-1][0]:g} (expected steps that increase over the whole run)"
        )
    return number
