"""Train a target alone and with sources, and keep the model that is better on held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_meta.api.train_preparation import PreparedTraining, check_folder, prepare_training
from transfer_meta.api.train_result import ALONE, TrainedWay, TrainResult
from transfer_meta.api.train_settings import TrainSettings
from transfer_meta.api.train_sources import CHECKPOINT_PREFIX
from transfer_meta.errors import InputError, require
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.tasks.source_sets import IN_TURN

if TYPE_CHECKING:
    from transfer_meta.records import Tell
    from transfer_meta.runs.store.schema import Run
    from transfer_meta.runs.trial_runner import TrialRunner
    from transfer_meta.runs.trials import TrialScores


def train(
    target: str | Path, settings: TrainSettings | None = None, *, tell: Tell = lambda _: None
) -> TrainResult:
    """Train a target alone and with a source, keep the better model, and write it as a Hugging Face folder.

    All ways to train get the same examples and seeds.  The one with the highest score on examples held out of the
    training split is kept, of it the seed that is best there; if no source helps, that is the target alone.  Runs
    in the store are not repeated: to continue after Ctrl-C, call it again.

    Parameters
    ----------
    target : str or path
        The task to train for: a file, a card, ``hf:DATASET``, or the name of one of `TrainSettings.sources`.
    settings : TrainSettings, optional
    tell : callable
        Called with one line for each note on the tasks, and for each run that ended.

    Raises
    ------
    InputError
        A task, a source or an encoder that cannot be used, too little disk, a folder that is not to be replaced, or
        a run of the target alone that failed.
    """
    settings = settings or TrainSettings()
    require("sqlalchemy", "torch")
    check_folder(settings)
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.trial_runner import TrialRunner

    devices = find_devices(settings.device)
    prepared = prepare_training(str(target), settings, tell)
    with TrialRunner(prepared.plans, settings.store, devices, tell=tell) as runner:
        trials = prepared.trials
        runner.check_space(trials, Path(settings.out))
        if len(prepared.recommended) > 1:
            prior = {source.name: source.expected_gain for source in prepared.recommended}
            best, dropped = runner.best_by_halving(prior)
            if best is not None:
                trials = [t for t in trials if t.source == best or t.source not in prior]
                prepared.notes.extend(dropped)
        scores = runner.run(trials) if runner.signal is None else []
        if scores and scores[0].reason:
            raise InputError(f"the run of '{prepared.target}' alone failed: {scores[0].reason}")
        if runner.signal is not None:
            return TrainResult(
                target=prepared.target,
                type=str(prepared.tasks[prepared.target].type),
                notes=tuple(prepared.notes),
                signal=runner.signal,
            )
        return _keep(prepared, scores, runner, settings)


def _keep(
    prepared: PreparedTraining,
    scores: Sequence[TrialScores],
    runner: TrialRunner,
    settings: TrainSettings,
) -> TrainResult:
    """Choose the way to train, write its model, and delete the others."""
    from transfer_meta.runs.trials import choose_trial

    chosen = choose_trial(scores)
    key = chosen.trial.keys[chosen.best_seed]
    file = runner.model_file(key)
    (run,) = runner.store.runs(keys=[key])
    result = TrainResult(
        target=prepared.target,
        type=str(prepared.tasks[prepared.target].type),
        metric=str(run.main_metric),
        scored_on=str((run.notes or {}).get("scored_on") or "test"),
        ways=tuple(_way(one, scores[0], kept=one is chosen) for one in scores),
        seed=run.seed,
        folder=str(settings.out),
        notes=tuple(prepared.notes),
        signal=runner.signal,
    )
    if file is None:
        return replace(result, ways=(), seed=None, folder=None)
    _write(result, file, run, prepared, settings)
    runner.drop_models([one.trial for one in scores])
    return result


def _way(one: TrialScores, alone: TrialScores, *, kept: bool) -> TrainedWay:
    from transfer_meta.runs.trials import paired_difference

    is_alone = one is alone
    difference, low, high = paired_difference(() if is_alone else one.test, alone.test)
    trial = one.trial
    is_checkpoint = trial.encoder != alone.trial.encoder
    parts = [
        *([CHECKPOINT_PREFIX + trial.encoder] if is_checkpoint else []),
        *filter(None, [trial.source]),
    ]
    return TrainedWay(
        source=ALONE if is_alone else IN_TURN.join(parts),
        method=trial.method,
        encoder=trial.encoder,
        dev=one.dev,
        test=one.test,
        difference=difference,
        low=low,
        high=high,
        seconds=one.seconds,
        kept=kept,
        reason=one.reason,
    )


def _write(
    result: TrainResult, file: Path, run: Run, prepared: PreparedTraining, settings: TrainSettings
) -> None:
    """Write the folder of the model that was kept."""
    from transfer_meta.training.model_card import CardRecord, model_card
    from transfer_meta.training.model_folder import write_model_folder
    from transfer_meta.training.trained_file import load_trained_file

    kept, alone = result.kept, result.ways[0]
    assert kept is not None
    is_alone = kept is alone
    used = [name for name in prepared.tasks if name in run.task_digests]
    examples: dict[str, Any] = dict(run.settings)
    data: dict[str, Any] = {}
    for name in used:
        address = prepared.plans[0].file.tasks[name]
        wanted = examples["target_examples"] if name == prepared.target else settings.source_examples
        file_name = address if is_hub_address(address) else Path(address).name
        data[name] = f"{file_name}, {wanted or 'all'} training examples"
    encoder, head, facts = load_trained_file(file)
    record = CardRecord(
        source="" if is_alone else kept.source,
        method=kept.method,
        verdict=result.verdict,
        data=data,
        metric=result.metric,
        scored_on=result.scored_on,
        score=kept.test,
        alone=alone.test,
        difference=kept.difference,
        low=kept.low,
        high=kept.high,
        seed=run.seed,
        settings={"encoder": f"{run.encoder}, revision {run.encoder_revision}", "seeds": len(kept.test)}
        | dict(run.settings["training"])
        | {name: value for name, value in run.settings.items() if name == "curriculum"},
        licences={name: prepared.tasks[name].licence or "unknown" for name in used},
        versions=dict(run.versions or {}),
    )
    write_model_folder(
        settings.out, encoder, head, facts, card=model_card(facts, record), overwrite=settings.overwrite
    )
