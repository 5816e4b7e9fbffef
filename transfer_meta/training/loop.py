"""The training loop: steps, curve, checkpoints, out-of-memory, stopping and going on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer_meta.encoding.encoders import Encoder
from transfer_meta.encoding.onednn import fast_linear
from transfer_meta.errors import RunFailed, Stopped
from transfer_meta.records import LearningCurve
from transfer_meta.training.optimizer import build_optimizer, learning_rate
from transfer_meta.training.predictions import predict_split, score
from transfer_meta.training.resume_state import load_state, save_state
from transfer_meta.training.stage import GRAPHS
from transfer_meta.training.task_data import Split, TaskData
from transfer_meta.training.task_metrics import main_metric, on_unit_scale


@contextlib.contextmanager
def arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """The precision that a device computes in: autocast to bf16, or float32 by the faster library."""
    bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16), fast_linear(device):
        yield


def compile_encoder(encoder: Encoder, how: bool | str) -> None:
    """Let `torch.compile` see the encoder, as `transfer_meta.training.stage.TrainingSettings` says."""
    if how:
        # A batch is as wide as its longest input: one program for all widths, not one for each.
        mode = "reduce-overhead" if how == GRAPHS else None
        encoder.model.compile(dynamic=True, mode=mode)


class Loop:
    """Trains an encoder and the heads of its tasks, the target's first.

    Parameters
    ----------
    encoder, tasks
        What to train, on `device`, and on what.
    schedule : sequence of sequence of (int, float)
        For each step the tasks trained on, by index, each with the weight of its loss.
    batch_size, peak_rate, weight_decay, warmup_fraction, max_grad_norm
        As in `transfer_meta.training.stage.TrainingSettings`.
    evaluations, keep_best
        How often the target's dev split is measured, and whether the best of these weights are kept.
    precision
        See `arithmetic`.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[TaskData],
        schedule: Sequence[Sequence[tuple[int, float]]],
        *,
        device: torch.device,
        batch_size: int,
        peak_rate: float,
        weight_decay: float,
        warmup_fraction: float,
        max_grad_norm: float,
        evaluations: int,
        keep_best: bool,
        precision: str,
    ) -> None:
        self.encoder, self.tasks, self.schedule, self.device = encoder, tasks, schedule, device
        self.batch_size, self.peak_rate, self.warmup_fraction = batch_size, peak_rate, warmup_fraction
        self.max_grad_norm, self.precision, self.keep_best = max_grad_norm, precision, keep_best
        self.modules: dict[str, nn.Module] = {"encoder": encoder.model}
        self.modules |= {f"head.{task.name}": task.head for task in tasks}
        self.optimizer = build_optimizer(
            self.modules.values(), weight_decay=weight_decay, device=device
        )
        self.weights = [w for group in self.optimizer.param_groups for w in group["params"]]
        self.evaluate_after = (
            {round((i + 1) * len(schedule) / evaluations) for i in range(evaluations)}
            if tasks[0].dev and evaluations
            else set()
        )
        self.counts = np.zeros(len(tasks), dtype=np.int64)  # batches that each task has had
        # Losses stay on the device, one row a step, NaN where a task was not trained on.
        self.losses = torch.full((len(schedule), len(tasks)), torch.nan, device=device)
        self.step = 0
        self.pieces = 1  # micro-batches that a batch is cut into
        self.tokens = 0
        self.seconds = 0.0  # in training steps, evaluation apart
        self.dev: list[tuple[int, float, float]] = []  # step, loss, main score
        self.best: dict[str, torch.Tensor] = {}
        self.best_step = 0

    def run(
        self,
        *,
        should_stop: Callable[[], bool],
        on_progress: Callable[[int, int], None],
        resume: Path | None,
        name: str,
    ) -> None:
        """All steps, from the first or from the state in `resume`; ends with the weights to keep.

        Raises
        ------
        Stopped
            `should_stop` said so; the state is in `resume`, if that is given.
        RunFailed
            The loss is no number, or one example is too large for the memory.
        """
        if resume and resume.is_file():
            self._load(resume, name)
        self._set_mode(training=True)
        began = time.perf_counter()
        while self.step < len(self.schedule):
            if should_stop():
                self.seconds += time.perf_counter() - began
                if resume:
                    self._save(resume, name)
                raise Stopped(f"stopped after step {self.step} of {len(self.schedule)}")
            self._step()
            if self.step in self.evaluate_after or self.step == len(self.schedule):
                self._check_losses()
                self.seconds += time.perf_counter() - began
                if self.step in self.evaluate_after:
                    self._evaluate_dev()
                began = time.perf_counter()
            on_progress(self.step, len(self.schedule))
        if self.best:
            for weight, best in zip(self.weights, self.best.values(), strict=True):
                weight.data.copy_(best)
        self._set_mode(training=False)

    def measure(self, task: TaskData, split: Split) -> tuple[float, dict[str, float]]:
        """Mean loss and all scores of a split, dropout off."""
        self._set_mode(training=False)
        with arithmetic(self.device, self.precision):
            loss, predictions = predict_split(self.encoder, task.head, split.batcher)
        return loss, score(task.type, split.examples, split.encoded, predictions, task.labels)

    def curve(self, task: int = 0) -> LearningCurve:
        """Losses of one task at the steps that trained on it; the target's with its dev split."""
        losses = self.losses[: self.step, task].double().cpu().numpy()
        steps = np.flatnonzero(~np.isnan(losses))
        dev = np.array(self.dev if task == 0 else [], dtype=np.float64).reshape(-1, 3)
        return LearningCurve(
            steps=(steps + 1).astype(np.float64),
            losses=losses[steps],
            dev_steps=dev[:, 0],
            dev_losses=dev[:, 1],
            dev_scores=dev[:, 2],
        )

    def _step(self) -> None:
        """One update; out of memory, it is tried again in micro-batches of half the size."""
        rate = learning_rate(
            self.step,
            steps=len(self.schedule),
            peak=self.peak_rate,
            warmup_fraction=self.warmup_fraction,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        while True:
            try:
                self._gradients()
                break
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
            if self.pieces >= self.batch_size:
                raise RunFailed("out of memory with a single example a micro-batch")
            self.pieces *= 2
            self.optimizer.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        if self.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.weights, self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        for task, _ in self.schedule[self.step]:
            self.counts[task] += 1
        self.step += 1

    def _gradients(self) -> None:
        """Add up the gradients of this step's batches and note their losses."""
        tokens = 0
        row = self.losses[self.step]
        for index, share in self.schedule[self.step]:
            task = self.tasks[index]
            batcher = task.train.batcher
            units = task.units(int(self.counts[index]), self.batch_size)
            weight = batcher.weight(units)
            row[index] = 0.0
            for part in np.array_split(units, min(self.pieces, len(units))):
                batch = batcher.batch(part)
                torch.compiler.cudagraph_mark_step_begin()  # what a CUDA graph gave before may be overwritten
                with arithmetic(self.device, self.precision):
                    hidden = self.encoder.vectors(batch.ids, batch.types, batch.mask)
                    loss = task.head.loss(task.head(hidden, batch), batch) / weight
                (loss * share if share != 1 else loss).backward()
                row[index] += loss.detach()
                tokens += batch.tokens
        self.tokens += tokens

    def _evaluate_dev(self) -> None:
        """Measure the target's dev split, and keep the weights if they are the best so far."""
        target = self.tasks[0]
        assert target.dev is not None
        loss, scores = self.measure(target, target.dev)
        self._set_mode(training=True)
        metric = main_metric(target.type, scores)
        value = on_unit_scale(metric, scores[metric])
        if self.keep_best and (not self.dev or value > max(point[2] for point in self.dev)):
            self.best = {f"best.{i:05d}": w.detach().clone() for i, w in enumerate(self.weights)}
            self.best_step = self.step
        self.dev.append((self.step, loss, value))

    def _check_losses(self) -> None:
        """Look at the losses on the host: the one place where a step waits for the device."""
        losses = self.losses[: self.step].cpu()
        trained = torch.tensor([[t in dict(s) for t in range(len(self.tasks))] for s in self.schedule])
        bad = (~losses.isfinite() & trained[: self.step]).any(dim=1).nonzero()
        if len(bad):
            raise RunFailed(f"the training loss is not a finite number at step {int(bad[0]) + 1}")

    def _set_mode(self, *, training: bool) -> None:
        for module in self.modules.values():
            module.train(training)

    def _save(self, path: Path, name: str) -> None:
        facts: dict[str, Any] = {"run": name, "counts": self.counts.tolist()}
        facts |= {key: getattr(self, key) for key in _FACTS}
        tensors = {"losses": self.losses, **self.best}
        save_state(path, self.modules, self.optimizer, tensors=tensors, facts=facts)

    def _load(self, path: Path, name: str) -> None:
        tensors, facts = load_state(path, self.modules, self.optimizer, run=name)
        self.losses = tensors.pop("losses").to(self.device)
        self.best = {key: tensors[key].to(self.device) for key in sorted(tensors)}
        self.counts = np.array(facts["counts"], dtype=np.int64)
        for key in _FACTS:
            setattr(self, key, facts[key])
        self.dev = [(int(step), loss, value) for step, loss, value in facts["dev"]]


# What a stopped run needs beside its tensors.
_FACTS = ("step", "pieces", "tokens", "seconds", "dev", "best_step")


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is out, on a GPU or on the host."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(
        error
    )
