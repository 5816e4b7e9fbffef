"""A stand-in for training that needs no torch: its result depends on the stage and on the file it starts from."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer_meta.errors import RunFailed, Stopped
from transfer_meta.files import atomic_file
from transfer_meta.records import LearningCurve
from transfer_meta.runs.plan import EncoderFacts
from transfer_meta.tasks import Task
from transfer_meta.training.run_result import RunResult
from transfer_meta.training.stage import Stage

STEPS = 8
GB = 1_000_000_000


def fake_facts(name: str) -> EncoderFacts:
    return EncoderFacts(revision="r1", weights=1_000_000, embeddings=400_000)


def fake_finetune(
    stage: Stage,
    tasks: Mapping[str, Task],
    *,
    start: Path | None,
    save: Path | None,
    resume: Path,
    device: str,
    cache: Path | None,
    should_stop: Callable[[], bool],
    save_model: Path | None = None,
    step_seconds: float = 0.02,
) -> RunResult:
    """Eight steps of sleep; a task named ``bad`` fails, one named ``crash`` raises, ``die`` ends the process."""
    assert set(tasks) == set(stage.tasks)
    assert (start is None) == (stage.prerequisite is None)
    if stage.target == "bad":
        raise RunFailed("NaN loss at step 3")
    if stage.target == "crash":
        raise ValueError("something\nunexpected")
    if stage.target == "die":
        import os

        os._exit(7)
    before = hashlib.sha256(start.read_bytes()).hexdigest() if start else ""
    seed = hashlib.sha256((json.dumps(stage.to_dict(), sort_keys=True) + before).encode()).hexdigest()
    losses = list(np.random.default_rng(int(seed[:16], 16)).uniform(size=STEPS))
    first = json.loads(resume.read_text())["step"] if resume.exists() else 0
    for step in range(first, STEPS):
        if should_stop():
            with atomic_file(resume) as temporary:
                temporary.write_text(json.dumps({"step": step}))
            raise Stopped
        time.sleep(step_seconds)
    for path in filter(None, (save, save_model)):
        with atomic_file(path) as temporary:
            # A safetensors file without tensors.
            header = json.dumps({"__metadata__": {"run": stage.run_name}}).encode()
            temporary.write_bytes(len(header).to_bytes(8, "little") + header)
            time.sleep(step_seconds)
    resume.unlink(missing_ok=True)
    curve = LearningCurve(np.arange(1.0, STEPS + 1), np.array(losses))
    return RunResult(
        score=losses[-1],
        scores={"accuracy": losses[-1], "macro_f1": losses[0]},
        main_metric="accuracy",
        curve=curve,
        seconds=STEPS * step_seconds,
        tokens_per_second=1.0,
        peak_memory_bytes=1,
        device=device,
        versions={"fake": "1"},
        notes={"resumed_at": first},
        source_curves=dict.fromkeys(stage.sources, curve),
    )


def on_a_card(*arguments: Any, of: int, **options: Any) -> RunResult:
    """A run of 14 GB on a card of `of` bytes."""
    result = fake_finetune(*arguments, **options)
    return replace(result, peak_memory_bytes=14 * GB, notes={**result.notes, "card_bytes": of})


def make_tasks(folder: Path, names: str, *, train: int = 40, test: int = 20) -> None:
    """Small classification tasks as files."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(names)
    words = ["red", "blue", "green", "dog", "cat", "sun", "moon", "tree"]
    for name in names.split():
        for split, size in (("train", train), ("test", test)):
            with (folder / f"{name}.{split}.jsonl").open("w") as file:
                for i in range(size):
                    # Both labels in every split, whatever is drawn.
                    label = ("yes", "no")[i % 2]
                    mark = {"yes": "good", "no": "bad"}[label]
                    text = " ".join([*draw.choices(words, k=5), mark])
                    file.write(json.dumps({"text": text, "label": label}) + "\n")
