"""Map a function over items, with joblib on this machine or with Ray on a cluster."""

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
Processed = TypeVar("Processed")

MAP_ENGINES = ("local", "ray")
RESTARTS = 3
"""How often Ray restarts a worker, and repeats its item, after its node was lost."""
REQUIRED_MODULES = {"local": {}, "ray": {"ray": "ray", "sqlalchemy": "harness"}}
"""Modules that an engine imports, with the extra that installs each."""


@dataclass(frozen=True, kw_only=True)
class Parallelism:
    """Where items are processed, and how many at once.

    Parameters
    ----------
    workers : int or None
        Number of worker processes; None for this process alone, or with Ray one per CPU of the cluster.
    engine : str
        ``local``, or ``ray`` for a cluster.
    address : str or None
        Cluster address for `transfer_meta.runs.ray_nodes.connect_ray`; None for ``auto``.

    Raises
    ------
    InputError
        The engine is unknown or not installed, there is an address without Ray, or fewer than one worker.

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
        for module, extra in REQUIRED_MODULES[self.engine].items():
            if find_spec(module) is None:
                raise InputError(
                    f"--engine {self.engine} needs {module}, which is not installed "
                    f"(pip install 'transfer-meta[{extra}]')"
                )

    def stay_here(self, items: int) -> bool:
        """Return whether a number of items is processed by this process alone."""
        return self.engine == "local" and min(self.workers or 1, items) <= 1


def each(
    function: Callable[[Item], Processed],
    items: Sequence[Item],
    parallelism: Parallelism,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Processed]:
    """Yield the results of a function, in the order of the items.

    Parameters
    ----------
    function : callable
        Importable by its name, as workers import it.  What it caches with `functools.lru_cache` is loaded once per
        worker process.
    items : sequence
        Arguments; they and the results must be picklable.
    parallelism : Parallelism
        Within this process alone nothing is pickled, and every result is computed when it is requested.
    on_progress : callable
        Called before each result with the numbers of results so far and of items.

    Raises
    ------
    InputError
        The function raised it (the workers are then ended, as by Ctrl-C), no cluster answers at the address, or a
        node has other versions of the packages that affect results.

    Notes
    -----
    A worker process has fewer threads than this one, and the order of a sum depends on the number of threads:
    outputs of an encoder may differ from those of one process in their last digits.

    Examples
    --------
    >>> list(each(abs, [-1, 2, -3], Parallelism()))
    [1, 2, 3]
    """
    results: AbstractContextManager[Iterator[Processed]]
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
    function: Callable[[Item], Processed], items: Sequence[Item], workers: int
) -> Iterator[Iterator[Processed]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    parallel = Parallel(n_jobs=workers, backend="loky", return_as="generator")
    with warnings.catch_warnings():
        # joblib replaces a process whose memory has grown much, as with an encoder.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        try:
            with contextlib.closing(parallel(delayed(function)(item) for item in items)) as results:
                yield results
        finally:
            # joblib would keep the workers, and what they have loaded, for the next call.
            get_reusable_executor().shutdown(kill_workers=True)


@contextlib.contextmanager
def _ray(
    function: Callable[[Item], Processed], items: Sequence[Item], workers: int | None, address: str
) -> Iterator[Iterator[Processed]]:
    # joblib's Ray backend cannot yield results as they arrive.
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
        # `ActorPool.map` leaves an actor idle until all items before its own are done.
        arriving = ActorPool(actors).map_unordered(
            lambda actor, item: actor.work.remote(shared, *item), list(enumerate(items))
        )
        yield _in_order(arriving, len(items))
    finally:
        ray.shutdown()


class _Worker:
    """Worker process on a node."""

    def work(
        self, function: Callable[[Item], Processed], index: int, item: Item
    ) -> tuple[int, Processed | InputError]:
        # Ray would wrap the error in one of its own, with a traceback as its message.
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
