"""The steps of gpu.sh, each in processes of its own: correctness, speed, TaskEmb, side by side, the grid."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
# bert-base's shape, for the share of the card's peak.
BASE = "random:12x768"
SIDE_BY_SIDE = (1, 2, 4, 8)
PLAN = """
tasks_folder = {folder}
tasks = {tasks}
grid = "all"
exclude = {exclude}
methods = ["intermediate"]
regimes = ["{regime}"]
allow_fewer = true
seeds = {seeds}
encoder = {encoder}
"""
# Tasks that share examples are no fair pair.
EXCLUDE = [["sst2", "rotten_tomatoes"], ["ewt_upos", "ewt_deprel"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", help="folder of the encoder")
    parser.add_argument("--tasks", type=Path, help="folder of the tasks")
    parser.add_argument(
        "--plan", type=Path, help="of the grid; default: all pairs of the tasks, 1000-200"
    )
    parser.add_argument("--wheels", type=Path, help="read by gpu.sh")
    parser.add_argument("--hours", type=float, default=2.0, help="of everything together")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="on the CPU, with a tiny model")
    options = parser.parse_args()
    deadline = time.monotonic() + options.hours * 3600
    options.out = options.out.absolute()
    if options.tiny:
        options.device = "cpu"
        make_tiny(options)
    if not options.encoder or not options.tasks:
        sys.exit("--encoder FOLDER and --tasks FOLDER are needed (or --tiny)")
    if Path(options.encoder).is_dir():
        options.encoder = str(Path(options.encoder).absolute())
    check_device(options.device)
    names = sorted({file.name.split(".")[0] for file in options.tasks.glob("*.train.*")})
    wanted = ["sst2", "rte", "ewt_upos", "squad"]
    fast = [name for name in wanted if name in names] or names[:1]
    size = (
        ["--examples", "32", "--repeats", "1"]
        if options.tiny
        else ["--examples", "4000", "--repeats", "2"]
    )
    common = ["--folder", str(options.tasks), "--device", options.device]

    step(options.out / "correctness.jsonl", lambda out: correctness(options, fast[0], out))
    step(
        options.out / "speed.jsonl",
        lambda out: script("harness.py", *common, "--encoder", options.encoder, "--tasks", *fast, *size,
                           "--grid-runs", "2" if options.tiny else "10", "--out", str(out)),
    )  # fmt: skip
    base = "random:2x64" if options.tiny else BASE
    step(
        options.out / "speed_base.jsonl",
        lambda out: script("harness.py", *common, "--encoder", base, "--tasks", *fast, *size,
                           "--variants", "ours", "--out", str(out)),
    )  # fmt: skip
    for name, encoder, how in (("graphs", options.encoder, "graphs"), ("base_compiled", base, "true")):
        step(
            options.out / f"speed_{name}.jsonl",
            lambda out, encoder=encoder, how=how: script(
                "harness.py", *common, "--encoder", encoder, "--tasks", fast[0], *size,
                "--variants", "ours", "--compile", how, "--out", str(out)),
        )  # fmt: skip
    step(
        options.out / "taskemb.txt",
        lambda out: script("taskemb.py", "--tasks", str(options.tasks), "--device", options.device,
                           "--encoder", options.encoder, "--names", *fast[:3],
                           "--examples", "8" if options.tiny else "128",
                           "--repeats", "1" if options.tiny else "3", save=out),
    )  # fmt: skip
    step(options.out / "side_by_side.jsonl", lambda out: side_by_side(options, names, out))
    grid(options, names, (deadline - time.monotonic()) / 3600)
    for file in sorted(options.out.glob("*.jsonl")):
        print(f"== {file.name}\n{file.read_text().strip()}")


def step(out: Path, work: Callable[[Path], None]) -> None:
    """Do a step whose result is one file, unless that is there."""
    if out.exists():
        print(f"# {out.name} is there", flush=True)
        return
    print(f"# {out.name}", flush=True)
    unfinished = out.with_name(f".{out.name}")
    work(unfinished)
    unfinished.replace(out)


def script(name: str, *arguments: str, save: Path | None = None) -> None:
    """Run a script of this folder; `save`: what it prints goes there."""
    command = [sys.executable, str(HERE / name), *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE if save else None, text=True, check=False)
    if result.returncode:
        sys.exit(f"{name} ended with exit code {result.returncode}")
    if save:
        save.write_text(result.stdout)


def run_plan(plan: Path, store: Path, options: argparse.Namespace, *arguments: str) -> int:
    """``transfer-meta run``; returns its exit code."""
    command = [sys.executable, "-m", "transfer_meta", "run", str(plan), "--store", str(store)]
    return subprocess.run([*command, "--device", options.device, *arguments], check=False).returncode


def check_device(device: str) -> None:
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here (--tiny proves the script on a CPU)")


def correctness(options: argparse.Namespace, name: str, out: Path) -> None:
    """The same run without dropout, whose masks differ: on the CPU, on the device in float32 and in bf16."""
    import numpy as np

    from transfer_meta.encoding import heads
    from transfer_meta.tasks import read_task
    from transfer_meta.training.finetune import finetune
    from transfer_meta.training.stage import Stage
    from transfer_meta.training.training_settings import TrainingSettings

    task = read_task(next(options.tasks.glob(f"{name}.train.*")), name=name)
    settings = TrainingSettings(
        epochs=2, batch_size=16, dev_examples=0, evaluations=0, precision="fp32"
    )
    heads.HEAD_DROPOUT = 0.0
    encoder = without_dropout(Path(options.encoder), options.out / "encoder-without-dropout")
    stage = Stage(name, 0, encoder, settings, target_examples=32 if options.tiny else 400)
    expected = finetune(stage, {name: task}, device="cpu")
    rows = []
    for precision in ("fp32", "bf16"):
        other = replace(stage, training=replace(settings, precision=precision))
        found = finetune(other, {name: task}, device=options.device)
        again = finetune(other, {name: task}, device=options.device)
        difference = np.abs(found.curve.losses - expected.curve.losses)
        rows.append(
            {
                "task": name,
                "device": found.device,
                "precision": precision,
                "largest_loss_difference": float(difference.max()),
                "mean_loss_difference": float(difference.mean()),
                "score": found.score,
                "score_cpu_fp32": expected.score,
                "same_twice": bool(np.array_equal(found.curve.losses, again.curve.losses)),
            }
        )
    write(out, rows)


def without_dropout(encoder: Path, copy: Path) -> str:
    """A copy of an encoder's folder whose configuration has no dropout."""
    shutil.copytree(encoder, copy, dirs_exist_ok=True)
    config = json.loads((encoder / "config.json").read_text())
    config |= {key: 0.0 for key in config if "dropout" in key and isinstance(config[key], float)}
    (copy / "config.json").write_text(json.dumps(config))
    return str(copy)


def side_by_side(options: argparse.Namespace, names: list[str], out: Path) -> None:
    """Runs per hour of single-task runs with so many of them on the card at a time."""
    from transfer_meta.runs.store.run_store import Store

    counts = (1, 2) if options.tiny else SIDE_BY_SIDE
    rows: list[dict[str, Any]] = []
    for count in counts:
        plan = options.out / "side_by_side.toml"
        seeds = list(range(1 if options.tiny else max(1, 24 // len(names)) * 2))
        text = plan_text(options, names, "8-8" if options.tiny else "1000-200", seeds)
        plan.write_text(text.replace('["intermediate"]', '["single"]').replace("exclude", "# exclude"))
        scratch = options.out / ".side_by_side"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        store = scratch / "runs.sqlite"
        began = time.monotonic()
        if run_plan(plan, store, options, "--runs-per-device", str(count)):
            sys.exit("a run failed")
        seconds = time.monotonic() - began
        runs = Store(str(store)).runs(statuses=("done",))
        first, last = min(r.started or 0 for r in runs), max(r.finished or 0 for r in runs)
        rows.append(
            {
                "side_by_side": count,
                "runs": len(runs),
                "seconds": seconds,
                "runs_per_hour": len(runs) * 3600 / (last - first),
                "largest_peak_memory_bytes": max(r.peak_memory_bytes or 0 for r in runs),
            }
        )
    shutil.rmtree(scratch)
    for row in rows:
        row["times_one"] = row["runs_per_hour"] / rows[0]["runs_per_hour"]
    write(out, rows)


def grid(options: argparse.Namespace, names: list[str], hours: float) -> None:
    """As much of the grid as fits into the time, one seed after the other; exported in any case."""
    plan = options.plan or options.out / "plan.toml"
    if options.plan is None and not plan.exists():
        seeds = list(range(1 if options.tiny else 10))
        plan.write_text(plan_text(options, names, "16-8" if options.tiny else "1000-200", seeds))
    rows = [json.loads(line) for line in (options.out / "side_by_side.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: row["runs_per_hour"])["side_by_side"]
    store = options.out / "runs.sqlite"
    if hours > 0:
        run_plan(plan, store, options, "--runs-per-device", str(best), "--limit-hours", f"{hours:.3f}")
    table = options.out / "outcomes.csv"
    command = [sys.executable, "-m", "transfer_meta", "runs", "export", "--out", str(table)]
    if store.exists():
        subprocess.run([*command, "--store", str(store), "--plan", str(plan)], check=True)


def plan_text(options: argparse.Namespace, names: list[str], regime: str, seeds: list[int]) -> str:
    # TOML's tables come after the plain keys.
    training = "[training]\nepochs = 1\nbatch_size = 8\ndev_examples = 8\n" if options.tiny else ""
    keys = PLAN.format(
        folder=json.dumps(str(options.tasks.absolute())),
        tasks=json.dumps(names),
        exclude=json.dumps([pair for pair in EXCLUDE if set(pair) <= set(names)]),
        regime=regime,
        seeds=seeds,
        encoder=json.dumps(str(options.encoder)),
    )
    return keys + training


def make_tiny(options: argparse.Namespace) -> None:
    """Tasks of made-up words, and a BERT of two narrow layers that knows the words."""
    from fake_training import make_tasks

    options.tasks, options.encoder = options.out / "tasks", str(options.out / "encoder")
    if Path(options.encoder, "config.json").exists():
        return
    make_tasks(options.tasks, "a b c", train=260, test=20)
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    words = ["red", "blue", "green", "dog", "cat", "sun", "moon", "tree", "good", "bad"]
    vocabulary = {word: row for row, word in enumerate((*special, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(options.encoder)
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    BertModel(
        BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, **shape)
    ).save_pretrained(options.encoder)


def write(out: Path, rows: list[dict[str, Any]]) -> None:
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
