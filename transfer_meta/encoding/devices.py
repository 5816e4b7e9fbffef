"""Assignment of devices to worker processes."""

from __future__ import annotations

from transfer_meta.errors import InputError


def find_devices(
    text: str, *, workers: int | None = None, runs_per_device: int | None = None
) -> list[str]:
    """Return the device of each worker.

    Parameters
    ----------
    text : str
        ``auto`` (all CUDA devices, or the CPU if there are none), ``cpu``, or a list of CUDA devices:
        ``cuda:0,cuda:1``.
    workers : int, optional
        Total number of worker processes; None: `runs_per_device` on each device.
    runs_per_device : int, optional
        Workers per device; None: one, or as many as `workers` requires.

    Raises
    ------
    InputError
        An unknown or missing device, or numbers of workers that contradict each other.
    """
    for name, number in (("--workers", workers), ("--runs-per-device", runs_per_device)):
        if number is not None and number < 1:
            raise InputError(f"{name} {number} (expected at least 1)")
    devices = _devices(text)
    if workers is None:
        return devices * (runs_per_device or 1)
    if runs_per_device is not None and workers > len(devices) * runs_per_device:
        raise InputError(
            f"--workers {workers} do not fit on {', '.join(devices)} with --runs-per-device {runs_per_device}"
        )
    return [devices[i % len(devices)] for i in range(workers)]


def card_bytes(device: str) -> int | None:
    """Return the memory of a CUDA device in bytes; None for the CPU or if CUDA is not available."""
    if not device.startswith("cuda"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def cuda_build() -> str | None:
    """Return the version of CUDA that torch is built for; None without CUDA."""
    import torch

    return torch.version.cuda


def cuda_cards() -> list[tuple[str, str, int]]:
    """Return name (``cuda:0``), title and memory in bytes of every CUDA device that torch sees."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [(f"cuda:{i}", card.name, int(card.total_memory)) for i, card in enumerate(found)]


def _devices(text: str) -> list[str]:
    if text == "cpu":
        return ["cpu"]
    import torch

    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if text == "auto":
        return there or ["cpu"]
    devices = ["cuda:0" if name == "cuda" else name for name in text.split(",")]
    for name in devices:
        if name != "cpu" and name not in there:
            raise InputError(f"no device '{name}' here (expected auto, {', '.join(['cpu', *there])})")
    return devices
