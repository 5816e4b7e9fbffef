"""Callback of the transformers Trainer that writes its runs to the run store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from transfer_meta.errors import InputError, unknown
from transfer_meta.integrations.logged_run import LogSettings
from transfer_meta.integrations.logged_scores import main_score, unit_score
from transfer_meta.integrations.run_log import RunLog
from transfer_meta.records import Tell

_HYPERPARAMETERS = (
    "learning_rate", "num_train_epochs", "max_steps", "weight_decay", "warmup_steps", "warmup_ratio",
    "max_grad_norm", "lr_scheduler_type", "optim", "label_smoothing_factor", "bf16", "fp16",
)  # fmt: skip
"""Training arguments that change the result."""
_NO_SCORES = (
    "loss", "runtime", "samples_per_second", "steps_per_second", "model_preparation_time", "jit_compilation_time",
)  # fmt: skip
"""What the Trainer adds to the metrics of an evaluation."""


class _Evaluation(NamedTuple):
    """Metrics of one evaluation: the prefix of their names, the loss, and the scores by metric."""

    prefix: str
    loss: float | None
    scores: dict[str, float]


class TransferLogger(TrainerCallback):
    """Write each training of a Trainer to a run store: ``Trainer(..., callbacks=[TransferLogger("rte", "mnli")])``.

    Losses and evaluations during training are the learning curve.  The score is that of the last ``evaluate`` or
    ``predict`` after ``train``, where one with ``metric_key_prefix="test"`` is not replaced by others; without any,
    that of the last evaluation during training (of the best with ``load_best_model_at_end``).  Seed and
    hyperparameters are those of the ``TrainingArguments``.  A training that is logged again, with the same task,
    sources, seed and settings, replaces the earlier run.

    Parameters
    ----------
    task : str
        The target, whose score is the result.
    sources : str or sequence of str
        Tasks that the model was trained on before, in that order, or beside the target (``method="multitask"``).
        Without any, the run is a baseline: that of all runs of the same task, seed and settings.
    store : str, Path or None
        Run store: a file (SQLite, made if it is not there) or ``postgresql://USER@HOST/DATABASE``.  Default:
        ``$TRANSFER_META_STORE``, else ``runs.sqlite``.
    settings : LogSettings, optional
        ``encoder`` is required where the model was loaded from a folder.  Default of ``metric``: that of
        ``metric_for_best_model``, else the first one of ``compute_metrics`` of which higher is better.
    tell : callable
        Called with one line if there was a run of the same settings, which is replaced.

    Raises
    ------
    InputError
        From ``train``: a name or setting that cannot be used, a store that cannot be opened; from the first
        evaluation on: a main metric that is not there or not on 0-1.
    """

    def __init__(
        self,
        task: str,
        sources: str | Sequence[str] | None = (),
        *,
        store: str | Path | None = None,
        settings: LogSettings | None = None,
        tell: Tell = print,
    ) -> None:
        self._task, self._sources, self._store, self._tell = task, sources, store, tell
        self._settings = settings or LogSettings()
        self._run: RunLog | None = None
        self._preferred = ""
        self._is_training = False
        self._scored_on = ""
        self._began = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the store."""
        self._run = None
        self._is_training = True
        self._scored_on = ""
        self._began = time.perf_counter()
        self._preferred = (args.metric_for_best_model or "").removeprefix("eval_")
        if not state.is_world_process_zero:
            return
        settings = replace(
            self._settings,
            encoder=self._settings.encoder or _encoder_name(kwargs.get("model")),
            training={**_hyperparameters(args), **self._settings.training},
        )
        run = RunLog(
            self._task,
            self._sources,
            seed=args.seed,
            store=self._store,
            settings=settings,
            tell=self._tell,
            logged_by=type(self).__name__,
        )
        run.device = str(args.device)
        run.open()
        self._run = run

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write the run with its curve, scored by its evaluations during training."""
        self._is_training = False
        run = self._run
        if run is None:
            return
        run.seconds = time.perf_counter() - self._began
        if state.num_input_tokens_seen:
            run.tokens_per_second = state.num_input_tokens_seen / run.seconds
        run.notes["steps"] = state.global_step
        # The history of a training that went on from a checkpoint begins at its first step.
        for step, loss in sorted(
            {r["step"]: r["loss"] for r in state.log_history if "loss" in r}.items()
        ):
            run.log(step, loss)
        found = [(record["step"], _evaluation(record)) for record in state.log_history]
        # Of several evaluation sets the first one counts.
        prefix = next((each.prefix for _, each in found if each), "")
        dev = {step: each for step, each in found if each and each.prefix == prefix}
        for step, each in sorted(dev.items()):
            run.dev(step, each.scores[self._main(each.scores)] if each.scores else None, each.loss)
        best = getattr(state, "best_global_step", None) if args.load_best_model_at_end else None
        last = dev.get(best) if best in dev else next(reversed(dev.values()), None)
        if last is not None and last.scores:
            run.notes["scored_on"] = f"{prefix}, during training"
            self._write(run, last.scores)
        else:
            reason = (
                "no score (expected compute_metrics, and trainer.evaluate(...) after trainer.train())"
            )
            run.fail(reason, is_final=False)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the main metric during training; write the scores afterwards."""
        found = _evaluation(kwargs["metrics"])
        if found is None or self._run is None:
            return
        if self._is_training:
            if found.scores or self._settings.metric:
                main = self._main(found.scores)
                unit_score(main, found.scores[main])
        elif found.scores and not (self._scored_on == "test" != found.prefix):
            self._run.notes["scored_on"] = self._scored_on = found.prefix
            self._write(self._run, found.scores)

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Any,
        **kwargs: Any,
    ) -> None:
        """Write the scores."""
        self.on_evaluate(args, state, control, metrics=metrics)

    def _write(self, run: RunLog, scores: Mapping[str, float]) -> None:
        run.main_metric = self._main(scores)
        run.scores.clear()
        run.score(**scores)
        run.finish()

    def _main(self, scores: Mapping[str, float]) -> str:
        """Return the main metric among those of an evaluation."""
        wanted = self._settings.metric
        if wanted is not None and wanted not in scores:
            if scores:
                raise unknown("metric", wanted, scores)
            raise InputError(f"no metric '{wanted}': compute_metrics of the Trainer gives no scores")
        main = wanted or (self._preferred if self._preferred in scores else main_score(scores))
        if main is None:
            raise InputError(
                f"no score where higher is better (compute_metrics gives {', '.join(scores)})"
            )
        return main


def _evaluation(metrics: Mapping[str, Any]) -> _Evaluation | None:
    """Return the metrics of an evaluation without their prefix; None for a record of something else."""
    ends = [name for name in metrics if name.endswith("_runtime") and name != "train_runtime"]
    if not ends:
        return None
    prefix = ends[0].removesuffix("_runtime")
    found = {
        name.removeprefix(f"{prefix}_"): float(value)
        for name, value in metrics.items()
        if name.startswith(f"{prefix}_") and isinstance(value, int | float)
    }
    scores = {name: value for name, value in found.items() if name not in _NO_SCORES}
    return _Evaluation(prefix, found.get("loss"), scores)


def _hyperparameters(args: TrainingArguments) -> dict[str, Any]:
    batch = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    found = {name: getattr(args, name, None) for name in _HYPERPARAMETERS}
    if args.max_steps <= 0:
        del found["max_steps"]
    return {"batch_size": batch, **{name: v for name, v in found.items() if v is not None}}


def _encoder_name(model: Any) -> str:
    name = str(getattr(getattr(model, "config", None), "_name_or_path", "") or "")
    if not name or Path(name).exists():
        place = f"comes from the folder '{name}'" if name else "has no name"
        raise InputError(
            f"the model {place} (expected LogSettings(encoder=NAME), the pretrained encoder that a "
            "transfer shares with its baseline)"
        )
    return name
