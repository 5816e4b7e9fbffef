"""State of an unfinished run in one safetensors file, which is safe to load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from transfer_meta.encoding.encoders import checksum
from transfer_meta.errors import RunFailed, first_line
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
    """Write everything that the next step depends on, atomically.

    Parameters
    ----------
    path : Path
    modules : mapping of str to module
    optimizer : Optimizer
        Its moments are saved; learning rates are recomputed at every step.
    tensors : dict of str to tensor
        Additional tensors.
    facts : mapping of str to Any
        JSON values; ``run`` identifies the run.
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
    # Clone: safetensors refuses tensors that share memory.
    content = {key: value.detach().cpu().clone() for key, value in content.items()}
    with atomic_file(path) as temporary:
        written = {"facts": json.dumps(dict(facts)), "checksum": checksum(content)}
        save_file(content, temporary, metadata=written)


def load_state(
    path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, *, run: str
) -> tuple[Tensors, dict[str, Any]]:
    """Restore a saved state exactly; return the additional tensors and the facts.

    Raises
    ------
    RunFailed
        The file cannot be read, is damaged, or belongs to another run; modules and optimizer are unchanged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        facts = json.loads(metadata["facts"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = f"cannot read the state of the stopped run, '{path}': {first_line(error)}"
        raise RunFailed(reason) from error
    if metadata.get("checksum") != checksum(content):
        raise RunFailed(f"'{path}' is a damaged state, or one of an earlier version")
    if facts.get("run") != run:
        raise RunFailed(f"'{path}' is the state of another run")
    for name, module in modules.items():
        if _shapes(module.state_dict()) != _shapes(_under(content, f"module.{name}.")):
            raise RunFailed(f"'{path}' does not hold the weights of this run's '{name}'")
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


def _shapes(content: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in content.items()}


def _under(content: Tensors, prefix: str) -> Tensors:
    """Return the tensors whose names start with a prefix, by the rest of the name."""
    return {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}
