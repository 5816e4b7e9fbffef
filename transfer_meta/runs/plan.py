"""From a ``plan.toml`` to the runs it asks for: every problem found at once, every run there once.

A run is a `Stage`; the stage that another starts from is a run of its own, so the runs form a directed
acyclic graph.  Equal stages have equal keys: the single-task run of a task is the baseline of all its
transfers and, where the settings agree, the source that others start from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from transfer_meta.errors import GatheredInputError, InputError, RunFailed, unknown
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.engine import TaskSource
from transfer_meta.runs.methods import stage_of
from transfer_meta.runs.plan_file import PlanFile, Regime, read_plan_file
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.tasks.subsets import MAX_DEV_FRACTION
from transfer_meta.training.stage import Stage

TASK_METRICS = {
    TaskType.CLASSIFICATION: ("accuracy", "macro_f1", "matthews"),
    TaskType.REGRESSION: ("pearson", "spearman"),
    TaskType.TOKEN_CLASSIFICATION: ("entity_f1", "token_accuracy"),
    TaskType.QUESTION_ANSWERING: ("f1", "exact_match"),
    TaskType.MULTIPLE_CHOICE: ("accuracy",),
}


@dataclass(frozen=True)
class EncoderFacts:
    """What a plan needs to know of an encoder.

    Parameters
    ----------
    revision
        What tells its version from any other.
    weights, embeddings
        Numbers in all of it, and in its embedding tables, which cost no multiplications.
    """

    revision: str
    weights: int
    embeddings: int


@dataclass(frozen=True)
class TaskFacts:
    """What a plan needs to know of a task.

    Parameters
    ----------
    source
        Where it is read from.
    train, test
        Examples of each split.
    characters
        Mean length of a training example.
    """

    source: TaskSource
    train: int
    test: int
    characters: float

    def training_examples(self, dev_examples: int) -> int:
        """The examples that the dev split leaves for training."""
        return self.train - min(dev_examples, int(self.train * MAX_DEV_FRACTION))


@dataclass(frozen=True)
class Plan:
    """The runs of a plan.

    Parameters
    ----------
    file
        What was asked for.
    runs
        Rows for the store; each after the one it starts from.
    stages
        What each run does, by key.
    tasks, encoder
        What they need.
    """

    file: PlanFile
    runs: tuple[NewRun, ...]
    stages: Mapping[str, Stage]
    tasks: Mapping[str, TaskFacts]
    encoder: EncoderFacts

    @property
    def task_sources(self) -> dict[str, TaskSource]:
        """Where the tasks are read from."""
        return {name: facts.source for name, facts in self.tasks.items()}


def load_plan(
    path: Path,
    *,
    problems: list[str] | None = None,
    encoder_facts: Callable[[str], EncoderFacts] | None = None,
) -> Plan:
    """Read a plan, its tasks and its encoder's configuration.

    Parameters
    ----------
    path
        The TOML file.
    problems
        Problems found elsewhere, to be told together with the plan's own.
    encoder_facts
        Looks an encoder up; None: `transfer_meta.runs.plan.read_encoder_facts`.

    Raises
    ------
    InputError
        With every problem, one a line.
    """
    found: list[str] = []
    try:
        file = read_plan_file(path, found)
    except InputError as error:
        raise _all([*found, str(error)], problems) from None
    tasks = _read_tasks(file, found)
    encoder = None
    try:
        encoder = (encoder_facts or read_encoder_facts)(file.encoder)
    except (InputError, RunFailed) as error:
        found.append(str(error))
    found += _too_few(file, tasks)
    outcomes = list(_outcomes(file, tasks)) if not found else []
    stages = dict.fromkeys(stage for stage, _ in outcomes)
    if not found and set(file.methods) != {"single"} and all(label(s)[0] == "single" for s in stages):
        found.append("no pair of different tasks is left for the methods of the plan")
    found += dict.fromkeys(problem for stage in stages for problem in stage.problems())
    if encoder is None or found or problems:
        raise _all([f"{path.name}: {problem}" for problem in found], problems)
    return _compile(file, outcomes, tasks, encoder)


def read_encoder_facts(name: str) -> EncoderFacts:
    """Load an encoder once, to know that it loads and how large it is."""
    from transfer_meta.encoding.encoders import encoder_revision, load_encoder

    revision = encoder_revision(name)
    model = load_encoder(name).model
    sizes = {key: weights.numel() for key, weights in model.named_parameters()}
    embeddings = sum(size for key, size in sizes.items() if "embedding" in key)
    return EncoderFacts(revision, sum(sizes.values()), embeddings)


def label(stage: Stage) -> tuple[str, str]:
    """Method and source of a stage, as outcomes name them.

    Examples
    --------
    >>> first = Stage("mnli", seed=0, encoder="offline")
    >>> label(Stage("rte", seed=0, encoder="offline", start=first))
    ('intermediate', 'mnli')
    """
    if stage.sources:
        return "multitask", "+".join(stage.sources)
    names = []
    start = stage.start
    while start is not None:
        names.append(start.target)
        start = start.start
    method = ("single", "intermediate")[len(names)] if len(names) < 2 else "chain"
    return method, ">".join(reversed(names))


def _all(found: list[str], others: list[str] | None) -> InputError:
    lines = [*found, *(others or [])]
    if len(lines) == 1:
        return InputError(lines[0])
    return GatheredInputError(lines, consequence="nothing was started")


def _read_tasks(file: PlanFile, problems: list[str]) -> dict[str, TaskFacts]:
    """Look at every task that the plan uses, whole: sizes, digest, readability."""
    used = [*file.targets, *(name for group in file.sources for name in group)]
    found = {}
    for name in dict.fromkeys(used):
        source = TaskSource(name, file.tasks[name])
        try:
            task = source.load()
            for split in ("train", "test"):
                if split not in task.splits:
                    splits = ", ".join(task.splits) or "none"
                    raise InputError(f"it has no {split} split (it has: {splits})")
            train = characters = 0
            for example in task.examples("train"):
                train += 1
                characters += _length(example)
            test = sum(1 for _ in task.examples("test"))
            if not train or not test:
                raise InputError(f"its {'test' if train else 'train'} split is empty")
            metric = file.metrics.get(name)
            if metric is not None and metric not in TASK_METRICS[task.type]:
                raise unknown("metric", metric, TASK_METRICS[task.type])
        except InputError as error:
            problems.append(f"task '{name}': {error}")
            continue
        source = replace(source, digest=task.digest)
        found[name] = TaskFacts(source, train, test, characters / train)
    for name in file.metrics:
        if name not in file.tasks:
            problems.append(str(unknown("task in [metrics]", name, file.tasks)))
    return found


def _length(example: Example) -> int:
    texts = (example.text, example.text_pair or "", *example.choices)
    # The context of multiple choice is read once for every choice.
    return sum(map(len, texts)) + len(example.text) * max(0, len(example.choices) - 1)


def _too_few(file: PlanFile, tasks: Mapping[str, TaskFacts]) -> Iterator[str]:
    """One line for every number of examples that a task does not have."""
    if file.allow_fewer:
        return
    as_source = {name for group in file.sources for name in group}
    wanted: dict[tuple[str, int], None] = {}
    for regime in file.regimes:
        wanted |= {(name, regime.target): None for name in file.targets if regime.target}
        wanted |= {(name, regime.source): None for name in sorted(as_source) if regime.source}
    for name, examples in wanted:
        if name in tasks:
            there = tasks[name].training_examples(file.training.dev_examples)
            if examples > there:
                yield (
                    f"task '{name}' has {there} training examples beside its dev split (a regime asks for "
                    f"{examples}; allow_fewer = true takes what is there)"
                )


def _outcomes(file: PlanFile, tasks: Mapping[str, TaskFacts]) -> Iterator[tuple[Stage, Regime]]:
    """Baselines and transfers with their regimes; the seeds outermost, so that each makes a grid whole."""

    def examples(wanted: int | None, *names: str) -> int | None:
        if wanted is None:
            return None
        return min(wanted, *(tasks[n].training_examples(file.training.dev_examples) for n in names))

    for seed in file.seeds:
        for regime in file.regimes:
            for target in file.targets:
                baseline = Stage(
                    target,
                    seed=seed,
                    encoder=file.encoder,
                    training=file.training,
                    target_examples=examples(regime.target, target),
                )
                yield baseline, regime
                for method in file.methods:
                    for group in file.sources:
                        if method == "single" or not _fits(method, group):
                            continue
                        if any(n == target or {n, target} in file.exclude for n in group):
                            continue
                        stage = stage_of(
                            method,
                            baseline,
                            sources=group,
                            source_examples=examples(regime.source, *group),
                            mixing=file.mixing,
                        )
                        yield stage, regime


def _fits(method: str, group: tuple[str, ...]) -> bool:
    """Whether a method uses a source of so many tasks."""
    return {"intermediate": len(group) == 1, "chain": len(group) > 1}.get(method, True)


def _compile(
    file: PlanFile,
    outcomes: list[tuple[Stage, Regime]],
    tasks: Mapping[str, TaskFacts],
    encoder: EncoderFacts,
) -> Plan:
    digests = {name: facts.source.digest for name, facts in tasks.items()}
    runs: dict[str, NewRun] = {}
    stages: dict[str, Stage] = {}

    def add(stage: Stage, regime: Regime) -> str:
        key = stage.key(digests, encoder.revision)
        if key in runs:
            return key
        start_key = None
        if stage.start is not None:
            of_start = Regime(regime.source, regime.source)
            start_key = add(stage.start, of_start)
        method, source = label(stage)
        baseline = replace(stage, start=None, sources=(), source_examples=None, mixing=None)
        is_baseline = baseline == stage
        stages[key] = stage
        runs[key] = NewRun(
            key=key,
            method=method,
            source=source,
            target=stage.target,
            regime=str(regime).rpartition("-")[2] if is_baseline else str(regime),
            seed=stage.seed,
            encoder=stage.encoder,
            encoder_revision=encoder.revision,
            settings=stage.to_dict(),
            task_digests={name: digests[name] for name in stage.all_tasks},
            start_key=start_key,
            baseline_key=None if is_baseline else baseline.key(digests, encoder.revision),
        )
        return key

    for stage, regime in outcomes:
        add(stage, regime)
    return Plan(file, tuple(runs.values()), stages, tasks, encoder)
