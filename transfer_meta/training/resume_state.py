"""The state of an unfinished run as one safetensors file: nothing in it is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from transfer_meta.errors import RunFailed
from transfer_meta.files import atomic_file

Tensors = dict[str, torch.Tensor]


def save_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    *,
    tensors: Tensors,
    facts: Mapping[str, Any],
) -> None:
    """Write all that the next step depends on, whole or not at all.

    Parameters
    ----------
    path
        The file.
    modules
        The modules by name.
    optimizer
        Its moments are saved; rates are computed anew at every step.
    tensors
        More tensors by name.
    facts
        JSON values by name; among them ``run``, which tells this run from any other.
    """
    from safetensors.torch import save_file

    content: Tensors = dict(tensors)
    for name, module in modules.items():
        content |= {f"module.{name}.{key}": value for key, value in module.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        content |= {f"optimizer.{index}.{key}": value for key, value in moments.items()}
    content["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        content["random.cuda"] = torch.cuda.get_rng_state()
    # Weights that share memory are written twice: safetensors wants each tensor on its own.
    content = {key: value.detach().cpu().clone() for key, value in content.items()}
    with atomic_file(path) as temporary:
        save_file(content, temporary, metadata={"facts": json.dumps(dict(facts))})


def load_state(
    path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, *, run: str
) -> tuple[Tensors, dict[str, Any]]:
    """Put a saved state back, to the bit; returns the further tensors and the facts.

    Raises
    ------
    RunFailed
        The file cannot be read, or is of another run.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError) as error:
        raise RunFailed(f"cannot read the state of the stopped run, '{path}': {error}") from error
    if facts.get("run") != run:
        raise RunFailed(f"'{path}' is the state of another run")
    for name, module in modules.items():
        module.load_state_dict(_under(content, f"module.{name}."))
    moments: dict[int, Tensors] = {}
    for key, value in _under(content, "optimizer.").items():
        index, _, kind = key.partition(".")
        moments.setdefault(int(index), {})[kind] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    torch.set_rng_state(content["random.cpu"])
    if "random.cuda" in content:
        torch.cuda.set_rng_state(content["random.cuda"])
    used = ("module.", "optimizer.", "random.")
    return {k: v for k, v in content.items() if not k.startswith(used)}, facts


def _under(content: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}
