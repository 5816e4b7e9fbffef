"""One function over many items, in processes of this machine or on the nodes of a Ray cluster.

joblib and Ray decide what is done where and when; here it is only said how each of them is asked.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_meta.errors import InputError, unknown

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Item = TypeVar("Item")
Result = TypeVar("Result")

MAP_ENGINES = ("local", "ray")
# How often Ray begins a worker, and its item, again after it lost the node.
RESTARTS = 3
# What an engine imports, and the extra that brings it.
_NEEDS = {"local": {}, "ray": {"ray": "ray", "sqlalchemy": "harness"}}


@dataclass(frozen=True, kw_only=True)
class Parallelism:
    """Where items are worked on, and how many at once.

    Parameters
    ----------
    workers
        Worker processes; None: none but this process, or with Ray one a CPU of the cluster.
    engine
        ``local``, or ``ray``: a cluster.
    address
        Of the cluster, for `transfer_meta.runs.ray_nodes.connect_ray`; None: ``auto``.

    Raises
    ------
    InputError
        An unknown engine, one that is not installed, an address without Ray, fewer than one worker.

    Examples
    --------
    >>> Parallelism(engine="rya")
    Traceback (most recent call last):
    transfer_meta.errors.InputError: unknown engine 'rya' (expected one of: local, ray); did you mean 'ray'?
    """

    workers: int | None = None
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in MAP_ENGINES:
            raise unknown("engine", self.engine, MAP_ENGINES)
        if self.address is not None and self.engine != "ray":
            raise InputError("--address is an option of --engine ray")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers {self.workers} (expected at least 1)")
        for module, extra in _NEEDS[self.engine].items():
            if find_spec(module) is None:
                raise InputError(
                    f"--engine {self.engine} needs {module}, which is not installed "
                    f"(pip install 'transfer-meta[{extra}]')"
                )

    def stay_here(self, items: int) -> bool:
        """Whether so many items are worked on by this process alone."""
        return self.engine == "local" and min(self.workers or 1, items) <= 1


def each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    parallelism: Parallelism,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Result]:
    """What a function makes of each item, in the order of the items.

    Parameters
    ----------
    function
        Importable by its name, since workers import it. What it loads with `functools.lru_cache` is loaded once
        a worker process.
    items
        What it is called with; each must be picklable, as must the results.
    parallelism
        Where. Alone in this process nothing is pickled, and an item is not begun before its result is asked for.
    on_progress
        Called with the number of results so far and of items, before each result.

    Raises
    ------
    InputError
        What the function raised; the workers are then ended, as they are by Ctrl-C. Or no cluster is at the
        address, or a node of it has other versions of the packages that decide a result.

    Notes
    -----
    A worker process has fewer threads than this one, and a sum over more threads has another order: numbers of
    an encoder may differ from those of one process in their last digits.

    Examples
    --------
    >>> list(each(abs, [-1, 2, -3], Parallelism()))
    [1, 2, 3]
    """
    results: AbstractContextManager[Iterator[Result]]
    if parallelism.stay_here(len(items)):
        results = contextlib.nullcontext(map(function, items))
    elif parallelism.engine == "local":
        results = _local(function, items, min(parallelism.workers or 1, len(items)))
    else:
        results = _ray(function, items, parallelism.workers, parallelism.address or "auto")
    with results as found:
        for done in range(len(items)):
            on_progress(done, len(items))
            yield next(found)


@contextlib.contextmanager
def _local(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Iterator[Result]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    parallel = Parallel(n_jobs=workers, backend="loky", return_as="generator")
    with warnings.catch_warnings():
        # A process whose memory has grown much, as with an encoder, is replaced between two items.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            with contextlib.closing(parallel(delayed(function)(item) for item in items)) as results:
                yield results
        finally:
            # joblib would keep them, and what they have loaded, for the next call.
            get_reusable_executor().shutdown(kill_workers=True)


@contextlib.contextmanager
def _ray(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None, address: str
) -> Iterator[Iterator[Result]]:
    # Not joblib's Ray backend: it cannot return results as they come.
    import ray
    from ray.util import ActorPool

    from transfer_meta.provenance import package_versions
    from transfer_meta.runs.ray_nodes import Expected, alive_nodes, check_nodes, connect_ray

    connect_ray(address)
    try:
        nodes = alive_nodes()
        check_nodes(nodes, Expected(tuple(package_versions().items())))
        cpus = int(sum(node["Resources"].get("CPU", 0) for node in nodes))
        if (workers or 1) > cpus:
            raise InputError(f"--workers {workers or 1}: the cluster has {cpus} CPUs")
        make: Any = ray.remote(
            num_cpus=1, max_restarts=RESTARTS, max_task_retries=RESTARTS, scheduling_strategy="SPREAD"
        )(_Worker)
        actors = [make.remote() for _ in range(min(workers or cpus, len(items)))]
        shared = ray.put(function)
        # `ActorPool.map` would leave an actor idle until all items before its own are done.
        arriving = ActorPool(actors).map_unordered(
            lambda actor, item: actor.work.remote(shared, *item), list(enumerate(items))
        )
        yield _in_order(arriving, len(items))
    finally:
        ray.shutdown()


class _Worker:
    """A process of a node."""

    def work(
        self, function: Callable[[Item], Result], index: int, item: Item
    ) -> tuple[int, Result | InputError]:
        # Ray would raise another error than this one, with a traceback for its message.
        try:
            return index, function(item)
        except InputError as error:
            return index, error


def _in_order(arriving: Iterator[tuple[int, Any]], total: int) -> Iterator[Any]:
    waiting: dict[int, Any] = {}
    for index in range(total):
        while index not in waiting:
            waiting.update([next(arriving)])
        result = waiting.pop(index)
        if isinstance(result, InputError):
            raise result
        yield result
