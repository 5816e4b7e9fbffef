"""`transfer-meta search`: find the best source for a target with few training runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from transfer_meta.cli.shared.console import print_json, print_records, tell
from transfer_meta.cli.shared.options import AsJson, EncoderName, Seed, with_options
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    DeviceNames,
    DeviceWorkers,
    StoreAddress,
    require,
)
from transfer_meta.cli.shared.task_options import MoreSources, SourceTasks
from transfer_meta.errors import InputError, nearest, unknown

if TYPE_CHECKING:
    from transfer_meta.runs.rung_runner import RungRunner
    from transfer_meta.runs.search import Search

RUNGS = 3


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options of ``search``."""

    sources: SourceTasks
    budget: Annotated[str, Option(help="Full runs or a time: 20runs, 2h, 90min.")] = "20runs"
    prior: Annotated[
        str,
        Option(
            metavar="auto|none|FILE",
            help="Gains to expect: those of `recommend`, none, or a table with columns source and gain.",
        ),
    ] = "auto"
    regime: Annotated[str, Option(help="Training examples, SOURCE-TARGET.")] = "1000-full"
    epochs: Annotated[int, Option(min=1, help="Epochs of a full run.")] = 4
    seed: Seed = 0
    encoder: EncoderName = "offline"
    store: StoreAddress = DEFAULT_STORE
    checkpoints: CheckpointPath = None
    device: DeviceNames = "auto"
    workers: DeviceWorkers = None


@with_options
def search_command(
    target: Annotated[
        str,
        Argument(
            metavar="TARGET",
            help="The task to be helped: a file, a card, hf:DATASET, or the name of one of the sources.",
        ),
    ],
    more_sources: MoreSources = None,
    *,
    options: SearchOptions,
    as_json: AsJson = False,
) -> int:
    """Find the best source with few training runs.

    The most promising sources get short runs, the best of them longer ones. A run counts by its share of the
    epochs; training on the target alone is not counted. Runs in the store are not repeated: to continue after
    Ctrl-C, repeat the command.

    Example: transfer-meta search sst2 --sources tasks/ --budget 20runs
    """
    from transfer_meta.runs.search import PRIOR_RUNS, Rung, parse_budget, search_sources

    budget = parse_budget(options.budget)
    require("sqlalchemy", "torch")
    tasks, name = _find_tasks(target, [*options.sources, *(more_sources or [])])
    names = [source for source in tasks if source != name]
    if not names:
        raise InputError(f"no sources beside the target '{name}' (expected at least one other task)")
    expected = _prior(options.prior, tasks, name)
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.checkpoints.open_checkpoints import open_checkpoints
    from transfer_meta.runs.local_engine import LocalEngine
    from transfer_meta.runs.rung_runner import RungRunner, plan_of_search
    from transfer_meta.runs.store.run_store import Store

    slots = find_devices(options.device, workers=options.workers)
    epochs = options.epochs
    plan = plan_of_search(
        target=name,
        tasks=tasks,
        regime=options.regime,
        epochs=epochs,
        seed=options.seed,
        encoder=options.encoder,
    )
    for note in plan.notes:
        tell(note)
    lengths = sorted({max(1, round(epochs / 2**k)) for k in range(RUNGS)})
    rungs = [Rung(n / epochs, n / epochs, f"{n} epoch{'s' * (n > 1)}") for n in lengths]
    store = Store(options.store, create=True)
    checkpoints = open_checkpoints(options.checkpoints or store.checkpoint_folder)
    engine = LocalEngine(slots, plan.task_sources, cache=checkpoints.tokens)
    runner = RungRunner(plan, lengths, store, checkpoints, engine, seconds=budget.seconds, tell=tell)
    try:
        found = None
        if runner.alone():
            found = search_sources(
                dict.fromkeys(names, 0.0) if expected is None else expected,
                runner,
                rungs=rungs,
                budget_runs=budget.runs,
                prior_runs=0.0 if expected is None else PRIOR_RUNS,
            )
    finally:
        runner.close()
    if found is None:
        tell("stopped before training on the target alone was done; to continue, repeat the command")
    else:
        _print(
            found,
            runner,
            [rung.name for rung in rungs],
            options.budget,
            plan.notes if as_json else None,
        )
    return 0 if runner.signal is None else 128 + runner.signal


def _find_tasks(target: str, sources: list[str]) -> tuple[dict[str, str], str]:
    """Return the addresses of all tasks by name, and the name of the target."""
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

    add(find_tasks(sources))
    if target in tasks:
        return tasks, target
    try:
        found = find_tasks([target])
    except InputError:
        if is_hub_address(target) or Path(target).suffix or len(Path(target).parts) > 1:
            raise
        raise unknown("task", target, tasks) from None
    if len(found) != 1:
        raise InputError(f"TARGET: expected one task, got {len(found)} in '{target}'")
    return tasks, add(found)[0]


def _prior(prior: str, tasks: Mapping[str, str], target: str) -> dict[str, float] | None:
    """Return the expected gain of each source, or None if nothing is expected."""
    names = [name for name in tasks if name != target]
    if prior == "none":
        return None
    if prior == "auto":
        from transfer_meta.recommender.recommend import RecommendSettings, recommend

        try:
            recommendation = recommend(
                tasks[target],
                sources=[tasks[n] for n in names],
                settings=RecommendSettings(top=len(names)),
                tell=tell,
            )
        except InputError as error:
            tell(f"no prior, sources in the order given: {error}")
            return None
        found = {s.source: s.expected_gain for s in recommendation.sources}
    else:
        found = _read_prior(Path(prior), names)
    missing = [name for name in names if name not in found]
    if missing:
        tell(f"no expected gain for {', '.join(missing)}: the mean of the others is used")
    mean = sum(found.values()) / len(found) if found else 0.0
    return {name: found.get(name, mean) for name in names}


def _read_prior(path: Path, names: list[str]) -> dict[str, float]:
    """Read the columns ``source`` and ``gain`` (or ``expected_gain``) of a table."""
    from transfer_meta.readers.whole_table import read_table

    frame = read_table(path)
    column = next((c for c in ("expected_gain", "gain") if c in frame), None)
    if column is None or "source" not in frame:
        raise InputError(
            f"--prior {path}: expected columns source and gain, got {', '.join(map(str, frame.columns))}"
        )
    found: dict[str, float] = {}
    for source, gain in zip(frame["source"].astype(str), frame[column], strict=True):
        if source not in names:
            raise InputError(
                f"--prior {path}: source '{source}' is not searched{nearest(source, names)}"
            )
        try:
            found[source] = float(gain)
        except ValueError:
            found[source] = math.nan
        if not math.isfinite(found[source]):
            raise InputError(f"--prior {path}: {column} of '{source}' is {gain!r} (expected a number)")
    return found


def _print(
    found: Search, runner: RungRunner, rungs: list[str], budget: str, notes: Sequence[str] | None
) -> None:
    """Print the result; as JSON, with notes, if there are `notes`."""
    from transfer_meta.records import relative_gain

    best = found.best
    records: list[dict[str, Any]] = []
    for place, c in enumerate(found.candidates, start=1):
        score, alone = runner.test_scores(c.source)
        gain = None if score is None or alone is None else relative_gain(score, alone)
        records.append(
            {
                "rank": place,
                "source": c.source,
                "state": c.state,
                "prior": c.prior,
                "expected_gain": c.expected,
                "gains": dict(zip(rungs, c.gains, strict=False)),
                "test_score": score,
                "test_gain": gain,
            }
        )
    helps = best.expected > 0
    if notes is not None:
        print_json(
            {
                "target": runner.target,
                "notes": list(notes),
                "best": best.source,
                "helps": helps,
                "budget": budget,
                "spent_runs": found.spent,
                "test_score_alone": runner.test_scores("")[1],
                "sources": records,
            }
        )
        return
    verdict = f"{best.source} is the best source" if helps else "no source is expected to help"
    on_test = next(record["test_gain"] for record in records if record["source"] == best.source)
    if helps and on_test is not None and on_test <= 0:
        verdict = f"{best.source} did best on the dev split, but on the test split it gains nothing"
    if not any(c.gains for c in found.candidates):
        verdict = "no source was run; to continue, repeat the command"
    print(f"{runner.target}: {verdict}; {found.spent:g} runs spent ({budget})\n")
    print_records(
        [
            {"": r["rank"], "source": r["source"], "prior": r["prior"]}
            | {name: r["gains"].get(name) for name in rungs}
            | {"expected gain": r["expected_gain"], "test gain": r["test_gain"], "state": r["state"]}
            for r in records
        ]
    )
