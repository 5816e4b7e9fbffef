"""Soft parameter sharing: an encoder for each task, trained at the same time and tied to one another."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import torch

from transfer_meta.encoding.batching import EncodedBatch
from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoder_parts import token_table
from transfer_meta.encoding.heads import Head
from transfer_meta.encoding.tokens import IGNORED
from transfer_meta.errors import RunFailed
from transfer_meta.training.method_settings import KL_TIE, L2_TIE, SoftSharing
from transfer_meta.training.optimizer import BETAS, EPSILON
from transfer_meta.training.training_settings import TrainingSettings

_CPU, _CUDA = "stream.cpu.", "stream.cuda."


class Tie:
    """The encoders of soft parameter sharing, the penalty that ties them, and the random numbers of each task.

    The penalty beside the losses is ``strength`` times

    - ``l2``: the sum over pairs of encoders of the squared L2 distance of their weights [1]_;
    - ``kl``: on every batch, the sum over the other tasks of the KL divergence between the predictions of the
      batch's task and theirs, the mean of both directions [2]_.

    The gradient of the L2 penalty is not handed to AdamW: AdamW divides it by its own magnitude, so that a strong
    tie would make steps as long as a weak one, and the encoders would swing around their mean instead of meeting
    there.  In its place, the proximal step of the penalty in the metric of AdamW [3]_ follows every update: it has
    the same stationary points and is exact for every strength.  With h = (sqrt(v) + eps) / rate for each weight (v:
    AdamW's second moment) and a = h / (h + 2 n strength), each of the n encoders goes from w to m + a (w - m),
    where m is the mean of the encoders, weighted by a.  A strength of 0 leaves them alone, a very large one makes
    them equal.

    Dropout of each task draws from a stream of its own, which starts as that of a run of this task alone: with a
    strength of 0 the target's training is that of the target alone, bit for bit on a CPU.

    Parameters
    ----------
    encoders : sequence of Encoder
        One for each task, the target's first, with equal weights.
    heads : sequence of Head
    settings : SoftSharing

    References
    ----------
    .. [1] Duong, Cohn, Bird & Cook (2015). Low Resource Dependency Parsing: Cross-lingual Parameter Sharing in a
       Neural Network Parser. ACL.
    .. [2] Zhang, Xiang, Hospedales & Lu (2018). Deep Mutual Learning. CVPR.
    .. [3] Yun, Lozano & Yang (2021). Adaptive Proximal Gradient Methods for Structured Neural Networks. NeurIPS.
    """

    def __init__(
        self, encoders: Sequence[Encoder], heads: Sequence[Head], settings: SoftSharing
    ) -> None:
        self.encoders, self.heads, self.settings = encoders, heads, settings
        self._weights = [[w for w in e.model.parameters() if w.requires_grad] for e in encoders]
        self._cpu = [torch.get_rng_state() for _ in encoders]
        self._device = encoders[0].device
        self._cuda: list[torch.Tensor] = []
        if self._device.type == "cuda":
            self._cuda = [torch.cuda.get_rng_state(self._device) for _ in encoders]

    def by_task(self, weights: Sequence[torch.nn.Parameter]) -> list[list[torch.nn.Parameter]]:
        """Return the weights of each task's encoder and head, in the order given."""
        own = [
            {*encoder.model.parameters(), *head.parameters()}
            for encoder, head in zip(self.encoders, self.heads, strict=True)
        ]
        return [[weight for weight in weights if weight in its] for its in own]

    @contextlib.contextmanager
    def stream(self, task: int) -> Iterator[None]:
        """Draw from a task's own stream of random numbers within the block."""
        torch.set_rng_state(self._cpu[task])
        if self._cuda:
            torch.cuda.set_rng_state(self._cuda[task], self._device)
        yield
        self._cpu[task] = torch.get_rng_state()
        if self._cuda:
            self._cuda[task] = torch.cuda.get_rng_state(self._device)

    def penalty(self, task: int, batch: EncodedBatch, outputs: torch.Tensor) -> torch.Tensor | None:
        """Return the KL penalty of a batch, summed over its targets; None with another tie.

        Parameters
        ----------
        task : int
            The batch's task.
        batch : EncodedBatch
        outputs : tensor
            The outputs of the task's own encoder and head.
        """
        if self.settings.tie != KL_TIE or not self.settings.strength:
            return None
        total = torch.zeros((), device=outputs.device)
        for other, encoder in enumerate(self.encoders):
            if other != task:
                hidden, pooled = encoder.on_batch(batch)
                theirs = self.heads[other](hidden, batch, pooled)
                total = total + symmetric_kl(outputs, theirs, batch.target)
        return self.settings.strength * total

    @torch.no_grad()
    def pull(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        """Do the proximal step of the L2 penalty, with the learning rate of the update before it."""
        if self.settings.tie != L2_TIE or not self.settings.strength:
            return
        pulled = 2 * self.settings.strength * len(self.encoders)
        for weights in zip(*self._weights, strict=True):
            if not any(weight in optimizer.state for weight in weights):
                continue  # never had a gradient: equal as they were
            metrics = [_metric(optimizer, weight, rate) for weight in weights]
            shares = [metric / (metric + pulled) for metric in metrics]
            products = [share * weight for share, weight in zip(shares, weights, strict=True)]
            mean = torch.stack(products).sum(dim=0) / torch.stack(shares).sum(dim=0)
            for weight, share in zip(weights, shares, strict=True):
                weight.copy_(torch.lerp(mean, weight, share))

    @torch.no_grad()
    def distance(self) -> float:
        """Return the L2 distance of the encoders' trained weights, the root of the mean square over pairs."""
        squares = [
            sum(float((a - b).square().sum()) for a, b in zip(one, other, strict=True))
            for one, other in combinations(self._weights, 2)
        ]
        return math.sqrt(sum(squares) / len(squares))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the state that is not in the encoders: that of the random numbers."""
        found = {f"{_CPU}{task}": state for task, state in enumerate(self._cpu)}
        return found | {f"{_CUDA}{task}": state for task, state in enumerate(self._cuda)}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take the state that `tensors` returned out of a mapping."""
        self._cpu = [tensors.pop(f"{_CPU}{task}") for task in range(len(self.encoders))]
        saved = [tensors.pop(f"{_CUDA}{task}", None) for task in range(len(self.encoders))]
        if self._cuda:
            self._cuda = [
                new if new is not None else old for new, old in zip(saved, self._cuda, strict=True)
            ]


def symmetric_kl(one: torch.Tensor, other: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean of both KL divergences of two predictions in nats, summed over the places that have a target.

    Parameters
    ----------
    one, other : tensor of shape (..., classes)
        Logits.
    target : int tensor of shape (...)
        Only where it is not `IGNORED` are predictions compared.
    """
    first, second = one.log_softmax(dim=-1), other.log_softmax(dim=-1)
    values = ((first.exp() - second.exp()) * (first - second)).sum(dim=-1) / 2
    return values.masked_fill(target == IGNORED, 0.0).sum()


def copies_of(encoder: Encoder, settings: TrainingSettings, *, tasks: int, seen: int) -> list[Encoder]:
    """Return the encoder and a copy for every other task, after a check that they fit into memory.

    Parameters
    ----------
    encoder : Encoder
    settings : TrainingSettings
    tasks : int
    seen : int
        Number of rows of the token table that are trained.

    Raises
    ------
    RunFailed
        The encoders, their gradients and the state of AdamW need more memory than is free.
    """
    needed, free = memory_of(encoder, settings, tasks=tasks, seen=seen), free_memory(encoder.device)
    if free is not None and needed > free:
        raise RunFailed(
            f"soft sharing of {tasks} tasks needs {needed / 1e6:,.0f} MB for its encoders and their optimizer, "
            f"{free / 1e6:,.0f} MB of {'GPU ' if encoder.device.type == 'cuda' else ''}memory are free"
        )
    others = [replace(encoder, model=copy.deepcopy(encoder.model)) for _ in range(tasks - 1)]
    return [encoder, *others]


def memory_of(encoder: Encoder, settings: TrainingSettings, *, tasks: int, seen: int) -> int:
    """Return the bytes that copies, gradients and moments of encoders take beside the encoder that is there.

    What a batch takes is not among them, nor are the small updates of LoRA.
    """
    weights = sum(w.numel() * w.element_size() for w in encoder.model.parameters())
    table = token_table(encoder.model)
    unseen = 0
    if isinstance(table, torch.nn.Embedding):
        rows, width = table.weight.shape
        unseen = (rows - min(seen, rows)) * width * table.weight.element_size()
    trained = 0 if settings.lora_rank else weights - unseen
    extra = 3 + (settings.checkpoint == "best")  # gradient, two moments, the best weights so far
    return (tasks - 1) * weights + tasks * extra * trained


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes of a GPU or of this machine, as far as its container may use it; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_host_memory(), _container_memory()]
    return min((value for value in found if value is not None), default=None)


def _metric(optimizer: torch.optim.Optimizer, weight: torch.Tensor, rate: float) -> torch.Tensor:
    """Return what AdamW divides a gradient by, over the learning rate, for each entry of a weight."""
    state = optimizer.state.get(weight)
    if not state:
        return torch.full_like(weight, EPSILON / rate)
    variance = state["exp_avg_sq"] / (1 - BETAS[1] ** state["step"])
    return (variance.sqrt() + EPSILON) / rate


def _host_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None
    )


def _container_memory() -> int | None:
    """Return what a control group leaves, pages of files that can be dropped included."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / f"memory.{name}").read_text() for name in ("max", "current"))
        lines = (folder / "memory.stat").read_text().splitlines()
        cached = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        return int(limit) - int(used) + cached
    except (OSError, ValueError, StopIteration):
        return None  # no such files, or no limit: "max"
