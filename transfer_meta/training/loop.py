"""Training loop with learning curve, best checkpoint, out-of-memory recovery, stop and resume."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import nn

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.onednn import fast_linear
from transfer_meta.errors import InputError, RunFailed, Stopped, first_line
from transfer_meta.records import LearningCurve, OnProgress
from transfer_meta.training.loss_weights import LOG_VARIANCE_RATE, UncertaintyWeights
from transfer_meta.training.optimizer import build_optimizer, learning_rate
from transfer_meta.training.resume_state import load_state, save_state
from transfer_meta.training.soft_sharing import Tie
from transfer_meta.training.task_data import Split, TaskData
from transfer_meta.training.task_metrics import main_metric, on_unit_scale
from transfer_meta.training.training_settings import GRAPHS, TrainingSettings


def compile_encoder(encoder: Encoder, how: bool | str) -> None:
    """Compile an encoder as `TrainingSettings.compile` says."""
    if how:
        # Dynamic shapes: batches are as wide as their longest input, and one program serves all widths.
        mode = "reduce-overhead" if how == GRAPHS else None
        for part in encoder.compiled_parts():
            part.compile(dynamic=True, mode=mode)


class Hooks(TypedDict, total=False):
    """Functions that a loop calls, see `Loop.run`."""

    should_stop: Callable[[], bool]
    on_progress: OnProgress


class Loop:
    """Trains an encoder, or one for each task, and the heads of its tasks.

    Parameters
    ----------
    encoder : Encoder
    tasks : sequence of TaskData
        The target first.
    schedule : sequence of sequence of (int, float)
        For each step the tasks trained on, by index, and the weights of their losses.
    training : TrainingSettings
    learned : UncertaintyWeights, optional
        Weights of the losses that are trained too, in the place of those of `schedule`.
    tie : Tie, optional
        Encoders of all tasks, of which `encoder` is the first; by default all tasks share `encoder`.
    """

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[TaskData],
        schedule: Sequence[Sequence[tuple[int, float]]],
        training: TrainingSettings,
        *,
        learned: UncertaintyWeights | None = None,
        tie: Tie | None = None,
    ) -> None:
        self.encoder, self.tasks, self.schedule, self.training = encoder, tasks, schedule, training
        self.learned, self.tie = learned, tie
        self.device = encoder.device
        self.modules: dict[str, nn.Module] = {"encoder": encoder.model}
        self.modules |= {f"head.{task.name}": task.head for task in tasks}
        if tie:
            others = enumerate(tie.encoders[1:], start=1)
            self.modules |= {f"encoder{task}": other.model for task, other in others}
        self.optimizer = build_optimizer(
            self.modules.values(), weight_decay=training.weight_decay, device=self.device
        )
        self.weights = [w for group in self.optimizer.param_groups for w in group["params"]]
        # With encoders of their own, each task's gradient has a norm of its own, as in a run of this task alone.
        self.clipped = tie.by_task(self.weights) if tie else [self.weights]
        if learned:
            self.modules["weights"] = learned
            rate = {"weight_decay": 0.0, "peak": LOG_VARIANCE_RATE}
            self.optimizer.add_param_group({"params": [learned.log_variances], **rate})
            self.weights = [*self.weights, learned.log_variances]
        times = training.evaluations if tasks[0].dev else 0
        self.evaluate_after = {round((i + 1) * len(schedule) / times) for i in range(times)}
        self.counts = np.zeros(len(tasks), dtype=np.int64)  # batches of each task so far
        # Losses stay on the device, one row per step, NaN if a task was not trained on.
        self.losses = torch.full((len(schedule), len(tasks)), torch.nan, device=self.device)
        self.step = 0
        self.pieces = 1  # micro-batches per batch
        self.recomputes = False  # whether activations are computed again in the backward pass
        self.tokens = 0
        self.seconds = 0.0  # in training steps, without evaluation
        self.dev: list[tuple[int, float, float]] = []  # step, loss, main score
        self.best: dict[str, torch.Tensor] = {}
        self.best_step = 0
        self.discarded = ""  # why a state was not resumed from
        for index, task in enumerate(tasks):
            task.begin(index, schedule, lambda: self.dev, batch_size=training.batch_size)

    def run(
        self,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        on_progress: OnProgress = lambda _, __: None,
        resume: Path | None,
        name: str,
    ) -> None:
        """Train from the first step or from the state in `resume`, and end with the weights to keep.

        A state that cannot be used is removed, and `discarded` says why.

        Parameters
        ----------
        should_stop : callable
            Called before every step.
        on_progress : callable
            Called after every step with the number of finished steps and of all steps.
        resume : Path or None
            File of the state of a stopped run.
        name : str
            Identifies the run.

        Raises
        ------
        Stopped
            `should_stop` returned True; the state is in `resume`, if given, or `Stopped.unsaved` says why not.
        RunFailed
            The loss is not finite, or a single example does not fit into memory.
        """
        if resume and resume.is_file():
            try:
                self._load(resume, name)
            except RunFailed as error:
                self.discarded = str(error)
                resume.unlink(missing_ok=True)
        self._set_mode(training=True)
        began = time.perf_counter()
        while self.step < len(self.schedule):
            if should_stop():
                self.seconds += time.perf_counter() - began
                unsaved = self._save(resume, name) if resume else ""
                raise Stopped(
                    f"stopped after step {self.step} of {len(self.schedule)}", unsaved=unsaved
                )
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
        """Return the mean loss and all scores of a split, with dropout off."""
        self._set_mode(training=False)
        with self._arithmetic():
            return task.measure(self.encoder, split)

    def curve(self, task: int = 0) -> LearningCurve:
        """Return the losses of one task at the steps that trained on it; the target's with its dev split."""
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
        """Do one update; if memory runs out, retry with micro-batches of half the size.

        Where a single example does not fit, its activations are computed again in the backward pass.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(
                self.step,
                steps=len(self.schedule),
                peak=group.get("peak", self.training.learning_rate),
                warmup_fraction=self.training.warmup_fraction,
            )
        while True:
            try:
                self._gradients()
                break
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
            if self.pieces < self.training.batch_size:
                self.pieces *= 2
            elif not self._start_recomputing():
                raise RunFailed("out of memory with a single example a micro-batch")
            self.optimizer.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        if self.training.max_grad_norm:
            for weights in self.clipped:
                torch.nn.utils.clip_grad_norm_(weights, self.training.max_grad_norm)
        self.optimizer.step()
        if self.tie:
            self.tie.pull(self.optimizer, self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        for task, _ in self.schedule[self.step]:
            self.counts[task] += 1
        self.step += 1

    def _gradients(self) -> None:
        """Accumulate the gradients of this step's batches and record their losses."""
        tokens = 0
        row = self.losses[self.step]
        for index, share in self.schedule[self.step]:
            task = self.tasks[index]
            encoder = self.tie.encoders[index] if self.tie else self.encoder
            batcher = task.train.batcher
            units = task.units(int(self.counts[index]), self.training.batch_size)
            weight = batcher.weight(units)
            row[index] = 0.0
            for part in np.array_split(units, min(self.pieces, len(units))):
                batch = batcher.batch(part)
                torch.compiler.cudagraph_mark_step_begin()  # allow overwriting a CUDA graph's earlier output
                with self._arithmetic(), self._stream(index):
                    hidden, pooled = encoder.on_batch(batch)
                    outputs = task.head(hidden, batch, pooled)
                    loss = task.head.loss(outputs, batch) / weight
                    penalty = self.tie.penalty(index, batch, outputs) if self.tie else None
                total = loss * share if share != 1 else loss
                if self.learned:
                    total = self.learned.scaled(index, loss)
                if penalty is not None:
                    total = total + penalty / weight
                total.backward()
                row[index] += loss.detach()
                tokens += batch.tokens
        if self.learned:
            self.learned.penalty().backward()
        self.tokens += tokens

    def _start_recomputing(self) -> bool:
        """Compute activations again in the backward pass (gradient checkpointing); False if that is so already."""
        models: list[Any] = [e.model for e in (self.tie.encoders if self.tie else [self.encoder])]
        able = [m for m in models if getattr(m, "supports_gradient_checkpointing", False)]
        if self.recomputes or not able:
            return False
        for model in able:
            # Its older name goes in version 6 of transformers, and warns before.
            enable = getattr(model, "activation_checkpointing_enable", None)
            (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
        self.recomputes = True
        return True

    def _stream(self, task: int) -> contextlib.AbstractContextManager[None]:
        """Return a block within which random numbers are those of a task, where each has its own."""
        return self.tie.stream(task) if self.tie else contextlib.nullcontext()

    def _evaluate_dev(self) -> None:
        """Evaluate the target's dev split, and keep the weights if they are the best so far."""
        target = self.tasks[0]
        assert target.dev is not None
        loss, scores = self.measure(target, target.dev)
        self._set_mode(training=True)
        metric = main_metric(target.type, scores)
        value = on_unit_scale(metric, scores[metric])
        if self.training.checkpoint == "best" and (
            not self.dev or value > max(point[2] for point in self.dev)
        ):
            self.best = {f"best.{i:05d}": w.detach().clone() for i, w in enumerate(self.weights)}
            self.best_step = self.step
        self.dev.append((self.step, loss, value))

    def _check_losses(self) -> None:
        """Check all losses on the host, the only place where training waits for the device."""
        losses = self.losses[: self.step].cpu()
        trained = torch.tensor([[t in dict(s) for t in range(len(self.tasks))] for s in self.schedule])
        bad = (~losses.isfinite() & trained[: self.step]).any(dim=1).nonzero()
        if len(bad):
            raise RunFailed(f"the training loss is not a finite number at step {int(bad[0]) + 1}")

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """Use the stage's precision, and the faster product of float32 matrices, within the block."""
        precision, kind = self.training.precision, self.device.type
        is_bf16 = precision == "bf16" or (precision == "auto" and kind == "cuda")
        linear = fast_linear(self.device, always=self.encoder.always_onednn)
        with torch.autocast(kind, torch.bfloat16, enabled=is_bf16), linear:
            yield

    def _set_mode(self, *, training: bool) -> None:
        for module in self.modules.values():
            module.train(training)

    def _save(self, path: Path, name: str) -> str:
        """Save the state; return why it could not be saved, or an empty string."""
        from safetensors import SafetensorError

        facts: dict[str, Any] = {"run": name, "counts": self.counts.tolist()}
        facts |= {key: getattr(self, key) for key in _FACTS}
        tensors = {"losses": self.losses, **self.best, **(self.tie.tensors() if self.tie else {})}
        try:
            save_state(path, self.modules, self.optimizer, tensors=tensors, facts=facts)
        except (OSError, InputError, SafetensorError) as error:
            return first_line(error)
        return ""

    def _load(self, path: Path, name: str) -> None:
        tensors, facts = load_state(path, self.modules, self.optimizer, run=name)
        self.losses = tensors.pop("losses").to(self.device)
        if self.tie:
            self.tie.load(tensors)
        self.best = {key: tensors[key].to(self.device) for key in sorted(tensors)}
        self.counts = np.array(facts["counts"], dtype=np.int64)
        for key in _FACTS:
            setattr(self, key, facts[key])
        self.dev = [(int(step), loss, value) for step, loss, value in facts["dev"]]


_FACTS = ("step", "pieces", "tokens", "seconds", "dev", "best_step")
"""Attributes saved with the tensors of a stopped run."""


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the host."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(
        error
    )
