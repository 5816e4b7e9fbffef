"""The nodes of a Ray cluster: how to reach them, what they have room for, and whether they are fit for the runs."""

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

from transfer_meta.errors import InputError, RunFailed
from transfer_meta.provenance import package_versions
from transfer_meta.runs.checkpoints.folder import faults_of

# How long an address may take to answer, and a node to look at itself (it may have torch to import).
CONNECT_SECONDS = 10.0
CHECK_SECONDS = 300.0
# Ray would hide all devices but the first run's from a worker process for as long as it lives.
KEEP_DEVICES = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"


def connect_ray(address: str) -> None:
    """Join a Ray cluster as a driver, or start Ray on this machine.

    Parameters
    ----------
    address
        ``auto`` (the cluster that this machine belongs to), HOST:PORT of a cluster's head, or ``local``.

    Raises
    ------
    InputError
        Nothing answers there, or not what can be worked with.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    host, _, port = address.rpartition(":")
    options: dict[str, Any] = {}
    if address == "local":
        # The dashboard runs code for whoever reaches it and asks for no password: not without being asked for.
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
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"cannot join the Ray cluster at '{address}': {reason}") from None


@dataclass(frozen=True)
class Share:
    """What one run takes of a node.

    Parameters
    ----------
    cpus, gpus
        Cores and graphics cards, fractions allowed.
    memory_bytes
        Main memory; 0: not planned with.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 0

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU", f"{self.gpus:g} GPU"]
        return ", ".join(parts + [f"{self.memory_bytes / 1e9:.1f} GB"] * bool(self.memory_bytes))

    def fits(self, node: Mapping[str, Any]) -> int:
        """How many runs a node of `ray.nodes` has room for."""
        needs = (("CPU", self.cpus), ("GPU", self.gpus), ("memory", self.memory_bytes))
        there = node["Resources"]
        return int(min(there.get(name, 0.0) / need for name, need in needs if need))


@dataclass(frozen=True)
class Expected:
    """What a node must have in common with the driver.

    Parameters
    ----------
    versions
        Names and versions of Python and of the packages that decide a result.
    checkpoints, mark
        Address of the checkpoints, and what the probe file there holds; empty: there are none.
    tasks
        Where the tasks are read from: files, or the beginnings of their names.
    encoder
        Name and revision; None: not looked at.
    """

    versions: tuple[tuple[str, str], ...]
    checkpoints: str = ""
    mark: str = ""
    tasks: tuple[str, ...] = ()
    encoder: tuple[str, str] | None = None

    def faults(self) -> list[str]:
        """What is wrong with the node of this process, a line each."""
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
    """The nodes of the cluster that are there, as `ray.nodes` describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def check_nodes(nodes: Sequence[Mapping[str, Any]], expected: Expected) -> None:
    """Raise an InputError that says of every node what keeps it from doing the runs."""
    look = ray.remote(num_cpus=0, max_retries=0)(Expected.faults)
    asked = {
        look.options(
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
    """What is wrong with a node, in one line."""
    return f"node {name}: {'; '.join(faults)}"


def given_device() -> str:
    """The device that Ray gave to this task."""
    given = [str(gpu) for gpu in ray.get_gpu_ids()]
    if not given:
        return "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"cuda:{visible.split(',').index(given[0]) if visible else given[0]}"


def failure_reason(error: BaseException) -> str:
    """An error of a task, or of Ray, in one line."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return f"{type(cause).__name__}: {str(cause).strip().split(chr(10), 1)[0]}"


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
    """Whether there is a file or folder of that name, or of that name with a split and an ending."""
    return bool(os.path.exists(name) or glob(f"{escape(name)}.*"))
