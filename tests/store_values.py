"""Runs and results for tests of run stores."""

from __future__ import annotations

import numpy as np

from transfer_meta.records import LearningCurve
from transfer_meta.runs.store.run_store import NewRun
from transfer_meta.training.run_result import RunResult

CURVE = LearningCurve(
    steps=np.arange(1.0, 4.0),
    losses=np.array([0.9, 0.5, 1 / 3]),
    dev_steps=np.array([3.0]),
    dev_losses=np.array([0.4]),
    dev_scores=np.array([np.nan]),
)
RESULT = RunResult(
    main_metric="accuracy",
    score=np.float64(0.75),
    scores={"accuracy": 0.75, "odd": float("nan")},
    curve=CURVE,
    source_curves={"b": CURVE},
    seconds=1.5,
    tokens_per_second=100.0,
    peak_memory_bytes=5_000_000_000,
    device="cpu",
    versions={"torch": "2"},
    notes={"micro_batch": 8},
)


def new(key: str, start: str | None = None, **fields: object) -> NewRun:
    values = {
        "method": "intermediate" if start else "single",
        "source": start or "",
        "target": key,
        "regime": "full-full",
        "seed": 0,
        "encoder": "tiny",
        "encoder_revision": "r",
        "settings": {"target": key},
        "task_digests": {key: "d"},
        "start_key": start,
    }
    return NewRun(key=key, **{**values, **fields})
