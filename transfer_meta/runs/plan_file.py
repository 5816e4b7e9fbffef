"""Read a ``plan.toml`` and check what can be checked without the tasks' data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from transfer_meta.encoding.encoding_settings import HEADS
from transfer_meta.errors import InputError, first_line, nearest, unknown
from transfer_meta.readers.checked_files import read_bounded
from transfer_meta.readers.opening import shown
from transfer_meta.runs.methods import SIDE_BY_SIDE, TRANSFER_METHODS, WITHOUT_SOURCES
from transfer_meta.runs.plan_sets import (
    CHAIN_ORDERS,
    GIVEN_ORDER,
    SourceGroup,
    SourceSets,
    check_group,
    parse_sets,
)
from transfer_meta.tasks.demo import expand_demo
from transfer_meta.tasks.hub import is_hub_address
from transfer_meta.training.method_settings import Curriculum, Mixing, SoftSharing
from transfer_meta.training.training_settings import TrainingSettings

PlanSource = Path | str | Mapping[str, Any]
"""A plan: the path of a TOML file, or a mapping of the same structure."""
MAX_RUNS = 1_000_000
"""Largest number of runs of a plan; all pairs of 100 tasks with three seeds are 30,000."""
_MAX_BYTES = 2**20
_MAX_SEED = 2**31 - 1
"""Largest number that all stores keep."""
_MAX_UNKNOWN = 10
"""Tasks without an address that are reported, each with the nearest name."""
_REGIME = re.compile(r"(full|[1-9][0-9]{0,9})-(full|[1-9][0-9]{0,9})")
AUTO_HEAD = "auto"
RESERVED_IN_NAMES = re.compile(r"[>+|\x00-\x1f]")
"""Separators of several tasks in the source column of outcomes, and control characters."""


class Regime(NamedTuple):
    """Training examples of each source and of the target; None for all.

    Examples
    --------
    >>> str(Regime(1000, None))
    '1000-full'
    """

    source: int | None
    target: int | None

    def __str__(self) -> str:
        return "-".join("full" if n is None else str(n) for n in self)


def parse_regime(text: str) -> Regime:
    """Return the regime written as ``SOURCE-TARGET``.

    Raises
    ------
    InputError
        The text is no regime.
    """
    match = _REGIME.fullmatch(text)
    if match is None:
        raise InputError(
            f"regime '{shown(text)}' (expected SOURCE-TARGET, each a number of examples or full: 1000-200)"
        )
    return Regime(*(None if n == "full" else int(n) for n in match.groups()))


@dataclass(frozen=True)
class PlanFile:
    """Settings of a plan.

    Parameters
    ----------
    path : Path
        The file; its name precedes messages.
    tasks : mapping of str to str
        Address of every task, by name: an absolute path or ``hf:NAME``.
    sources : tuple of tuple of str
        Groups of source tasks; several tasks make a chain (in that order) or a multi-task mixture.
    sets : SourceSets
        More groups, of several sources each; of a mixture the order is that of the names.
    order : {"given", "length", "labels", "size"}
        Order of the sources of each chain, see `transfer_meta.runs.plan_sets.in_order`.
    targets : tuple of str
        Tasks to evaluate.
    exclude : frozenset of frozenset of str
        Pairs of tasks that are not combined, in either direction.
    methods, regimes, seeds, encoder, training, mixing, soft
        Every target is trained with every source group in each of these ways.
    curriculum : Curriculum or None
        Order of the examples of all runs but the baselines of the targets alone, which are there both with it and
        without.
    head : {"auto", "mean", "transformers"}
        Task head, see `transfer_meta.training.stage.Stage`; ``auto`` is the one that suits the encoder
        (`transfer_meta.encoding.transformers_head.default_head`).
    allow_fewer : bool
        Use all examples of a task that has fewer than a regime asks for; otherwise that is an error.
    metrics : mapping of str to str
        Metric to use as a task's score, if other than the main metric of the task's type.
    """

    path: Path
    tasks: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[SourceGroup, ...] = ()
    sets: SourceSets = field(default_factory=SourceSets)
    order: str = GIVEN_ORDER
    targets: tuple[str, ...] = ()
    exclude: frozenset[frozenset[str]] = frozenset()
    methods: tuple[str, ...] = ("intermediate",)
    regimes: tuple[Regime, ...] = (Regime(None, None),)
    seeds: tuple[int, ...] = (0,)
    encoder: str = "offline"
    head: str = AUTO_HEAD
    training: TrainingSettings = field(default_factory=TrainingSettings)
    mixing: Mixing = field(default_factory=Mixing)
    soft: SoftSharing = field(default_factory=SoftSharing)
    curriculum: Curriculum | None = None
    allow_fewer: bool = False
    metrics: Mapping[str, str] = field(default_factory=dict)

    def check_size(self) -> None:
        """Raise an InputError, before any task is read or any run is made, for more than `MAX_RUNS` runs."""
        sets = self.sets.most(len(self.sources))
        transfers = (len(self.sources) + sets) * len(set(self.methods) - set(WITHOUT_SOURCES))
        alone = 1 + (self.curriculum is not None)
        runs = len(self.seeds) * len(self.regimes) * len(self.targets) * (alone + transfers)
        if runs > MAX_RUNS:
            raise InputError(
                f"{self.path.name}: about {runs:,} runs: {len(self.targets)} targets, {len(self.sources)} sources,"
                f"{f' {sets:,} sets,' if sets else ''}"
                f" {len(self.methods)} methods, {len(self.regimes)} regimes, {len(self.seeds)} seeds"
                f" (expected at most {MAX_RUNS:,})"
            )

    @property
    def source_tasks(self) -> tuple[str, ...]:
        """Names of all sources, each once."""
        return tuple(dict.fromkeys([*(n for group in self.sources for n in group), *self.sets.tasks]))

    def groups_of(self, target: str, method: str) -> Iterator[SourceGroup]:
        """Yield the groups of sources that a target is trained with by a method, each mixture once."""
        if method in WITHOUT_SOURCES:
            return
        is_mixture = method in SIDE_BY_SIDE and not self._weights_differ(method)
        known: set[frozenset[str]] = set()
        for is_set, groups in ((False, self.sources), (True, self.sets.of(target, self.sources))):
            for group in groups:
                is_fit = {"intermediate": len(group) == 1, "chain": len(group) > 1}.get(method, True)
                if not is_fit or any(n == target or {n, target} in self.exclude for n in group):
                    continue
                if is_mixture and frozenset(group) in known:
                    continue
                known.add(frozenset(group))
                # A list among the sources is older than sets, and stored runs have its order.
                yield tuple(sorted(group)) if is_mixture and is_set else group

    def _weights_differ(self, method: str) -> bool:
        """Return whether the order of the sources of a mixture says which weight each has."""
        return method == "multitask" and len(set(self.mixing.weights[1:])) > 1


def plan_data(plan: PlanSource) -> tuple[Path, dict[str, Any]]:
    """Return the path of a plan and what it holds, unchecked; ``plan`` stands for the path of a mapping."""
    if isinstance(plan, Mapping):
        return Path("plan"), {str(key): _toml_values(value) for key, value in plan.items()}
    return Path(plan), _read_toml(Path(plan))


def read_plan_file(plan: PlanSource, problems: list[str], *, tasks_alone: bool = False) -> PlanFile:
    """Read a plan; problems are appended to `problems`, one line each, and the values concerned left out.

    Parameters
    ----------
    plan : path or mapping
        A TOML file, or a mapping of the same structure; its relative paths start from the current folder.
    problems : list of str
    tasks_alone : bool
        Allow a plan without sources and targets, of which the tasks, the encoder and the training are used.

    Raises
    ------
    InputError
        The file cannot be read or is not TOML.
    """
    path, data = plan_data(plan)
    _check_numbers(path, data)
    keys = ("tasks_folder", "grid", *(f.name for f in fields(PlanFile) if f.name != "path"))
    problems += [str(unknown("key", key, keys)) for key in data if key not in keys]
    read = _Reader(data, problems)
    tasks = _tasks(read, path.parent)
    given = {"grid", "sources", "targets", "sets"} & data.keys()
    needs_pairs = bool(given) or not tasks_alone
    sets = _sets(read, tuple(tasks))
    sources, targets = _pairs(read, tuple(tasks)) if needs_pairs else ((), ())
    default = PlanFile(path)
    file = PlanFile(
        path=path,
        tasks=tasks,
        sources=sources,
        sets=sets,
        order=_order(read),
        targets=targets,
        exclude=_exclude(read),
        methods=_methods(read, sources) or default.methods if needs_pairs else default.methods,
        regimes=_regimes(read) or default.regimes,
        seeds=_seeds(read),
        encoder=read.one("encoder", str, default.encoder),
        head=_head(read),
        training=_settings(read, "training", TrainingSettings),
        mixing=_settings(read, "mixing", Mixing),
        soft=_settings(read, "soft", SoftSharing),
        curriculum=_settings(read, "curriculum", Curriculum) if "curriculum" in data else None,
        allow_fewer=read.one("allow_fewer", bool, False),
        metrics=read.table("metrics"),
    )
    problems += _without_effect(file)
    return file


def _without_effect(file: PlanFile) -> Iterator[str]:
    """Yield a line for each setting that has no effect with the plan's methods, or lacks another one."""
    methods = set(file.methods)
    if "curriculum" in methods and file.curriculum is None:
        yield "method 'curriculum' needs a table [curriculum] (for example with order = 'naive')"
    if file.curriculum is not None and methods == {"single"}:
        yield "[curriculum] has no effect with method 'single' alone (expected 'curriculum' or one with sources)"
    if file.soft != SoftSharing() and "soft" not in methods:
        yield "[soft] has no effect without method 'soft'"
    if file.order != GIVEN_ORDER and "chain" not in methods:
        yield f"order = '{file.order}' has no effect without method 'chain'"
    if file.sets and not methods & {"chain", *SIDE_BY_SIDE}:
        yield f"sets has no effect without one of the methods chain, {', '.join(SIDE_BY_SIDE)}"
    if (file.sets.pairs or file.sets.top) and sum(len(group) == 1 for group in file.sources) < 2:
        yield "sets of the sources need at least two of them (expected sources = [...] or a grid)"


class _Reader:
    """Typed access to the values of a plan; problems are gathered."""

    def __init__(self, data: Mapping[str, Any], problems: list[str]) -> None:
        self.data = data
        self.problems = problems

    def one(self, key: str, kind: type, default: Any) -> Any:
        value = self.data.get(key, default)
        if type(value) is not kind:
            self.problems.append(f"{key} = {_brief(value)} (expected {_NAMES[kind]})")
            return default
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of distinct strings."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            self.problems.append(f"{key} = {_brief(value)} (expected a list of names)")
            return ()
        self.once(key, value)
        return tuple(dict.fromkeys(value))

    def table(self, key: str) -> dict[str, str]:
        """Return a table of strings."""
        value = self.data.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            self.problems.append(f'[{key}] (expected lines NAME = "...")')
            return {}
        return value

    def once(self, key: str, values: Sequence[Any]) -> None:
        """Report a value that occurs twice."""
        seen = set()
        for value in values:
            hashable = tuple(value) if isinstance(value, list) else value
            if hashable in seen:
                self.problems.append(f"{key}: {_brief(value)} occurs twice")
                return
            seen.add(hashable)


_NAMES = {str: "a name", bool: "true or false", int: "a whole number"}


def _brief(value: Any) -> str:
    return shown(repr(value), 200)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bounded(path, most_bytes=_MAX_BYTES).decode("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: {shown(str(error), 400)}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not usable TOML: {first_line(error).split(';')[0]}") from error
    except OSError as error:
        raise InputError(f"cannot read the plan '{path}': {error.strerror}") from error


def _check_numbers(path: Path, value: Any, key: str = "") -> None:
    """Raise an InputError for a whole number of over 64 bits, which cannot be stored, or even printed."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_numbers(path, inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            _check_numbers(path, inner, key)
    elif type(value) is int and value.bit_length() > 63:
        raise InputError(
            f"{path}: {shown(key)}: a number of {value.bit_length()} bits, too large to use"
        )


def _toml_values(value: Any) -> Any:
    """Return a value with the types that TOML knows: lists for other sequences, text for paths."""
    if isinstance(value, Mapping):
        return {str(key): _toml_values(inner) for key, inner in value.items()}
    if isinstance(value, range) and value and (value[-1] - value[0]) // value.step >= MAX_RUNS:
        raise InputError(f"plan: {value} has more numbers than a plan may have runs, {MAX_RUNS:,}")
    if isinstance(value, list | tuple | range):
        return [_toml_values(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _tasks(read: _Reader, folder: Path) -> dict[str, str]:
    """Return addresses by name; relative to ``tasks_folder``, which is relative to the plan's folder."""
    if isinstance(read.data.get("tasks"), list):
        # Every name is the beginning of its files' names.
        tasks = {name: name for name in read.names("tasks")}
    else:
        tasks = read.table("tasks")
    if not tasks:
        read.problems.append('no tasks (expected a table [tasks] with lines NAME = "FILE")')
    base = folder / Path(read.one("tasks_folder", str, "")).expanduser()
    return {
        name: address if is_hub_address(address) else str((base / expand_demo(address)).absolute())
        for name, address in tasks.items()
    }


def _pairs(read: _Reader, tasks: tuple[str, ...]) -> tuple[tuple[SourceGroup, ...], tuple[str, ...]]:
    """Return sources and targets; ``grid`` stands for both."""
    sources: tuple[SourceGroup, ...]
    if "grid" in read.data:
        for key in ("sources", "targets"):
            if key in read.data:
                read.problems.append(f"both grid and {key} (expected grid, or sources and targets)")
        names = tasks if read.data["grid"] == "all" else read.names("grid")
        sources, targets = tuple((name,) for name in names), names
    else:
        sources, targets = _sources(read), read.names("targets")
        if not targets and "targets" not in read.data:
            read.problems.append("no targets (expected targets = [...], or grid = [...] for all pairs)")
    known = set(tasks)
    used = dict.fromkeys([*targets, *(name for group in sources for name in group)])
    if known:
        _report_unknown(read, "", [name for name in used if name not in known], tasks)
    return tuple(g for g in sources if known.issuperset(g)), tuple(t for t in targets if t in known)


def _report_unknown(read: _Reader, where: str, names: Sequence[str], tasks: Collection[str]) -> None:
    """Report names that are not in [tasks]; the first with the nearest one, which takes time."""
    for name in names[:_MAX_UNKNOWN]:
        read.problems.append(f"{where}task '{name}' is not in [tasks]{nearest(name, tasks)}")
    if len(names) > _MAX_UNKNOWN:
        read.problems.append(f"{where}{len(names) - _MAX_UNKNOWN} more tasks are not in [tasks]")


def _sources(read: _Reader) -> tuple[SourceGroup, ...]:
    value = read.data.get("sources", [])
    groups: list[Any] = [None]
    if isinstance(value, list):
        groups = [[v] if isinstance(v, str) else v for v in value]
    if not all(isinstance(g, list) and g and all(isinstance(n, str) and n for n in g) for g in groups):
        read.problems.append(
            f"sources = {_brief(value)} (expected a list of names, or of lists of names for several sources)"
        )
        return ()
    read.once("sources", groups)
    for group in groups:
        try:
            check_group(group, "sources")
        except InputError as error:
            read.problems.append(str(error))
    return tuple(dict.fromkeys(tuple(group) for group in groups))


def _sets(read: _Reader, tasks: tuple[str, ...]) -> SourceSets:
    if "sets" not in read.data:
        return SourceSets()
    try:
        sets = parse_sets(read.data["sets"])
    except InputError as error:
        read.problems.append(str(error))
        return SourceSets()
    used = dict.fromkeys([*sets.of_target, *sets.tasks])
    unknown_names = [name for name in used if name not in tasks] if tasks else []
    _report_unknown(read, "sets: ", unknown_names, tasks)
    return SourceSets() if unknown_names else sets


def _order(read: _Reader) -> str:
    order = read.one("order", str, GIVEN_ORDER)
    if order not in CHAIN_ORDERS:
        read.problems.append(str(unknown("order", order, CHAIN_ORDERS)))
        return GIVEN_ORDER
    return str(order)


def _exclude(read: _Reader) -> frozenset[frozenset[str]]:
    value = read.data.get("exclude", [])
    if not isinstance(value, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(n, str) for n in p) for p in value
    ):
        read.problems.append(f"exclude = {_brief(value)} (expected a list of pairs of names)")
        return frozenset()
    known = read.data.get("tasks", {})
    used = dict.fromkeys(name for pair in value for name in pair)
    _report_unknown(read, "exclude: ", [name for name in used if name not in known], known)
    return frozenset(frozenset(pair) for pair in value)


def _methods(read: _Reader, sources: tuple[SourceGroup, ...]) -> tuple[str, ...]:
    methods = read.names("methods") if "methods" in read.data else PlanFile(Path()).methods
    if not methods and not read.data.get("methods", True):
        read.problems.append(f"no methods (expected some of: {', '.join(TRANSFER_METHODS)})")
    wrong = [m for m in methods if m not in TRANSFER_METHODS]
    read.problems += [str(unknown("method", m, TRANSFER_METHODS)) for m in wrong[:_MAX_UNKNOWN]]
    given = {"sources", "grid", "sets"} & read.data.keys()
    if not given and set(methods) - set(WITHOUT_SOURCES):
        read.problems.append('no sources (expected sources = [...], or methods = ["single"])')
    is_single = sources and all(len(group) == 1 for group in sources)
    if "chain" in methods and is_single and "sets" not in read.data:
        read.problems.append(
            'method \'chain\' needs a list of several tasks among the sources, ["a", "b"], or sets = "pairs"'
        )
    return tuple(m for m in methods if m in TRANSFER_METHODS)


def _head(read: _Reader) -> str:
    head = read.one("head", str, AUTO_HEAD)
    if head not in (AUTO_HEAD, *HEADS):
        read.problems.append(str(unknown("head", head, (AUTO_HEAD, *HEADS))))
        return AUTO_HEAD
    return head


def _regimes(read: _Reader) -> tuple[Regime, ...]:
    found = []
    if read.data.get("regimes") == []:
        read.problems.append('no regimes (expected some such as "1000-200" or "full-full")')
    for text in read.names("regimes"):
        try:
            found.append(parse_regime(text))
        except InputError as error:
            read.problems.append(str(error))
    return tuple(found)


def _seeds(read: _Reader) -> tuple[int, ...]:
    seeds = read.data.get("seeds", [0])
    if not isinstance(seeds, list) or not all(type(s) is int and 0 <= s <= _MAX_SEED for s in seeds):
        read.problems.append(
            f"seeds = {_brief(seeds)} (expected a list of whole numbers of at least 0 and at most {_MAX_SEED})"
        )
        return (0,)
    if not seeds:
        read.problems.append("no seeds (expected at least one: seeds = [0])")
    read.once("seeds", seeds)
    return tuple(dict.fromkeys(seeds)) or (0,)


def _settings(read: _Reader, key: str, kind: Any) -> Any:
    """Return the settings of a table, or the default ones if there are problems."""
    try:
        settings = kind.from_dict(read.data.get(key, {}))
        found = settings.problems()
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        found = [str(error)]
    read.problems += [f"[{key}] {shown(problem, 400)}" for problem in found]
    return kind() if found else settings
