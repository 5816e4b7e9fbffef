"""Nodes of a Ray cluster: connection, resources, and checks of packages, files and checkpoints."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape, glob
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from transfer_meta.errors import InputError, RunFailed, first_line
from transfer_meta.provenance import package_versions
from transfer_meta.runs.checkpoints.open_checkpoints import faults_of

CONNECT_SECONDS = 10.0
CHECK_SECONDS = 300.0
"""Timeout for the check of a node, which may have to import torch."""
KEEP_DEVICES = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
"""Without it Ray hides all devices but those of the first run from a worker process, for all later runs."""


def connect_ray(address: str) -> None:
    """Join a Ray cluster as a driver, or start Ray on this machine.

    Parameters
    ----------
    address : str
        ``auto`` (the cluster that this machine belongs to), HOST:PORT of a cluster's head, or ``local``.

    Raises
    ------
    InputError
        The address is malformed, or no usable cluster answers there.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    host, _, port = address.rpartition(":")
    options: dict[str, Any] = {}
    if address == "local":
        # The dashboard executes code without a password: do not start it unasked.
        options = {"include_dashboard": False, "dashboard_host": "127.0.0.1"}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    elif host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(f"no Ray cluster answers at {address}: {error}") from None
    elif address != "auto":
        raise InputError(f"--address '{address}' (expected auto, local, or HOST:PORT of the head node)")
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {KEEP_DEVICES: "1", "TOKENIZERS_PARALLELISM": "false"}},
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError, RayError, SystemExit) as error:
        reason = first_line(error)
        raise InputError(f"cannot join the Ray cluster at '{address}': {reason}") from None


@dataclass(frozen=True)
class Share:
    """Resources of one run.

    Parameters
    ----------
    cpus : float
        Cores.
    gpus : float or None
        Graphics cards, fractions allowed; None for one if the cluster has any.
    memory_bytes : int or None
        Main memory; None for that of the largest run so far.
    """

    cpus: float = 1.0
    gpus: float | None = None
    memory_bytes: int | None = None

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", f"{self.gpus or 0:g} GPU"]
        if self.memory_bytes:
            parts.append(f"{self.memory_bytes / 1e9:.1f} GB")
        return ", ".join(parts)

    def fits(self, node: Mapping[str, Any]) -> int:
        """Return how many runs fit on a node of `ray.nodes`."""
        needs = (("CPU", self.cpus), ("GPU", self.gpus), ("memory", self.memory_bytes))
        there = node["Resources"]
        return int(min(there.get(name, 0.0) / need for name, need in needs if need))


@dataclass(frozen=True)
class Expected:
    """Properties that a node must share with the driver.

    Parameters
    ----------
    versions : tuple of (str, str)
        Names and versions of Python and of the packages that affect results.
    checkpoints, mark : str
        Address of the checkpoints and content of their probe file; "" to skip the check.
    tasks : tuple of str
        Files of the tasks, or the beginnings of their names.
    encoder : (str, str) or None
        Name and revision; None to skip the check.
    """

    versions: tuple[tuple[str, str], ...]
    checkpoints: str = ""
    mark: str = ""
    tasks: tuple[str, ...] = ()
    encoder: tuple[str, str] | None = None

    def faults(self) -> list[str]:
        """Return what is wrong with the node of this process, one line each."""
        here = package_versions()
        found = [
            f"{name} {here[name] or 'is not installed'} (expected {wanted}, as where the command is run)"
            for name, wanted in self.versions
            if here[name] != wanted
        ]
        if self.checkpoints:
            found += faults_of(self.checkpoints, self.mark)
        found += [f"it does not see '{name}'" for name in self.tasks if not _is_there(name)]
        if self.encoder and not found:
            found += _encoder_faults(*self.encoder)
        return found


def alive_nodes() -> list[dict[str, Any]]:
    """Return the living nodes of the cluster, as described by `ray.nodes`."""
    return [node for node in ray.nodes() if node["Alive"]]


def check_nodes(nodes: Sequence[Mapping[str, Any]], expected: Expected) -> None:
    """Raise an `InputError` that names the faults of every node."""
    check = ray.remote(num_cpus=0, max_retries=0)(Expected.faults)
    asked = {
        check.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(expected): node["NodeManagerHostname"]
        for node in nodes
    }
    ended, late = (
        ray.wait(list(asked), num_returns=len(asked), timeout=CHECK_SECONDS) if asked else ([], [])
    )
    problems = [f"node {asked[r]} does not answer" for r in late]
    for reference in ended:
        try:
            faults = ray.get(reference)
        except RayError as error:
            faults = [failure_reason(error)]
        if faults:
            problems.append(of_node(asked[reference], faults))
    if problems:
        raise InputError("; ".join(problems))


def of_node(name: str, faults: Sequence[str]) -> str:
    """Return the faults of a node in one line."""
    return f"node {name}: {'; '.join(faults)}"


def given_device() -> str:
    """Return the device that Ray assigned to this task."""
    given = [str(gpu) for gpu in ray.get_gpu_ids()]
    if not given:
        return "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"cuda:{visible.split(',').index(given[0]) if visible else given[0]}"


def failure_reason(error: BaseException) -> str:
    """Return an error of a task, or of Ray, in one line."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return f"{type(cause).__name__}: {first_line(cause)}"


def _encoder_faults(name: str, revision: str) -> list[str]:
    from transfer_meta.encoding.encoders import encoder_revision

    try:
        there = encoder_revision(name)
    except (InputError, RunFailed) as error:
        return [str(error)]
    if there != revision:
        return [f"encoder '{name}' is of revision {there[:12]} (expected {revision[:12]})"]
    return []


def _is_there(name: str) -> bool:
    """Return whether a file or folder has this name, or this name with a split and an extension."""
    return bool(os.path.exists(name) or glob(f"{escape(name)}.*"))
