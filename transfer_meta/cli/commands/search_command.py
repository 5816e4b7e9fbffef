"""`transfer-meta search`: the best source for a target with few real runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer_meta.cli.shared.options import AsJson, MoreSources, SourceTasks
from transfer_meta.cli.shared.run_options import (
    DEFAULT_STORE,
    CheckpointPath,
    StoreAddress,
    require,
    say,
)
from transfer_meta.errors import InputError, nearest, unknown

if TYPE_CHECKING:
    from transfer_meta.runs.rung_runner import RungRunner
    from transfer_meta.runs.search import Search

RUNGS = 3


def search_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="The task to be helped: a file, a card, hf:DATASET, or the name of one of the sources.",
            show_default=False,
        ),
    ],
    more_sources: MoreSources = None,
    *,
    sources: SourceTasks,
    budget: Annotated[
        str, typer.Option("--budget", help="Full runs or a time: 20runs, 2h, 90min.")
    ] = "20runs",
    prior: Annotated[
        str,
        typer.Option(
            "--prior",
            metavar="auto|none|FILE",
            help="recommend's, none, or a CSV with source and gain.",
        ),
    ] = "auto",
    regime: Annotated[
        str, typer.Option("--regime", help="Training examples, SOURCE-TARGET.")
    ] = "1000-full",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Of a full run.")] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    encoder: Annotated[str, typer.Option("--encoder", help="What is fine-tuned.")] = "offline",
    store: StoreAddress = DEFAULT_STORE,
    checkpoints: CheckpointPath = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, or cuda:0,cuda:1.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Worker processes; default: one a device.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Find the best source for a target with few real runs.

    The most promising sources get short runs; the better they do, the longer the next. A run counts by its
    share of the epochs; the target alone is run on top of the budget. What is in the store is not run again:
    after Ctrl-C the same command goes on.

    Example: transfer-meta search sst2 --sources tasks/ --budget 20runs
    """
    from transfer_meta.runs.search import PRIOR_RUNS, Rung, parse_budget, search_sources

    allowed = parse_budget(budget)
    require("sqlalchemy", "torch")
    tasks, name = _find_tasks(target, [*sources, *(more_sources or [])])
    names = [source for source in tasks if source != name]
    if not names:
        raise InputError(f"no sources beside the target '{name}' (expected at least one other task)")
    expected = _prior(prior, tasks, name)
    from transfer_meta.encoding.devices import find_devices
    from transfer_meta.runs.checkpoints.folder import open_checkpoints
    from transfer_meta.runs.local_engine import LocalEngine
    from transfer_meta.runs.rung_runner import RungRunner, plan_of_search
    from transfer_meta.runs.store.run_store import Store

    slots = find_devices(device, workers=workers)
    plan = plan_of_search(
        target=name, tasks=tasks, regime=regime, epochs=epochs, seed=seed, encoder=encoder
    )
    lengths = sorted({max(1, round(epochs / 2**k)) for k in range(RUNGS)})
    rungs = [Rung(n / epochs, n / epochs, f"{n} epoch{'s' * (n > 1)}") for n in lengths]
    opened = Store(store, create=True)
    folder = open_checkpoints(checkpoints or opened.folder)
    engine = LocalEngine(slots, plan.task_sources, cache=folder.tokens)
    looks = RungRunner(plan, lengths, opened, folder, engine, seconds=allowed.seconds, tell=say)
    try:
        found = None
        if looks.alone():
            found = search_sources(
                dict.fromkeys(names, 0.0) if expected is None else expected,
                looks,
                rungs=rungs,
                budget_runs=allowed.runs,
                prior_runs=0.0 if expected is None else PRIOR_RUNS,
            )
    finally:
        looks.close()
    if found is None:
        say("stopped before the target alone was run; the same command goes on")
    else:
        _print(found, looks, [rung.name for rung in rungs], budget, as_json)
    return 0 if looks.signal is None else 128 + looks.signal


def _find_tasks(target: str, sources: list[str]) -> tuple[dict[str, str], str]:
    """Addresses by name, and the name of the target."""
    from transfer_meta.tasks.resolve import find_tasks, load_named
    from transfer_meta.tasks.settings import ReadSettings

    def addresses(names: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for address in find_tasks(names):
            name = load_named(address, ReadSettings()).name
            if found.setdefault(name, address) != address:
                raise InputError(f"two tasks are named '{name}': {found[name]} and {address}")
        return {n: a if a.startswith("hf:") else str(Path(a).absolute()) for n, a in found.items()}

    tasks = addresses(sources)
    if target in tasks:
        return tasks, target
    try:
        own = addresses([target])
    except InputError:
        if target.startswith("hf:") or Path(target).suffix or len(Path(target).parts) > 1:
            raise
        raise unknown("task", target, tasks) from None
    if len(own) != 1:
        raise InputError(f"TARGET: expected one task, got {len(own)} in '{target}'")
    (name, address), *_ = own.items()
    if tasks.get(name, address) != address:
        raise InputError(f"two tasks are named '{name}': {tasks[name]} and {address}")
    return {**tasks, **own}, name


def _prior(prior: str, tasks: Mapping[str, str], target: str) -> dict[str, float] | None:
    """Expected gain of each source; None: not known."""
    names = [name for name in tasks if name != target]
    if prior == "none":
        return None
    if prior == "auto":
        from transfer_meta.recommender.recommend import recommend

        try:
            answer = recommend(
                tasks[target], sources=[tasks[n] for n in names], top=len(names), tell=say
            )
        except InputError as error:
            say(f"no prior, the sources are taken as they come: {error}")
            return None
        # So the recommender calls a file of one's own whose name is that of a task it knows.
        found = {a.source.removesuffix(" (own file)"): a.expected_gain for a in answer.sources}
    else:
        found = _read_prior(Path(prior), names)
    missing = [name for name in names if name not in found]
    if missing:
        say(f"nothing is expected of {', '.join(missing)}: taken for the average of the others")
    mean = sum(found.values()) / len(found) if found else 0.0
    return {name: found.get(name, mean) for name in names}


def _read_prior(path: Path, names: list[str]) -> dict[str, float]:
    """Columns ``source`` and ``gain`` (or ``expected_gain``) of a table."""
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


def _print(found: Search, looks: RungRunner, rungs: list[str], budget: str, as_json: bool) -> None:
    from transfer_meta.cli.shared.console import print_json, print_table
    from transfer_meta.records import relative_gain

    best = found.best
    records: list[dict[str, Any]] = []
    for place, c in enumerate(found.candidates, start=1):
        score, alone = looks.test_scores(c.source)
        gain = None if score is None or alone is None else relative_gain(score, alone)
        gains = dict(zip(rungs, c.gains, strict=False))
        records.append(
            {
                "rank": place,
                "source": c.source,
                "state": c.state,
                "prior": c.prior,
                "expected_gain": c.expected,
                "gains": gains,
                "test_score": score,
                "test_gain": gain,
            }
        )
    helps = best.expected > 0
    if as_json:
        print_json(
            {
                "target": looks.target,
                "best": best.source,
                "helps": helps,
                "budget": budget,
                "spent_runs": found.spent,
                "test_score_alone": looks.test_scores("")[1],
                "sources": records,
            }
        )
        return
    verdict = f"{best.source} is the best source" if helps else "no source is expected to help"
    on_test = next(record["test_gain"] for record in records if record["source"] == best.source)
    if helps and on_test is not None and on_test <= 0:
        verdict = f"{best.source} did best on the dev split, but on the test split it gains nothing"
    if not any(c.gains for c in found.candidates):
        verdict = "no source was run; the same command goes on"
    print(f"{looks.target}: {verdict}; {found.spent:g} runs spent ({budget})\n")
    print_table(
        ["", "source", "prior", *rungs, "expected gain", "test gain", "state"],
        [
            [
                r["rank"],
                r["source"],
                r["prior"],
                *(r["gains"].get(name) for name in rungs),
                r["expected_gain"],
                r["test_gain"],
                r["state"],
            ]
            for r in records
        ],
    )
