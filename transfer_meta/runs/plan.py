"""Compile a plan to its runs; all problems are reported at once.

A run is a `Stage`; the stage that it starts from is a run of its own, so the runs form a directed acyclic graph.
Equal stages have equal keys and are run once: the single-task run of a task is the baseline of all its transfers
and, where the settings agree, the source that others start from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from transfer_meta.encoding.encoding_settings import MEAN_HEAD, check_long_inputs
from transfer_meta.encoding.model_kinds import ENCODER
from transfer_meta.errors import GatheredInputError, InputError, RunFailed, unknown
from transfer_meta.records import Example, TaskType
from transfer_meta.runs.engine import TaskSource
from transfer_meta.runs.long_examples import CHARACTERS_PER_TOKEN, LongExamples
from transfer_meta.runs.methods import WITHOUT_SOURCES, stage_of
from transfer_meta.runs.plan_file import (
    AUTO_HEAD,
    RESERVED_IN_NAMES,
    PlanFile,
    PlanSource,
    Regime,
    read_plan_file,
)
from transfer_meta.runs.plan_sets import in_order, left_out_note, untied
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.tasks.label_kinds import check_has_head
from transfer_meta.tasks.source_sets import join_sources
from transfer_meta.tasks.subsets import dev_size
from transfer_meta.training.method_settings import BY_LABELS, KL_TIE, TYPES_WITH_COUNTED_LABELS
from transfer_meta.training.stage import Stage
from transfer_meta.training.task_metrics import TASK_METRICS

_SENTENCE = "The committee published its report on Monday, three weeks after the first results had become known."
"""Tells how many characters a tokenizer's tokens have on average."""


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
    kind : str
        One of `transfer_meta.encoding.model_kinds.MODEL_KINDS`.
    characters_per_token : float
        Of an English text.
    """

    revision: str
    weights: int
    embeddings: int
    head: str = MEAN_HEAD
    kind: str = ENCODER
    characters_per_token: float = CHARACTERS_PER_TOKEN


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
    type : TaskType
    labels : tuple of str
        Classes or tags, where the plan depends on them; else empty.
    """

    source: TaskSource
    train: int
    test: int
    characters: float
    type: TaskType
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the task in the plan."""
        return self.source.name

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
    if file.sets.top:
        found.append(
            f"sets = 'top-{file.sets.top}' needs the recommender's order (expected lists of names, or the plan "
            "that transfer_meta.recommend_sets returns)"
        )
    notes: list[str] = []
    encoder, problem = None, ""
    try:
        encoder = (encoder_facts or read_encoder_facts)(file.encoder)
    except (InputError, RunFailed) as error:
        problem = str(error)
    needs_head = encoder is not None and encoder.kind == ENCODER
    tasks = _read_tasks(
        file,
        found,
        notes,
        needs_test=needs_test,
        needs_head=needs_head,
        characters_per_token=encoder.characters_per_token if encoder else CHARACTERS_PER_TOKEN,
    )
    if problem:
        found.append(problem)
    found += _too_few(file, tasks)
    notes += left_out_note(file.targets, file.sources, file.sets)
    plan = None
    if encoder is not None and not found:
        plan = replace(compile_plan(file, tasks, encoder), notes=tuple(notes))
        alone = set(WITHOUT_SOURCES)
        if set(file.methods) - alone and {run.method for run in plan.runs} <= alone:
            found.append("no pair of different tasks is left for the methods of the plan")
        stages = plan.stages.values()
        found += dict.fromkeys(
            p for s in stages for p in (*s.problems(), *s.problems_of_kind(encoder.kind))
        )
        found += untied(stages, tasks)
    if plan is None or found or problems:
        raise _gathered([*(f"{file.path.name}: {line}" for line in found), *problems])
    return plan


def read_encoder_facts(name: str) -> EncoderFacts:
    """Load an encoder and return its properties."""
    from transfer_meta.encoding.encoders import encoder_revision
    from transfer_meta.encoding.language_model import load_pretrained, model_kind
    from transfer_meta.encoding.transformers_head import default_head

    revision, kind = encoder_revision(name), model_kind(name)
    loaded = load_pretrained(name)
    sizes = {key: weights.numel() for key, weights in loaded.model.named_parameters()}
    embeddings = sum(size for key, size in sizes.items() if "embedding" in key)
    head = default_head(name) if kind == ENCODER else MEAN_HEAD
    tokens = len(loaded.tokenizer(_SENTENCE, add_special_tokens=False)["input_ids"])
    characters = len(_SENTENCE) / tokens if tokens else CHARACTERS_PER_TOKEN
    return EncoderFacts(revision, sum(sizes.values()), embeddings, head, kind, characters)


def label(stage: Stage) -> tuple[str, str]:
    """Return method and source of a stage, as written in outcomes.

    Examples
    --------
    >>> first = Stage("mnli", seed=0, encoder="offline")
    >>> label(Stage("rte", seed=0, encoder="offline", start=first))
    ('intermediate', 'mnli')
    """
    if stage.sources:
        return "soft" if stage.soft else "multitask", join_sources(stage.sources, ordered=False)
    if stage.curriculum and not stage.start:
        return "curriculum", f"{stage.curriculum.order}-{stage.curriculum.difficulty}"
    names = [earlier.target for earlier in stage.chain[:-1]]
    if not names:
        return "single", ""
    return "intermediate" if len(names) == 1 else "chain", join_sources(names, ordered=True)


def _gathered(lines: list[str]) -> InputError:
    if len(lines) == 1:
        return InputError(lines[0])
    return GatheredInputError(lines, consequence="nothing was started")


def _read_tasks(
    file: PlanFile,
    problems: list[str],
    notes: list[str],
    *,
    needs_test: bool,
    needs_head: bool,
    characters_per_token: float,
) -> dict[str, TaskFacts]:
    """Read every task of the plan completely, for its size and its digest.

    A source needs a train split alone, a target a test or dev split beside it.
    """
    found = {}
    for name in dict.fromkeys([*file.targets, *file.source_tasks]):
        source = TaskSource(name, file.tasks[name])
        try:
            task = source.load()
            is_target = name in file.targets
            is_tested = is_target and (needs_test or "test" in task.splits)
            if not task.is_labelled:
                raise InputError("it has no labels")
            if needs_head:
                check_has_head(task.type)
                check_long_inputs(file.training.long_inputs, task.type)
            for split in ("train", "test")[: 1 + is_tested]:
                if split not in task.splits:
                    splits = ", ".join(task.splits) or "none"
                    lacking = "neither a test nor a dev split" if split == "test" else "no train split"
                    raise InputError(f"it has {lacking} with labels (it has: {splits})")
            train = characters = 0
            long = LongExamples(task.type, file.training, characters=characters_per_token)
            for example in task.examples("train"):
                train += 1
                characters += _length(example)
                long.add(example)
            test = sum(1 for _ in task.examples("test")) if is_tested else 0
            if not train or (is_tested and not test):
                raise InputError(f"its {'test' if train else 'train'} split is empty")
            by_labels = file.curriculum is not None and file.curriculum.difficulty == BY_LABELS
            if by_labels and task.type not in TYPES_WITH_COUNTED_LABELS:
                raise InputError(
                    f"difficulty 'labels' with a {task.type} task (expected length or loss)"
                )
            metric = file.metrics.get(name)
            if metric is not None and metric not in TASK_METRICS[task.type]:
                raise unknown("metric", metric, TASK_METRICS[task.type])
        except InputError as error:
            problems.append(f"task '{name}': {error}")
            continue
        notes += [f"{name}: {note}" for note in (*task.reading_notes(), long.note()) if note]
        if is_target and not (is_tested and task.test_from == "test"):
            split = (
                f"its {task.test_from} split" if is_tested else "examples held out of its train split"
            )
            notes.append(f"{name}: no test split with labels; it is scored on {split}")
        source = replace(source, digest=task.digest)
        needs_labels = file.order == "labels" or ("soft" in file.methods and file.soft.tie == KL_TIE)
        labels = task.labels("train") if needs_labels else ()
        found[name] = TaskFacts(source, train, test, characters / train, task.type, labels)
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
    as_source = set(file.source_tasks)
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

    def examples(wanted: int | None, name: str) -> int | None:
        there = tasks[name].training_examples(file.training.dev_examples)
        return None if wanted is None else min(wanted, there)

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
                if file.curriculum is not None:
                    baseline = replace(baseline, curriculum=file.curriculum)
                    yield baseline, regime
                for method in file.methods:
                    for group in file.groups_of(target, method):
                        if method == "chain":
                            group = in_order(group, file.order, tasks)
                        stage = stage_of(
                            method,
                            baseline,
                            sources=group,
                            source_examples=[examples(regime.source, name) for name in group],
                            mixing=file.mixing,
                            soft=file.soft,
                        )
                        yield stage, regime


def _baseline(stage: Stage) -> Stage | None:
    """Return what a stage is compared with: the same without sources, or without its curriculum, or nothing."""
    alone = replace(stage, start=None, sources=(), source_examples=None, mixing=None, soft=None)
    if alone != stage:
        return alone
    return replace(stage, curriculum=None) if stage.curriculum else None


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
        if stage.prerequisite is not None:
            of_start = Regime(regime.source, regime.source) if stage.start else regime
            start_key = add(stage.prerequisite, of_start)
        method, source = label(stage)
        baseline = _baseline(stage)
        is_alone = stage.start is None and not stage.sources
        stages[key] = stage
        runs[key] = NewRun(
            key=key,
            method=method,
            source=source,
            target=stage.target,
            regime=str(regime).rpartition("-")[2] if is_alone else str(regime),
            seed=stage.seed,
            encoder=stage.encoder,
            encoder_revision=encoder.revision,
            settings=stage.to_dict(),
            task_digests={name: digests[name] for name in stage.all_tasks},
            start_key=start_key,
            baseline_key=baseline.key(digests, encoder.revision) if baseline else None,
        )
        return key

    for stage, regime in _outcomes(file, tasks):
        add(stage, regime)
    return Plan(file, tuple(runs.values()), stages, tasks, encoder)
