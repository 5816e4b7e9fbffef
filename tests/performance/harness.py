"""Training speed against transformers' Trainer, at equal work and in one run.

Equal work: the same encoder, examples, epochs, batch size, peak learning rate, warm-up, decay, dropout and
gradient clipping, inputs cut at the same length.  Timed is training alone, tokenised examples at hand:

- ``padded``: Trainer as its examples use it, every input padded to the longest length allowed;
- ``grouped``: Trainer with padding to the longest input of a batch and batches by length;
- ``ours``: the harness in float32 on the CPU and bf16 on CUDA (Trainer too), and with ``--precision`` in
  another.

The three take turns, ``--repeats`` times, and the fastest time of each counts.  Needs the extras harness and
offline-encoder, `accelerate`, and real tasks: ``python tests/performance/harness.py --folder DATA/tasks``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import logging

from transfer_meta.encoding.encoder import Encoder
from transfer_meta.encoding.encoders import _offline_folder, load_encoder
from transfer_meta.encoding.heads import HEAD_DROPOUT, IMPOSSIBLE_LOGIT
from transfer_meta.records import TaskType
from transfer_meta.tasks import Task, read_task
from transfer_meta.training.finetune import finetune
from transfer_meta.training.loop import Loop, compile_encoder
from transfer_meta.training.predictions import predict_split, score
from transfer_meta.training.seen_embedding import compact
from transfer_meta.training.stage import Stage
from transfer_meta.training.task_data import Split, TaskData, select
from transfer_meta.training.task_metrics import main_metric
from transfer_meta.training.training_settings import TrainingSettings

EXAMPLES = {"sst2": 640, "rte": 384, "ewt_upos": 640, "squad": 192}
MAX_LENGTH = {"squad": 256}
MODELS = {
    TaskType.CLASSIFICATION: AutoModelForSequenceClassification,
    TaskType.REGRESSION: AutoModelForSequenceClassification,
    TaskType.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    TaskType.QUESTION_ANSWERING: AutoModelForQuestionAnswering,
}
VARIANTS = ("padded", "grouped", "ours")


def main() -> None:
    arguments = parse()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    rows = [machine(device)]
    for name in arguments.tasks:
        task = read_task(next(arguments.folder.glob(f"{name}.train.*")), name=name)
        rows += compare(task, arguments, device)
    if arguments.grid_runs:
        rows.append(grid(arguments))
    for row in rows:
        print(json.dumps(row))
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(row) + "\n" for row in rows))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--folder", type=Path, default=Path("../shared/data/tasks"), help="where tasks are"
    )
    parser.add_argument("--tasks", nargs="+", default=list(EXAMPLES), help="tasks to train on")
    parser.add_argument("--examples", type=int, help="training examples; else as many as take a while")
    parser.add_argument("--encoder", default="offline")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="threads of torch on the CPU")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="auto", help="of ours: auto, fp32, bf16")
    parser.add_argument("--compile", default=False, help="of ours: true, or graphs: CUDA graphs too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument(
        "--seeds", type=int, default=0, help="also compare test scores over so many seeds"
    )
    parser.add_argument(
        "--grid-runs", type=int, default=0, help="also runs per hour, over so many runs"
    )
    parser.add_argument(
        "--same-head",
        action="store_true",
        help="Trainer classifies by the mean token vector, as ours does",
    )
    parser.add_argument("--out", type=Path, help="write the rows here as JSON lines")
    return parser.parse_args()


def compare(task: Task, arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Speed of each variant on one task, and with ``--seeds`` its test scores."""
    settings = TrainingSettings(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        max_length=MAX_LENGTH.get(task.name, 128),
        dev_examples=0,
        evaluations=0,
        precision=arguments.precision,
        compile=arguments.compile == "true" or arguments.compile,
    )
    wanted = arguments.examples or EXAMPLES.get(task.name, 320)
    examples = min(wanted, sum(1 for _ in task.examples("train")))
    runs: dict[str, Callable[[int], tuple[float, Any]]] = {}
    work = Work(task, examples, arguments.encoder, settings, device, same_head=arguments.same_head)
    for variant in arguments.variants:
        runs[variant] = (
            work.ours if variant == "ours" else lambda seed, v=variant: work.trainer(seed, v)
        )
    seconds: dict[str, list[float]] = {variant: [] for variant in runs}
    scores: dict[str, list[float]] = {variant: [] for variant in runs}
    for repeat in range(max(arguments.repeats, arguments.seeds)):
        for variant, run in runs.items():
            taken, model = run(repeat)
            seconds[variant].append(taken)
            if repeat < arguments.seeds:
                scores[variant].append(work.test_score(*model))
            print(f"# {task.name} {variant} {repeat}: {taken:.2f} s", *scores[variant][-1:], flush=True)
    tokens, flops = work.tokens(), work.flops()
    rows = []
    for variant, times in seconds.items():
        best = min(times)
        row = {
            "task": task.name,
            "variant": variant,
            "examples": examples,
            "seconds": best,
            "examples_per_second": examples * settings.epochs / best,
            "tokens_per_second": tokens / best,
            "teraflops": flops / best / 1e12,
            **{f"times_{other}": min(seconds[other]) / best for other in seconds if other != variant},
        }
        if device.type == "cuda":
            row["share_of_bf16_peak"] = flops / best / matmul_peak(device)
        if scores[variant]:
            row["test_score"] = statistics.fmean(scores[variant])
            row["test_score_sd"] = statistics.pstdev(scores[variant])
        rows.append(row)
    return rows


class Work:
    """One task's examples, tokenised once, and the ways to train on them."""

    def __init__(
        self,
        task: Task,
        examples: int,
        encoder: str,
        settings: TrainingSettings,
        device: torch.device,
        *,
        same_head: bool,
    ) -> None:
        self.same_head = same_head and task.type is TaskType.CLASSIFICATION
        self.task, self.examples, self.name = task, examples, encoder
        self.settings, self.device = settings, device
        self.data, self.encoder = self._data(0)

    def _data(self, seed: int) -> tuple[TaskData, Encoder]:
        # One subset for all seeds: what differs is initialisation, order and dropout.
        selection = select(self.task, self.examples, seed=0, dev_examples=0, with_test=True)
        encoder = load_encoder(self.name)
        encoder.model.to(self.device)
        data = TaskData(selection, encoder, self.settings, seed=seed, cache=None)
        return data, encoder

    def steps(self) -> int:
        return self.settings.epochs * self.data.steps_per_epoch(self.settings.batch_size)

    def tokens(self) -> int:
        """Tokens trained on, padding not counted."""
        return self.settings.epochs * len(self.data.train.encoded.ids)

    def flops(self) -> float:
        """Operations of the matrix products that training needs, padding not counted.

        6 a weight and token (forward 2, backward 4), and 12 x width a layer for each pair of tokens of an
        item (Kaplan et al. 2020; PaLM's appendix B).
        """
        model = self.encoder.model
        matrices = sum(
            p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n
        )
        lengths = self.data.train.encoded.lengths.astype(float)
        layers = getattr(model.config, "num_hidden_layers", 0)
        pairs = 12.0 * layers * self.encoder.width * float(np.sum(lengths**2))
        return self.settings.epochs * (6.0 * matrices * float(lengths.sum()) + pairs)

    def ours(self, seed: int) -> tuple[float, tuple[Any, Any]]:
        """Seconds of our loop, and what it trained."""
        data, encoder = self._data(seed)
        torch.manual_seed(seed)
        began = time.perf_counter()
        compact(
            encoder.model, torch.from_numpy(np.unique(data.train.encoded.ids)).long().to(self.device)
        )
        compile_encoder(encoder, self.settings.compile)
        settings = replace(self.settings, evaluations=0, checkpoint="last")
        loop = Loop(encoder, [data], [[(0, 1.0)]] * self.steps(), settings)
        loop.run(should_stop=lambda: False, on_progress=lambda *_: None, resume=None, name="")
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began, (encoder, data.head)

    def trainer(self, seed: int, variant: str) -> tuple[float, tuple[Any, Any]]:
        """Seconds of Trainer, and what it trained."""
        set_seed(seed)
        place = str(_offline_folder()) if self.name == "offline" else self.name
        outputs = {"num_labels": len(self.data.labels)} if self.data.labels else {}
        if self.same_head:
            model = MeanPooled(place, len(self.data.labels))
        else:
            model = MODELS[self.task.type].from_pretrained(place, **outputs)
        grouped = variant == "grouped"
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=self.settings.epochs,
                per_device_train_batch_size=self.settings.batch_size,
                learning_rate=self.settings.learning_rate,
                weight_decay=self.settings.weight_decay,
                warmup_steps=self.settings.warmup_fraction,
                max_grad_norm=self.settings.max_grad_norm,
                train_sampling_strategy="group_by_length" if grouped else "random",
                length_column_name="length",
                bf16=self.device.type == "cuda",
                use_cpu=self.device.type == "cpu",
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=seed,
                remove_unused_columns=False,
            )
            width = None if grouped else self.settings.max_length
            trainer = Trainer(
                model=model,
                args=arguments,
                train_dataset=Rows(self.data.train, self.task.type),
                data_collator=lambda rows: collate(rows, width),
            )
            began = time.perf_counter()
            trainer.train()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - began, (TrainerOutputs(model), TrainerHead(self.data.head))

    def test_score(self, encoder: Any, head: Any) -> float:
        """Main metric on the test split."""
        data = self.data
        assert data.test is not None
        for model in (encoder.model, head):
            model.eval()
        _, predictions = predict_split(encoder, head, data.test.batcher)
        scores = score(data.type, data.test.examples, data.test.encoded, predictions, data.labels)
        return scores[main_metric(data.type, scores)]


class Rows(torch.utils.data.Dataset):
    """A tokenised split as Trainer wants it: one dictionary of lists an item."""

    def __init__(self, split: Split, type: TaskType) -> None:
        encoded = split.encoded
        self.rows = []
        for item, (begin, end) in enumerate(
            zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
        ):
            row: dict[str, Any] = {
                "input_ids": encoded.ids[begin:end].tolist(),
                "token_type_ids": encoded.types[begin:end].tolist(),
                "length": int(end - begin),
            }
            if type is TaskType.TOKEN_CLASSIFICATION:
                row["labels"] = encoded.target[begin:end].tolist()
            elif type is TaskType.QUESTION_ANSWERING:
                row["start_positions"], row["end_positions"] = (int(p) for p in encoded.target[item])
            else:
                row["labels"] = int(encoded.target[item])
            self.rows.append(row)
        self.column_names = list(self.rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]


def collate(rows: list[dict[str, Any]], width: int | None) -> dict[str, torch.Tensor]:
    """Rows padded to `width`, or to the longest of them."""
    width = width or max(row["length"] for row in rows)

    def padded(key: str, filler: int) -> torch.Tensor:
        return torch.tensor([row[key] + [filler] * (width - len(row[key])) for row in rows])

    batch = {"input_ids": padded("input_ids", 0), "token_type_ids": padded("token_type_ids", 0)}
    lengths = torch.tensor([row["length"] for row in rows])
    batch["attention_mask"] = (torch.arange(width) < lengths[:, None]).long()
    for key in ("labels", "start_positions", "end_positions"):
        if key in rows[0]:
            of_tokens = isinstance(rows[0][key], list)
            batch[key] = padded(key, -100) if of_tokens else torch.tensor([row[key] for row in rows])
    return batch


class MeanPooled(torch.nn.Module):
    """Our classification head on transformers' encoder, so that Trainer's scores can be compared with ours."""

    def __init__(self, place: str, labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(place, add_pooling_layer=False)
        self.dropout = torch.nn.Dropout(HEAD_DROPOUT)
        self.classifier = torch.nn.Linear(self.encoder.config.hidden_size, labels)

    def forward(
        self,
        input_ids: torch.Tensor,
        token_type_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits from the mean of the token vectors."""
        hidden = self.encoder(
            input_ids=input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        logits = self.classifier(self.dropout((hidden * mask).sum(dim=1) / mask.sum(dim=1)))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class TrainerOutputs:
    """A model that Trainer trained, called like one of our encoders: its "vectors" are its logits."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def outputs(
        self, ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        mask = torch.ones_like(ids) if mask is None else mask.long()
        outputs = self.model(input_ids=ids, token_type_ids=types, attention_mask=mask)
        if hasattr(outputs, "start_logits"):
            return torch.stack([outputs.start_logits, outputs.end_logits], dim=2), None
        return outputs.logits, None


class TrainerHead(torch.nn.Module):
    """Reads predictions off those logits as our head of the same task type does."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.predict, self.loss = ours.predict, ours.loss

    def forward(self, logits: torch.Tensor, batch: Any, _: None = None) -> torch.Tensor:
        return (
            logits
            if batch.context is None
            else logits.masked_fill(~batch.context[..., None], IMPOSSIBLE_LOGIT)
        )


def grid(arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs per hour of a grid of limited runs, one after the other, set-up and test included."""
    task = read_task(next(arguments.folder.glob(f"{arguments.tasks[0]}.train.*")))
    settings = TrainingSettings(max_length=128)
    device = torch.device(arguments.device)
    work = Work(task, 200, arguments.encoder, settings, device, same_head=arguments.same_head)
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        for seed in range(arguments.grid_runs):
            stage = Stage(task.name, seed, arguments.encoder, settings, target_examples=200)
            finetune(stage, {task.name: task}, device=arguments.device, cache=Path(cache))
        ours = time.perf_counter() - began
    began = time.perf_counter()
    for seed in range(arguments.grid_runs):
        _, trained = work.trainer(seed, "padded")
        work.test_score(*trained)
    theirs = time.perf_counter() - began
    hours = arguments.grid_runs * 3600.0
    return {
        "task": task.name,
        "variant": "grid of 200 examples",
        "runs_per_hour": hours / ours,
        "runs_per_hour_trainer": hours / theirs,
        "times_trainer": theirs / ours,
    }


def matmul_peak(device: torch.device) -> float:
    """Operations per second of a large bf16 matrix product."""
    size = 8192
    left = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        began = time.perf_counter()
        left @ left
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def machine(device: torch.device) -> dict[str, Any]:
    """Where the figures were measured."""
    import platform

    import transformers

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    cpu = Path("/proc/cpuinfo")
    if device.type == "cpu" and cpu.is_file():
        lines = [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


if __name__ == "__main__":
    main()
