"""Compile a plan to its runs; all problems are reported at once.

A run is a `Stage`; the stage that it starts from is a run of its own, so the runs form a directed acyclic graph.
Equal stages have equal keys and are run once: the single-task run of a task is the baseline of all its transfers
and, where the settings agree, the source that others start from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from transfer_meta.encoding.encoding_settings import MEAN_HEAD
from transfer_meta.errors import GatheredInputError, InputError, RunFailed, unknown
from transfer_meta.records import Example
from transfer_meta.runs.engine import TaskSource
from transfer_meta.runs.methods import stage_of
from transfer_meta.runs.plan_file import (
    AUTO_HEAD,
    RESERVED_IN_NAMES,
    PlanFile,
    PlanSource,
    Regime,
    read_plan_file,
)
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.tasks.subsets import dev_size
from transfer_meta.training.stage import Stage
from transfer_meta.training.task_metrics import TASK_METRICS


@dataclass(frozen=True)
class EncoderFacts:
    """Properties of an encoder.

    Parameters
    ----------
    revision : str
        Identifies the encoder's version.
    weights, embeddings : int
        Number of parameters in all, and in embedding tables, which take no multiplications.
    head : str
        Task head that suits it, see `transfer_meta.encoding.transformers_head.default_head`.
    """

    revision: str
    weights: int
    embeddings: int
    head: str = MEAN_HEAD


@dataclass(frozen=True)
class TaskFacts:
    """Properties of a task.

    Parameters
    ----------
    source : TaskSource
        Address and digest.
    train, test : int
        Number of examples in each split; test is 0 for a task that is no target.
    characters : float
        Mean length of a training example, in characters.
    """

    source: TaskSource
    train: int
    test: int
    characters: float

    def training_examples(self, dev_examples: int) -> int:
        """Return the number of training examples beside the dev split."""
        return self.train - dev_size(self.train, dev_examples)


@dataclass(frozen=True)
class Plan:
    """The runs of a plan.

    Parameters
    ----------
    file : PlanFile
        Settings of the plan.
    runs : tuple of NewRun
        Rows for the store; each after the one it starts from.
    stages : mapping of str to Stage
        Stage of every run, by key.
    tasks : mapping of str to TaskFacts
    encoder : EncoderFacts
    notes : tuple of str
        How the tasks were read: rows left out, targets without a test split.
    """

    file: PlanFile
    runs: tuple[NewRun, ...]
    stages: Mapping[str, Stage]
    tasks: Mapping[str, TaskFacts]
    encoder: EncoderFacts
    notes: tuple[str, ...] = ()

    @property
    def task_sources(self) -> dict[str, TaskSource]:
        """Address and digest of every task."""
        return {name: facts.source for name, facts in self.tasks.items()}


def load_plan(
    plan: PlanSource,
    *,
    problems: Sequence[str] = (),
    encoder_facts: Callable[[str], EncoderFacts] | None = None,
) -> Plan:
    """Read a plan file and make the plan.

    Parameters
    ----------
    plan : path or mapping
        The TOML file, or a mapping of the same structure.
    problems, encoder_facts
        See `make_plan`.

    Raises
    ------
    InputError
        With all problems, one a line.
    """
    found: list[str] = []
    try:
        file = read_plan_file(plan, found)
    except InputError as error:
        raise _gathered([*found, str(error), *problems]) from None
    return make_plan(file, found=found, problems=problems, encoder_facts=encoder_facts)


def make_plan(
    file: PlanFile,
    *,
    found: Sequence[str] = (),
    problems: Sequence[str] = (),
    encoder_facts: Callable[[str], EncoderFacts] | None = None,
    needs_test: bool = True,
) -> Plan:
    """Read a plan's tasks and its encoder's configuration, and compile its runs.

    Parameters
    ----------
    file : PlanFile
        Settings of the plan.
    found : sequence of str
        Problems of the plan found so far.
    problems : sequence of str
        Problems found elsewhere, to be reported together with those of the plan.
    encoder_facts : callable or None
        Returns the properties of an encoder by its name; None for `read_encoder_facts`.
    needs_test : bool
        Whether a target without a test or dev split is a problem; else its runs are scored on examples held out of
        its training split.

    Raises
    ------
    InputError
        With all problems, one a line.
    """
    file.check_size()
    found = list(found)
    found += [
        f"task name {name!r} (expected none of > + |)"
        for name in file.tasks
        if not name or RESERVED_IN_NAMES.search(name)
    ]
    notes: list[str] = []
    tasks = _read_tasks(file, found, notes, needs_test=needs_test)
    encoder = None
    try:
        encoder = (encoder_facts or read_encoder_facts)(file.encoder)
    except (InputError, RunFailed) as error:
        found.append(str(error))
    found += _too_few(file, tasks)
    plan = None
    if encoder is not None and not found:
        plan = replace(compile_plan(file, tasks, encoder), notes=tuple(notes))
        methods = {run.method for run in plan.runs}
        if set(file.methods) != {"single"} and methods <= {"single"}:
            found.append("no pair of different tasks is left for the methods of the plan")
        found += dict.fromkeys(p for stage in plan.stages.values() for p in stage.problems())
    if plan is None or found or problems:
        raise _gathered([*(f"{file.path.name}: {line}" for line in found), *problems])
    return plan


def read_encoder_facts(name: str) -> EncoderFacts:
    """Load an encoder and return its properties."""
    from transfer_meta.encoding.encoders import encoder_revision, load_encoder
    from transfer_meta.encoding.transformers_head import default_head

    revision = encoder_revision(name)
    model = load_encoder(name).model
    sizes = {key: weights.numel() for key, weights in model.named_parameters()}
    embeddings = sum(size for key, size in sizes.items() if "embedding" in key)
    return EncoderFacts(revision, sum(sizes.values()), embeddings, default_head(name))


def label(stage: Stage) -> tuple[str, str]:
    """Return method and source of a stage, as written in outcomes.

    Examples
    --------
    >>> first = Stage("mnli", seed=0, encoder="offline")
    >>> label(Stage("rte", seed=0, encoder="offline", start=first))
    ('intermediate', 'mnli')
    """
    if stage.sources:
        return "multitask", "+".join(stage.sources)
    names = [earlier.target for earlier in stage.chain[:-1]]
    method = ("single", "intermediate")[len(names)] if len(names) < 2 else "chain"
    return method, ">".join(names)


def _gathered(lines: list[str]) -> InputError:
    if len(lines) == 1:
        return InputError(lines[0])
    return GatheredInputError(lines, consequence="nothing was started")


def _read_tasks(
    file: PlanFile, problems: list[str], notes: list[str], *, needs_test: bool
) -> dict[str, TaskFacts]:
    """Read every task of the plan completely, for its size and its digest.

    A source needs a train split alone, a target a test or dev split beside it.
    """
    used = [*file.targets, *(name for group in file.sources for name in group)]
    found = {}
    for name in dict.fromkeys(used):
        source = TaskSource(name, file.tasks[name])
        try:
            task = source.load()
            is_target = name in file.targets
            is_tested = is_target and (needs_test or "test" in task.splits)
            if not task.is_labelled:
                raise InputError("it has no labels")
            for split in ("train", "test")[: 1 + is_tested]:
                if split not in task.splits:
                    splits = ", ".join(task.splits) or "none"
                    lacking = "neither a test nor a dev split" if split == "test" else "no train split"
                    raise InputError(f"it has {lacking} with labels (it has: {splits})")
            train = characters = 0
            for example in task.examples("train"):
                train += 1
                characters += _length(example)
            test = sum(1 for _ in task.examples("test")) if is_tested else 0
            if not train or (is_tested and not test):
                raise InputError(f"its {'test' if train else 'train'} split is empty")
            metric = file.metrics.get(name)
            if metric is not None and metric not in TASK_METRICS[task.type]:
                raise unknown("metric", metric, TASK_METRICS[task.type])
        except InputError as error:
            problems.append(f"task '{name}': {error}")
            continue
        notes += [f"{name}: {note}" for note in task.reading_notes()]
        if is_target and not (is_tested and task.test_from == "test"):
            split = (
                f"its {task.test_from} split" if is_tested else "examples held out of its train split"
            )
            notes.append(f"{name}: no test split with labels; it is scored on {split}")
        source = replace(source, digest=task.digest)
        found[name] = TaskFacts(source, train, test, characters / train)
    for name in file.metrics:
        if name not in file.tasks:
            problems.append(str(unknown("task in [metrics]", name, file.tasks)))
    return found


def _length(example: Example) -> int:
    texts = (example.text, example.text_pair or "", *example.choices)
    # The encoder reads the context of multiple choice once for every choice.
    return sum(map(len, texts)) + len(example.text) * max(0, len(example.choices) - 1)


def _too_few(file: PlanFile, tasks: Mapping[str, TaskFacts]) -> Iterator[str]:
    """Yield a line for every number of examples that exceeds what a task has."""
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
    """Yield baselines and transfers with their regimes; seeds outermost, so each completes a grid."""

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
                    head=file.head,
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
    """Return whether a method can use a group of sources."""
    return {"intermediate": len(group) == 1, "chain": len(group) > 1}.get(method, True)


def compile_plan(file: PlanFile, tasks: Mapping[str, TaskFacts], encoder: EncoderFacts) -> Plan:
    """Return the plan with the runs of all outcomes and those that they start from."""
    if file.head == AUTO_HEAD:
        file = replace(file, head=encoder.head)
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

    for stage, regime in _outcomes(file, tasks):
        add(stage, regime)
    return Plan(file, tuple(runs.values()), stages, tasks, encoder)
