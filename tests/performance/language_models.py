"""Training speed and losses of a language model against transformers' Trainer, at equal work and in one run.

Equal work: the same model with random weights, texts, batches, batch size, learning rates, clipping, and the
training steps alone.  All take turns, ``--repeats`` times, and of each step the fastest time counts: with one
thread on the CPU its CPU time, which other programs change less, else the time that passes.  The losses of every
step are compared.  ``trainer_by_default`` has the same texts in a random order, as the Trainer makes its batches.
Where `trl` is installed (``pip install trl``), decoders are compared with its SFTTrainer too, without gradient
checkpointing, which it uses by default.  Needs the extra harness and `accelerate`, and nothing from the network:
``python tests/performance/language_models.py --threads 1``.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tiny_language_models import byte_tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging

from transfer_meta.encoding.language_model import LanguageModel, load_pretrained
from transfer_meta.records import Example, TaskType
from transfer_meta.tasks import Task
from transfer_meta.tasks.text_templates import TextTemplates
from transfer_meta.training.loop import Loop
from transfer_meta.training.task_data import select
from transfer_meta.training.text_task_data import TextTaskData
from transfer_meta.training.training_settings import TrainingSettings

VOCABULARY = 32_000
"""Of the output layer, as that of Llama and T5; texts are bytes, which are its first rows."""
SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "n_embd": 256,
        "n_layer": 4,
        "n_head": 4,
        "resid_pdrop": 0,
        "embd_pdrop": 0,
        "attn_pdrop": 0,
    },
    "llama": {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 1024,
    },
    "t5": {
        "d_model": 256,
        "d_kv": 64,
        "d_ff": 1024,
        "num_layers": 4,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "decoder_start_token_id": 0,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="threads of torch on the CPU")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for kind in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(compare(kind, save(kind, Path(folder)), arguments)), flush=True)


def save(kind: str, folder: Path) -> str:
    """Write a model with random weights and the tokenizer to a folder."""
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **SIZES[kind], **special)
    torch.manual_seed(0)
    auto = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    auto.from_config(config).save_pretrained(folder)
    byte_tokenizer(ends=kind == "t5").save_pretrained(folder)
    return str(folder)


def examples(count: int) -> list[Example]:
    """Texts whose lengths differ as those of sentences do, and answers of a few words."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(3.4, 0.7, size=count), 5, 180).astype(int)
    answers = ("a short answer", "yes", "another one")
    return [
        Example("".join(random.choice(list("abcdefgh "), size=n)), (str(random.choice(answers)),))
        for n in lengths
    ]


def compare(kind: str, folder: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return tokens a second of both, their ratio, and the largest difference of a loss."""
    size, steps = arguments.batch_size, arguments.steps
    training = TrainingSettings(
        epochs=1,
        batch_size=size,
        learning_rate=1e-4,
        weight_decay=0.0,
        warmup_fraction=0.0,
        max_length=256,
        dev_examples=0,
        evaluations=0,
    )
    task = Task.from_iterable("texts", TaskType.GENERATION, {"train": examples(size * steps)})
    selection = select(task, None, seed=0, dev_examples=0, with_test=False)
    runs: dict[str, Any] = {
        "trainer": theirs,
        "ours": ours,
        "trainer_by_default": functools.partial(theirs, in_random_order=True),
    }
    if kind != "t5" and importlib.util.find_spec("trl"):
        runs["sft_trainer"] = theirs_of_trl
    seconds: dict[str, list[Any]] = {who: [] for who in runs}
    losses: dict[str, Any] = {}
    tokens = 0
    for _ in range(arguments.repeats):
        for who, run in runs.items():
            model = load_pretrained(folder)
            assert isinstance(model, LanguageModel)
            model.model.to(arguments.device)
            data = TextTaskData(
                selection, model, training, templates=TextTemplates.of_task(task), seed=0
            )
            taken, losses[who] = run(model, data, training, steps)
            seconds[who].append(taken)
            tokens = int(data.train.encoded.lengths.sum())
    speed = {who: tokens / np.min(taken, axis=0).sum() for who, taken in seconds.items()}
    return {
        "model": kind,
        "device": arguments.device,
        "steps": steps,
        "tokens": tokens,
        **{f"tokens_per_second_{who}": round(value, 1) for who, value in speed.items()},
        **{
            f"{name}_{who}": value
            for who in runs
            if who != "ours"
            for name, value in (
                ("ratio_to", round(speed["ours"] / speed[who], 2)),
                ("loss_difference_to", float(np.abs(losses["ours"] - losses[who]).max())),
            )
            if (name, who) != ("loss_difference_to", "trainer_by_default")
        },
    }


def _clock() -> float:
    """Return CPU time where one thread computes, else the time that passes, in seconds."""
    is_one = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if is_one else time.perf_counter()


def ours(
    model: LanguageModel, data: TextTaskData, training: TrainingSettings, steps: int
) -> tuple[Any, Any]:
    """Train with the harness; return the seconds and the loss of each step."""
    loop = Loop(model, [data], [[(0, 1.0)]] * steps, training)
    times = [_clock()]
    loop.run(resume=None, name="ours", on_progress=lambda _, __: times.append(_clock()))
    return np.diff(times), loop.curve().losses


def theirs(
    model: LanguageModel,
    data: TextTaskData,
    training: TrainingSettings,
    steps: int,
    *,
    in_random_order: bool = False,
) -> tuple[Any, Any]:
    """Train with transformers on the same batches, or on the same texts in a random order."""
    units = [data.units(number, training.batch_size) for number in range(steps)]
    if in_random_order:
        order = np.random.default_rng(0).permutation(np.concatenate(units))
        units = np.array_split(order, steps)
    batches = [_padded(model, data, own) for own in units]
    record = _Record()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(**_arguments(folder, model, training, steps))
        trainer = _SameBatches(
            model=model.model, args=settings, train_dataset=batches, callbacks=[record]
        )
        trainer.train()
    return record.seconds, np.array(record.losses)


def theirs_of_trl(
    model: LanguageModel, data: TextTaskData, training: TrainingSettings, steps: int
) -> tuple[Any, Any]:
    """Train with TRL on the same batches."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    units = [data.units(number, training.batch_size) for number in range(steps)]
    batches = [_padded(model, data, own) for own in units]

    class SameBatches(SFTTrainer):
        def get_train_dataloader(self) -> Any:
            return batches

    record = _Record()
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            **_arguments(folder, model, training, steps),
            max_length=None,
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        trainer = SameBatches(
            model=model.model,
            args=settings,
            processing_class=model.tokenizer,
            train_dataset=Dataset.from_dict({"input_ids": [[1, 1]], "labels": [[-100, 1]]}),
            callbacks=[record],
        )
        trainer.train()
    return record.seconds, np.array(record.losses)


def _arguments(
    folder: str, model: LanguageModel, training: TrainingSettings, steps: int
) -> dict[str, Any]:
    """Return the arguments of transformers for these settings."""
    return {
        "output_dir": folder,
        "max_steps": steps,
        "per_device_train_batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "weight_decay": 0.0,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "max_grad_norm": training.max_grad_norm,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": model.device.type == "cpu",
        "bf16": model.device.type == "cuda",
        "disable_tqdm": True,
    }


class _SameBatches(Trainer):
    def get_train_dataloader(self) -> Any:
        return self.train_dataset


class _Record(TrainerCallback):
    """Losses of all steps, and their times."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.begins: list[float] = []
        self.ends: list[float] = []

    @property
    def seconds(self) -> Any:
        return np.array(self.ends) - np.array(self.begins)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.begins.append(_clock())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(_clock())


def _padded(model: LanguageModel, data: TextTaskData, units: Any) -> dict[str, torch.Tensor]:
    """Return a batch as transformers' collators make it."""
    texts = data.train.encoded
    pairs = [(texts.prompts[u].tolist(), texts.answers[u].tolist()) for u in units]
    if model.is_encoder_decoder:
        inputs, labels = [p for p, _ in pairs], [a for _, a in pairs]
    else:
        inputs = [p + a for p, a in pairs]
        labels = [[-100] * len(p) + a for p, a in pairs]
    width, longest = max(map(len, inputs)), max(map(len, labels))
    found = {
        "input_ids": [ids + [0] * (width - len(ids)) for ids in inputs],
        "attention_mask": [[1] * len(ids) + [0] * (width - len(ids)) for ids in inputs],
        "labels": [ids + [-100] * (longest - len(ids)) for ids in labels],
    }
    return {name: torch.tensor(rows).to(model.device) for name, rows in found.items()}


if __name__ == "__main__":
    main()
