"""A Ray cluster of several nodes on this machine, for tests: small object stores, no dashboard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Ray takes no less.
OBJECT_STORE_BYTES = 80_000_000


@contextmanager
def running_cluster(nodes: int = 1, *, cpus_of_head: int = 1) -> Iterator[Any]:
    """A head and `nodes` further nodes of one CPU each (`ray.cluster_utils.Cluster`)."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", OMP_NUM_THREADS="1")
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": OBJECT_STORE_BYTES, "env_vars": {"PYTHONPATH": python_path()}}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": cpus_of_head, "include_dashboard": False, **small},
    )
    try:
        for _ in range(nodes):
            add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any, **options: Any) -> Any:
    """A further node."""
    environment = {"PYTHONPATH": python_path(), **options.pop("env_vars", {})}
    settings = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES, **options}
    return cluster.add_node(env_vars=environment, **settings)


def python_path(*first: str | Path) -> str:
    """Where the workers find the package and the tests' helpers."""
    return os.pathsep.join(map(str, (*first, ROOT, ROOT / "tests")))
